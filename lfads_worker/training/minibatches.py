"""Which trials make up each minibatch: a pure function of seed, generation and epoch.

Every member of the population sees the same minibatches in the same order, so
a cohort shares its data and the cut into cohorts changes nothing. Numpy only.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_SHUFFLE = 1  # spawn key of the shuffle; other consumers of the run's seed have theirs


class Minibatches(NamedTuple):
    """Trial numbers and weights of one epoch, padded to one size."""

    trials: NDArray[np.int32]  # [steps, batch]
    weights: NDArray[np.float32]  # [steps, batch] 1 for a trial, 0 for padding


def cut(trials: NDArray[np.int64], batch_size: int) -> Minibatches:
    """Trials in the given order, in the fewest batches of at most `batch_size`, of nearly equal size.

    500 trials with a batch size of 400 become two batches of 250, not 400 and
    100: no step is noisier than another and hardly anything is padding.
    """
    steps = math.ceil(len(trials) / batch_size)
    size = math.ceil(len(trials) / steps)
    numbers = np.zeros(steps * size, np.int32)
    weights = np.zeros(steps * size, np.float32)
    places = np.concatenate(
        [np.arange(len(part)) + i * size for i, part in enumerate(np.array_split(trials, steps))]
    )
    numbers[places] = trials
    weights[places] = 1.0
    return Minibatches(numbers.reshape(steps, size), weights.reshape(steps, size))


def shuffled(
    trials: NDArray[np.int64], batch_size: int, seed: int, generation: int, epoch: int
) -> Minibatches:
    """The minibatches of one epoch of one generation, in an order of their own."""
    rng = np.random.default_rng([seed, _SHUFFLE, generation, epoch])
    return cut(rng.permutation(trials), batch_size)
