"""Which value a copy goes on with: a step away from its source's value, or a new draw.

Pure functions of (hyperparameter, value, rng); limits and weights are the hyperparameter's own. No number of
one call is carried into the next: the smallest step stays the smallest step, for every hyperparameter and
redraw.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.random import Generator

from lfads_worker.pbt.hyperparameters import Hyperparameter

Explore = Callable[[Hyperparameter, float, Generator], float]

# A step is never smaller than this share of the weight, so that a copy never merely repeats its source.
_SMALLEST_SHARE = 0.002

# Draws that leave the limits are repeated this often before the last one is clipped.
_DRAWS = 100


def strategy(name: str, resample_probability: float = 0.0) -> Explore:
    """The strategy of a run by its name in run.yaml.

    Perturb resamples with the given probability, for each hyperparameter on its own; Resample always does.
    """
    if not 0 <= resample_probability <= 1:
        raise ValueError(
            f"explore: a resample probability from 0 to 1 wanted, found {resample_probability}; "
            "0 always perturbs"
        )
    if name == "Perturb":
        return partial(_perturb_or_resample, resample_probability=resample_probability)
    if name == "Resample":
        return resample
    raise ValueError(f"explore: Perturb or Resample wanted, found {name!r}; name one of the two")


def perturb(hyperparameter: Hyperparameter, value: float, rng: Generator) -> float:
    """Moves a value up or down by a random factor.

    For ranges, with w the weight and d the hyperparameter's additive floor (0 unless 0 is in its range):

        new = (value + d) · exp(±u) − d,   u ~ U(log(1 + 0.002 w), log(1 + w)),

    the sign by a fair coin, drawn again up to 100 times until the new value is within the limits, then
    clipped. Up and down are equally likely in log space, so that values do not drift. For choices: to the
    next larger or the next smaller one by a fair coin, or the only one there is at an end.
    """
    if hyperparameter.weight == 0:
        return float(value)
    if hyperparameter.distribution == "choice":
        return _neighbour(hyperparameter.choices, value, rng)
    low, high = hyperparameter.limits
    moved = value
    for _ in range(_DRAWS):
        moved = _scaled(hyperparameter, value, rng)
        if low <= moved <= high:
            break
    return float(min(max(moved, low), high))


def resample(hyperparameter: Hyperparameter, value: float, rng: Generator) -> float:
    """Draws a new value from the hyperparameter's distribution; where it was does not matter."""
    del value
    return hyperparameter.draw(rng)


def _scaled(hyperparameter: Hyperparameter, value: float, rng: Generator) -> float:
    weight, floor = hyperparameter.weight, hyperparameter.floor
    size = rng.uniform(math.log1p(_SMALLEST_SHARE * weight), math.log1p(weight))
    sign = 1 if rng.random() < 0.5 else -1
    return (value + floor) * math.exp(sign * size) - floor


def _neighbour(choices: tuple[float, ...], value: float, rng: Generator) -> float:
    if len(choices) == 1:
        return choices[0]
    here = int(np.argmin([abs(choice - value) for choice in choices]))
    neighbours = [place for place in (here - 1, here + 1) if 0 <= place < len(choices)]
    return choices[neighbours[int(rng.integers(len(neighbours)))]]


def _perturb_or_resample(
    hyperparameter: Hyperparameter, value: float, rng: Generator, *, resample_probability: float
) -> float:
    if rng.random() < resample_probability:
        return resample(hyperparameter, value, rng)
    return perturb(hyperparameter, value, rng)
