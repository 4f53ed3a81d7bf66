"""Spikes with known rates: a Lorenz system and a chaotic recurrent network.

Both draw from NumPy's `RandomState`, a Mersenne twister whose stream NumPy promises never to change, so that
a seed means the same data in ten years. The equations are those of the data sets that LFADS papers use;
where those leave something open the docstring says what is done here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lfads_worker.errors import DataError

Floats = NDArray[np.float64]
LARGEST_SEED = 2**32 - 1  # what RandomState takes


@dataclass(frozen=True, eq=False)
class SyntheticData:
    """Spikes and everything they were made from.

    Attributes:
      spikes: [trials, time, neurons] counts per bin.
      true_rates: [trials, time, neurons] expected count per bin.
      latents: [trials, time, features] states of the system, averaged over the bin.
      conditions: [trials] a number per condition; trials of a condition follow each other.
      bin_width_ms: width of a bin.
      inputs: [trials, time, features] what drove the system; features may be 0.
      settings: what it was made with, the seed included.
    """

    spikes: NDArray[np.int64]
    true_rates: Floats
    latents: Floats
    conditions: NDArray[np.int64]
    bin_width_ms: float
    inputs: Floats
    settings: Mapping[str, float | str] = field(default_factory=dict)


# --- Lorenz ------------------------------------------------------------------------------------------------

SIGMA, RHO, BETA = 10.0, 28.0, 8.0 / 3.0
EULER_STEP = 0.006  # Lorenz time per millisecond
DISCARDED_STEPS = 500  # until the state is on the attractor
LOG_RATE_LIMIT = 20.0


def lorenz(
    *,
    neurons: int = 29,
    conditions: int = 65,
    trials_per_condition: int = 24,
    bins: int = 50,
    bin_width_ms: int = 20,
    base_rate: float = 5.0,
    published_form: bool = False,
    seed: int = 0,
) -> SyntheticData:
    """Neurons driven by a chaotic Lorenz system, another stretch of it in each condition.

    The defaults are the literature's size: 1,560 trials of 29 neurons and 50 bins of 20 ms. All trials of a
    condition share latents and rates; only the spikes differ.

    Args:
      neurons: neurons observed.
      conditions: initial states.
      trials_per_condition: trials of each.
      bins: bins of a trial.
      bin_width_ms: whole milliseconds, since the system advances in steps of one.
      base_rate: spikes/s where all latents are 0.
      published_form: as the published data sets were made: each latent divided by its signed maximum, which
        lets rates explode in the conditions where its minimum is the larger one, and at most one spike in a
        millisecond, which makes counts sub-Poisson. By default latents are divided by their largest
        magnitude and counts are Poisson.
      seed: the same seed gives the same data.

    References:
      Sussillo et al. 2016, arXiv 1608.06315; Pandarinath et al. 2018, Nature Methods 15.
    """
    sizes = {
        "neurons": neurons,
        "conditions": conditions,
        "trials_per_condition": trials_per_condition,
        "bins": bins,
        "bin_width_ms": bin_width_ms,
    }
    _require_positive(**sizes, base_rate=base_rate)
    _require_seed(seed)
    rng = np.random.RandomState(seed)
    states = _lorenz_states(rng, conditions, bins * bin_width_ms, published_form)
    weights = _lorenz_weights(rng, neurons)
    log_rates = states @ weights.T + np.log(base_rate / 1000)
    rates_ms = np.exp(np.clip(log_rates, -LOG_RATE_LIMIT, LOG_RATE_LIMIT))  # per millisecond
    rates = _in_bins(rates_ms, bin_width_ms).sum(axis=2)
    shown = np.repeat(rates, trials_per_condition, axis=0)
    # The sum of Poisson counts is Poisson with the summed rate: no need to draw millisecond by millisecond.
    spikes = (
        _binary_spikes(rng, rates_ms, trials_per_condition, bin_width_ms)
        if published_form
        else rng.poisson(shown)
    )
    return SyntheticData(
        spikes=spikes.astype(np.int64),
        true_rates=shown,
        latents=np.repeat(_in_bins(states, bin_width_ms).mean(axis=2), trials_per_condition, axis=0),
        conditions=np.repeat(np.arange(conditions), trials_per_condition),
        bin_width_ms=float(bin_width_ms),
        inputs=np.zeros((len(shown), bins, 0)),
        settings={
            "system": "lorenz",
            **sizes,
            "base_rate": base_rate,
            "published_form": int(published_form),
            "seed": seed,
        },
    )


def _lorenz_states(rng: np.random.RandomState, conditions: int, steps: int, signed: bool) -> Floats:
    """[conditions, milliseconds, 3] states with mean 0 over the time of their condition.

    The largest magnitude is 1, or with `signed` the maximum.
    """
    state = rng.standard_normal((conditions, 3)) + np.array([0.0, 0.0, 25.0])
    states = np.empty((conditions, steps, 3))
    for step in range(-DISCARDED_STEPS, steps):
        if step >= 0:
            states[:, step] = state
        x, y, z = state.T
        change = np.stack([SIGMA * (y - x), x * (RHO - z) - y, x * y - BETA * z], axis=1)
        state = state + EULER_STEP * change
    states -= states.mean(axis=1, keepdims=True)
    largest = (states if signed else np.abs(states)).max(axis=1, keepdims=True)
    return np.asarray(states / largest)


def _lorenz_weights(rng: np.random.RandomState, neurons: int) -> Floats:
    """[neurons, 3] of size 1 to 2 and either sign, ordered by the first column."""
    weights = (1 + rng.uniform(size=(neurons, 3))) * np.sign(rng.standard_normal((neurons, 3)))
    return weights[np.argsort(weights[:, 0], kind="stable")]


def _in_bins(values: Floats, width: int) -> Floats:
    """[conditions, time, width, features] from a value per millisecond."""
    conditions, steps, features = values.shape
    return values.reshape(conditions, steps // width, width, features)


def _binary_spikes(
    rng: np.random.RandomState, rates_ms: Floats, trials: int, width: int
) -> NDArray[np.int64]:
    """[trials, time, neurons] counts with at most one spike per millisecond."""
    chance = 1 - np.exp(-rates_ms)  # of a Poisson count above 0
    parts = []
    for condition in chance:  # one at a time: all trials at 1 ms would be gigabytes
        spikes = rng.uniform(size=(trials, *condition.shape)) < condition
        parts.append(_in_bins(spikes, width).sum(axis=2))
    return np.concatenate(parts)


# --- chaotic network ---------------------------------------------------------------------------------------

TIME_CONSTANT = 0.025  # s
TIME_STEP = 0.01  # s, one bin
PEAK_RATE = 30.0  # spikes/s
PULSE = 20.0


def chaotic_rnn(
    *,
    neurons: int = 50,
    conditions: int = 130,
    trials_per_condition: int = 10,
    bins: int = 100,
    gain: float = 1.5,
    pulse: bool = False,
    seed: int = 0,
) -> SyntheticData:
    """Neurons of a random recurrent network in its chaotic regime, all of them observed.

    x[t] = (1 - dt/tau) x[t-1] + (dt/tau) (gain W tanh(x[t-1]) + B u[t]); tau 25 ms, bins of 10 ms. Rates are
    tanh(x), scaled to 0 … 30 spikes/s for each trial and neuron, and counts are Poisson.

    Args:
      neurons: units of the network.
      conditions: initial states.
      trials_per_condition: trials of each.
      bins: bins of a trial.
      gain: g; chaos begins at 1.
      pulse: an input pulse of size 20 in one random bin of the middle half; each trial has its own, so that
        trials of a condition then differ in rates as well.
      seed: the same seed gives the same data; 5 gives the weights of the original example.

    References:
      Sussillo et al. 2016, arXiv 1608.06315.
    """
    sizes = {
        "neurons": neurons,
        "conditions": conditions,
        "trials_per_condition": trials_per_condition,
        "bins": bins,
    }
    _require_positive(**sizes, gain=gain)
    _require_seed(seed)
    rng = np.random.RandomState(seed)
    # The weights come first: with seed 5 they are those of the original data set.
    weights = rng.standard_normal((neurons, neurons)) / np.sqrt(neurons)
    input_weights = rng.standard_normal(neurons)
    trials = conditions * trials_per_condition
    start = np.repeat(rng.standard_normal((conditions, neurons)), trials_per_condition, axis=0)
    inputs = _pulses(rng, trials, bins) if pulse else np.zeros((trials, bins, 0))
    activity = _run_network(start, gain * weights, input_weights, inputs.sum(axis=2))
    rates = PEAK_RATE * TIME_STEP * _min_max(activity)
    return SyntheticData(
        spikes=rng.poisson(rates).astype(np.int64),
        true_rates=rates,
        latents=activity,
        conditions=np.repeat(np.arange(conditions), trials_per_condition),
        bin_width_ms=TIME_STEP * 1000,
        inputs=inputs,
        settings={"system": "chaotic-rnn", **sizes, "gain": gain, "pulse": int(pulse), "seed": seed},
    )


def _pulses(rng: np.random.RandomState, trials: int, bins: int) -> Floats:
    """[trials, time, 1] with one pulse a trial, between a quarter and three quarters of it."""
    inputs = np.zeros((trials, bins, 1))
    inputs[np.arange(trials), rng.randint(bins // 4, max(bins // 4 + 1, 3 * bins // 4), size=trials)] = PULSE
    return inputs


def _run_network(start: Floats, weights: Floats, input_weights: Floats, inputs: Floats) -> Floats:
    """[trials, time, neurons] tanh of the state after each update; the initial state is not a bin."""
    share = TIME_STEP / TIME_CONSTANT
    state = start
    activity = np.empty((*inputs.shape, start.shape[1]))
    for t in range(inputs.shape[1]):
        drive = np.tanh(state) @ weights.T + inputs[:, t, None] * input_weights
        state = (1 - share) * state + share * drive
        activity[:, t] = np.tanh(state)
    return activity


def _min_max(activity: Floats) -> Floats:
    """Scaled to 0 … 1 over the time of each trial and neuron; a constant one becomes 0."""
    lowest = activity.min(axis=1, keepdims=True)
    span = activity.max(axis=1, keepdims=True) - lowest
    scaled: Floats = np.divide(activity - lowest, span, out=np.zeros_like(activity), where=span > 0)
    return scaled


# --- at the door -------------------------------------------------------------------------------------------


def _require_positive(**settings: float) -> None:
    for name, value in settings.items():
        if not value > 0 or not np.isfinite(value):
            raise DataError(
                f"{name.replace('_', ' ')}: more than 0 is wanted, {value:g} was found; give a larger number"
            )


def _require_seed(seed: int) -> None:
    if not 0 <= seed <= LARGEST_SEED:
        raise DataError(f"seed: 0 to {LARGEST_SEED} is wanted, {seed} was found; choose another seed")
