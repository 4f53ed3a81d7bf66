"""Starting values of weights, drawn by NumPy per member so that they do not depend on the cohort.

References:
  Pandarinath et al. 2018, Nature Methods 15, supplement (variance scaling);
  autolfads-tf2 and lfads-torch use the same distributions.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Initializer = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]


def variance_scaling(fan_in: int) -> Initializer:
    """Untruncated normal with mean 0 and standard deviation 1/sqrt(fan_in)."""
    scale = 1.0 / math.sqrt(fan_in)
    return lambda rng, shape: rng.standard_normal(shape) * scale


def constant(value: float | NDArray[np.float64]) -> Initializer:
    """The same value, or the same array, for every member."""
    return lambda rng, shape: np.broadcast_to(np.asarray(value, np.float64), shape).copy()


def gru_bias(units: int) -> Initializer:
    """One for the update and reset gates (columns z and r), zero for the candidate n."""
    return constant(np.concatenate([np.ones(2 * units), np.zeros(units)]))
