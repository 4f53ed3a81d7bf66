"""Principal components of factors: the few directions in which they vary most."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# A direction with less than a thousandth of the variance is rounding noise to the eye.
SMALLEST_SHARE = 1e-3


class Components(NamedTuple):
    """Factors seen along their principal components.

    Attributes:
      projected: [trials, time, components], NaN where the factors are.
      shares: [components] of the variance over trials and bins, descending.
    """

    projected: NDArray[np.float64]
    shares: NDArray[np.float64]


def principal_components(factors: NDArray[np.float32], count: int = 3) -> Components:
    """The leading `count` components of [trials, time, factors], fewer where fewer hold any variance.

    The sign of a component is arbitrary; here its largest loading is positive, so that the same
    factors always look the same.
    """
    values = np.asarray(factors, np.float64)
    mean = np.nanmean(values, axis=(0, 1))
    flat = (values - mean).reshape(-1, values.shape[2])
    known = flat[np.isfinite(flat).all(1)]
    variances, directions = np.linalg.eigh(known.T @ known / max(len(known), 1))
    total = max(float(variances.sum()), np.finfo(float).tiny)
    order = np.argsort(variances)[::-1][:count]
    order = order[: max(1, int((variances[order] >= SMALLEST_SHARE * total).sum()))]
    chosen = directions[:, order]
    largest = np.abs(chosen).argmax(0)
    chosen = chosen * np.sign(chosen[largest, np.arange(len(order))])
    return Components((values - mean) @ chosen, np.maximum(variances[order], 0) / total)
