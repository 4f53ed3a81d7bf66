"""What a model is judged by: smoothed validation loss, bits per spike, agreement with known rates.

Rates are expected counts per bin and spikes are counts per bin, both with neurons on the last axis; what
the other axes are (trials, time) does not matter. Numpy only; all sums run in float64.

References:
  Pei et al. 2021, NeurIPS Datasets and Benchmarks, arXiv 2109.04463 (bits per spike, co-smoothing).
  Keshtkaran et al. 2022, Nature Methods 19 (smoothed validation likelihood as the score of PBT).
"""

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
LogFactorial = Literal["Exact", "Stirling"]

# A rate of 0 would make any spike impossible; this is the smallest one, as in the benchmark's own evaluation.
_SMALLEST_RATE = 1e-9


def smooth(previous: ArrayLike, value: ArrayLike, new_weight: float = 0.7) -> Array:
    """One step of exponential smoothing, s_k = (1 − w) s_{k−1} + w x_k with w the weight of the new value.

    Args:
      previous: [members] smoothed values so far; NaN before the first one, which is then taken as it is, and
        so is the one after an infinite loss: a member that has recovered is judged by what came since.
      value: [members] the new values; NaN or infinite for a member that diverged, and then so is the result.
      new_weight: above 0 and up to 1; 1 does not smooth.

    Returns:
      [members] smoothed values.
    """
    if not 0 < new_weight <= 1:
        raise ValueError(
            f"smoothing: a weight above 0 and up to 1 wanted, found {new_weight}; 0.7 is AutoLFADS's"
        )
    before, new = np.asarray(previous, np.float64), np.asarray(value, np.float64)
    goes_on = np.isfinite(before)
    return np.where(goes_on, (1 - new_weight) * np.where(goes_on, before, 0.0) + new_weight * new, new)


def log_factorial(counts: ArrayLike, form: LogFactorial = "Exact") -> Array:
    """The logarithm of k! for every count; NaN stays NaN.

    Args:
      counts: whole numbers >= 0.
      form: Exact, or Stirling's approximation k log k − k + ½ log 2πk with 0 for k <= 1, which lfads-tf2 and
        lfads-torch use. The two differ by a constant of the data, so gradients are the same.
    """
    numbers, places = np.unique(np.asarray(counts, np.float64), return_inverse=True)
    exact = form == "Exact"
    table = np.array([math.lgamma(number + 1) if exact else _stirling(number) for number in numbers])
    return table[places].reshape(np.shape(counts))


def poisson_nll(rates: ArrayLike, spikes: ArrayLike, log_factorial_form: LogFactorial = "Exact") -> Array:
    """Negative log likelihood of spike counts under Poisson firing rates: λ − k log λ + log k!.

    Args:
      rates: [..., neurons] expected count per bin; 0 counts as 1e-9.
      spikes: [..., neurons] whole counts per bin, NaN where unknown.
      log_factorial_form: see `log_factorial`.

    Returns:
      [..., neurons] nats; NaN where the spikes or the rates are.
    """
    expected, counts = _floored(rates), np.asarray(spikes, np.float64)
    return expected - counts * np.log(expected) + log_factorial(counts, log_factorial_form)


def bits_per_spike(rates: ArrayLike, spikes: ArrayLike) -> float:
    """How much better the rates predict the spikes than each neuron's mean rate does, in bits per spike.

        ( NLL_null − NLL_model ) / ( number of spikes · ln 2 )

    The null model knows the mean of the very spikes that are evaluated, neuron by neuron. On held-out neurons
    this is co-smoothing ("co-bps"), on bins after the encoded ones forward prediction ("fp-bps").

    Args:
      rates: [..., neurons] expected count per bin; 0 counts as 1e-9.
      spikes: [..., neurons] whole counts per bin; entries that are NaN are left out.

    Returns:
      Bits per spike; NaN when there is no spike, or where a rate is NaN though its spikes are known: select
      the bins that the model predicts before calling.

    References:
      Pei et al. 2021, arXiv 2109.04463, section 3 and the evaluation published with it.
    """
    expected, counts = _by_neuron(rates, spikes)
    known = ~np.isnan(counts)
    total = counts[known].sum()
    if total == 0:
        return math.nan
    mean = np.array(
        [column[seen].mean() if seen.any() else 0.0 for column, seen in zip(counts.T, known.T, strict=True)]
    )
    null = np.broadcast_to(mean, counts.shape)
    # log k! is the same in both and left out.
    gained = _nll_core(null[known], counts[known]) - _nll_core(expected[known], counts[known])
    return float(gained / (total * math.log(2)))


def oracle_share(rates: ArrayLike, true_rates: ArrayLike, spikes: ArrayLike) -> float:
    """The part of the attainable bits per spike that the rates reach: theirs over those of the true rates.

    Returns:
      1 for the true rates themselves, 0 for mean rates; NaN when the true rates say no more than the means.
    """
    attainable = bits_per_spike(true_rates, spikes)
    return bits_per_spike(rates, spikes) / attainable if attainable > 0 else math.nan


def r2_per_neuron(true_rates: ArrayLike, rates: ArrayLike) -> Array:
    """Coefficient of determination of every neuron, over all trials and bins.

    Args:
      true_rates: [..., neurons] known rates.
      rates: [..., neurons] inferred rates in the same unit.

    Returns:
      [neurons] at most 1; NaN for a neuron whose true rate is constant.
    """
    truth, estimate = _by_neuron(true_rates, rates)
    residual = ((truth - estimate) ** 2).sum(axis=0)
    spread = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    # The mean of equal numbers is off by a rounding error: constant is constant, not almost so.
    constant = np.ptp(truth, axis=0) == 0
    return np.where(constant, np.nan, 1 - residual / np.where(constant, 1.0, spread))


def mean_r2(true_rates: ArrayLike, rates: ArrayLike) -> float:
    """The mean of `r2_per_neuron`; constant neurons are left out, NaN when all are constant."""
    each = r2_per_neuron(true_rates, rates)
    known = each[~np.isnan(each)]
    return float(known.mean()) if known.size else math.nan


def pooled_squared_pearson(true_rates: ArrayLike, rates: ArrayLike) -> float:
    """Squared correlation of all values taken together, whatever neuron they belong to.

    This is the figure of the AutoLFADS tutorial. It forgives wrong scale and offset and is helped by
    differences between neurons' mean rates, so it is higher than `mean_r2`: name which of the two a number
    is.

    Returns:
      From 0 to 1; NaN when either side is constant.
    """
    truth, estimate = (side.ravel() for side in _by_neuron(true_rates, rates))
    if np.ptp(truth) == 0 or np.ptp(estimate) == 0:
        return math.nan
    truth, estimate = truth - truth.mean(), estimate - estimate.mean()
    # Not `@`: BLAS splits a sum among its threads, and the last digit would tell how many there were.
    shared = np.sum(truth * estimate)
    return float(shared**2 / (np.sum(truth**2) * np.sum(estimate**2)))


def _nll_core(rates: Array, spikes: Array) -> float:
    expected = _floored(rates)
    return float((expected - spikes * np.log(expected)).sum())


def _floored(rates: ArrayLike) -> Array:
    expected = np.asarray(rates, np.float64)
    return np.where(expected == 0, _SMALLEST_RATE, expected)


def _by_neuron(first: ArrayLike, second: ArrayLike) -> tuple[Array, Array]:
    """Both as [values, neurons]; shapes must agree, for broadcasting would hide a mix-up of axes."""
    left, right = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if left.shape != right.shape or left.ndim == 0:
        raise ValueError(
            f"metrics: two arrays of the same shape [..., neurons] wanted, found {left.shape} and "
            f"{right.shape}; select the same trials, bins and neurons of both"
        )
    return left.reshape(-1, left.shape[-1]), right.reshape(-1, right.shape[-1])


def _stirling(number: float) -> float:
    if number <= 1:
        return 0.0
    return number * math.log(number) - number + 0.5 * math.log(2 * math.pi * number)
