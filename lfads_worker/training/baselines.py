"""What can be had without a network: smooth the spikes, then regress. The bar that a model has to clear.

Held-in neurons are smoothed over time with a Gaussian, and a Poisson regression predicts every held-out
neuron from them, bin by bin. It is fitted on the training trials and judged on the validation trials, over a
grid of smoothing widths and penalties, of which the best counts: tuned on what it is judged by, so if
anything it flatters itself.

References:
  Pei et al. 2021, NeurIPS Datasets and Benchmarks, arXiv 2109.04463 (the "smoothing" baseline).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfads_worker.training import metrics

Array = NDArray[np.float64]

# Newton's method on a convex loss has converged long before.
_NEWTON_STEPS = 100

# Nats per bin; a target with less to gain stays where it is.
_CLOSE_ENOUGH = 1e-10

# A step changes no log-rate by more than this, and is not shortened below that share of itself.
_LONGEST_STEP = 5.0
_SHORTEST_STEP = 1e-9


@dataclass(frozen=True)
class SmoothingBaseline:
    """The best of the grid.

    Attributes:
      bits_per_spike: on the held-out neurons of the validation trials.
      sd_ms: standard deviation of the Gaussian.
      penalty: weight of the L2 penalty.
      rates: [valid trials, time, held-out neurons] expected count per bin.
    """

    bits_per_spike: float
    sd_ms: float
    penalty: float
    rates: Array


def smoothing_baseline(
    spikes: ArrayLike,
    train: NDArray[np.int64],
    valid: NDArray[np.int64],
    held_in_neurons: int,
    bin_width_ms: float,
    sds_ms: Sequence[float] = (20, 30, 40, 60, 80, 120),
    penalties: Sequence[float] = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003),
) -> SmoothingBaseline:
    """Predicts the held-out neurons from smoothed held-in ones, with the best width and penalty of the grid.

    Args:
      spikes: [trials, time, neurons] counts per bin, held-in neurons first.
      train: numbers of the trials to fit on.
      valid: numbers of the trials to judge by.
      held_in_neurons: how many of the neurons are held in.
      bin_width_ms: width of a bin.
      sds_ms: standard deviations to try.
      penalties: L2 penalties to try; large ones first, each fit starts from the one before.
    """
    counts = np.asarray(spikes, np.float64)
    target = counts[:, :, held_in_neurons:]
    if held_in_neurons < 1 or target.shape[2] < 1:
        raise ValueError(
            f"baseline: held-in and held-out neurons wanted, found {held_in_neurons} held in of "
            f"{counts.shape[2]}; hold some neurons out"
        )
    best: SmoothingBaseline | None = None
    for sd_ms in sds_ms:
        smoothed = gaussian_smooth(counts[:, :, :held_in_neurons], sd_ms / bin_width_ms)
        fit_on, predict_on = _standardised(smoothed[train], smoothed[valid])
        weights: Array | None = None
        for penalty in penalties:
            weights = poisson_regression(fit_on, _rows(target[train]), penalty, weights)
            rates = np.exp(predict_on @ weights).reshape(target[valid].shape)
            bits = metrics.bits_per_spike(rates, target[valid])
            if best is None or bits > best.bits_per_spike:
                best = SmoothingBaseline(bits, sd_ms, penalty, rates)
    if best is None:
        raise ValueError("baseline: at least one width and one penalty wanted, found none; give both")
    return best


def gaussian_smooth(spikes: ArrayLike, sd_bins: float) -> Array:
    """Weighted means over time with Gaussian weights.

    At the ends of a trial the weights that are left are made to sum to 1, so that rates do not sag there.

    Args:
      spikes: [trials, time, neurons].
      sd_bins: standard deviation of the Gaussian, in bins.

    Returns:
      [trials, time, neurons].
    """
    counts = np.asarray(spikes, np.float64)
    bins = np.arange(counts.shape[1])
    kernel = np.exp(-0.5 * ((bins[:, None] - bins[None, :]) / sd_bins) ** 2)
    kernel /= kernel.sum(axis=1, keepdims=True)
    return np.asarray(kernel @ counts)  # [time, time] @ [trials, time, neurons]


def poisson_regression(features: Array, counts: Array, penalty: float, start: Array | None = None) -> Array:
    """Weights of a Poisson regression with logarithmic link, one column per target.

    Minimises, for each target k with rates λ = exp(X w), mean(λ − k log λ) + ½ penalty |w|² by Newton's
    method with step halving; the last feature is the intercept and is not penalised. All targets are fitted
    side by side: a few large products, for threads of a busy machine stall on thousands of small ones.

    Args:
      features: [rows, features], the last column all ones.
      counts: [rows, targets] whole counts.
      penalty: weight of the L2 term, above 0.
      start: [features, targets] weights to start from.

    Returns:
      [features, targets].
    """
    ridge = np.full((features.shape[1], 1), penalty)
    ridge[-1] = 0.0
    weights = _mean_rates(features, counts) if start is None else start
    loss = _loss(features, counts, ridge, weights)
    for _ in range(_NEWTON_STEPS):
        step, to_gain = _newton_step(features, counts, ridge, weights)
        # Far from the minimum exp is nearly flat and a whole step would overshoot by orders of magnitude.
        longest = np.maximum(np.abs(features @ step).max(axis=0), 1e-300)
        size = np.where(to_gain < _CLOSE_ENOUGH, 0.0, np.minimum(1.0, _LONGEST_STEP / longest))
        tried = _loss(features, counts, ridge, weights - size * step)
        while (worse := (tried > loss) & (size > 0)).any():
            size = np.where(worse, size / 2, size)
            size = np.where(size < _SHORTEST_STEP, 0.0, size)  # as low as rounding lets it go
            tried = _loss(features, counts, ridge, weights - size * step)
        if not size.any():
            break
        weights, loss = weights - size * step, tried
    return weights


def _mean_rates(features: Array, counts: Array) -> Array:
    weights = np.zeros((features.shape[1], counts.shape[1]))
    # Half a spike more than was seen keeps a silent neuron's logarithm finite.
    weights[-1] = np.log((counts.sum(axis=0) + 0.5) / len(counts))
    return weights


def _newton_step(features: Array, counts: Array, ridge: Array, weights: Array) -> tuple[Array, Array]:
    """Newton's step [features, targets], and twice the loss [targets] that it promises to gain."""
    rates = np.exp(features @ weights)
    gradient = features.T @ (rates - counts) / len(counts) + ridge * weights
    weighted = features.T[None, :, :] * rates.T[:, None, :]  # [targets, features, rows]
    curvature = (weighted.reshape(-1, len(counts)) @ features / len(counts)).reshape(
        counts.shape[1], features.shape[1], features.shape[1]
    )
    curvature += np.diag(ridge[:, 0])
    step = np.asarray(np.linalg.solve(curvature, gradient.T[:, :, None]), np.float64)[:, :, 0].T
    return step, np.asarray((gradient * step).sum(axis=0))


def _loss(features: Array, counts: Array, ridge: Array, weights: Array) -> Array:
    """What is minimised, for each target [targets]."""
    log_rates = features @ weights
    # A wild step may overflow exp: cut off there, the loss is far above any other anyway.
    nll = np.exp(np.minimum(log_rates, 50.0)) - counts * log_rates
    return np.asarray(nll.mean(axis=0) + 0.5 * (ridge * weights**2).sum(axis=0))


def _standardised(train: Array, valid: Array) -> tuple[Array, Array]:
    """Rows of features with mean 0 and sd 1 over the training rows, and a column of ones."""
    fit_on, predict_on = _rows(train), _rows(valid)
    mean, sd = fit_on.mean(axis=0), fit_on.std(axis=0)
    sd = np.where(sd > 0, sd, 1.0)  # a silent neuron stays at 0
    return _with_ones((fit_on - mean) / sd), _with_ones((predict_on - mean) / sd)


def _with_ones(rows: Array) -> Array:
    return np.hstack([rows, np.ones((len(rows), 1))])


def _rows(array: Array) -> Array:
    return array.reshape(-1, array.shape[-1])
