"""Which neurons, trials and conditions stand for all in the figures: evenly spread, so nothing is picked.

Neurons are ranked by how strongly their inferred rate is modulated and taken at even distances of rank, the
strongest and the median among them; with held-out neurons, half of those shown are held out.
"""

import numpy as np
from numpy.typing import NDArray

from lfads_worker.report.inferred import Inferred

NEURONS, TRIALS, CONDITIONS = 4, 3, 8


def example_neurons(inferred: Inferred, count: int = NEURONS) -> list[int]:
    """Numbers of the neurons to show, from the most modulated on."""
    held_out = inferred.neurons - inferred.held_in_neurons
    first = min(held_out, count // 2)
    modulation = _modulation(inferred)
    split = inferred.held_in_neurons
    seen = _evenly_ranked(modulation[:split], count - first)
    unseen = [split + i for i in _evenly_ranked(modulation[split:], first)]
    return seen + unseen


def example_trials(inferred: Inferred, count: int = TRIALS) -> list[int]:
    """Validation trials, evenly spaced."""
    return _spread(inferred.valid, count)


def example_conditions(conditions: NDArray[np.int64], count: int = CONDITIONS) -> list[int]:
    """Conditions to show: all if they are few, else evenly spaced ones of those with the usual trials."""
    found, trials = np.unique(conditions, return_counts=True)
    return _spread(found if len(found) <= count else found[trials >= np.median(trials)], count)


def _modulation(inferred: Inferred) -> NDArray[np.float64]:
    """[neurons] standard deviation of the rate over bins and trials, relative to that of Poisson noise."""
    rates = inferred.rates[inferred.valid]
    deviation: NDArray[np.float64] = np.nanstd(rates, axis=(0, 1), dtype=np.float64)
    mean: NDArray[np.float64] = np.abs(np.nanmean(rates, axis=(0, 1), dtype=np.float64))
    return deviation / np.sqrt(np.maximum(mean, 1e-9)) if inferred.counts else deviation


def _evenly_ranked(modulation: NDArray[np.float64], count: int) -> list[int]:
    """From the strongest to the median, at even distances of rank."""
    ranked = np.argsort(-modulation, kind="stable")
    return _spread(ranked[: max(count, (len(ranked) + 1) // 2)], count)


def _spread(values: NDArray[np.int64], count: int) -> list[int]:
    places = np.unique(np.linspace(0, len(values) - 1, min(count, len(values))).round().astype(int))
    return [int(value) for value in values[places]]
