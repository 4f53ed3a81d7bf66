"""How trials are cut into minibatches, by properties."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lfads_worker.training.minibatches import cut, shuffled

_TRIALS = st.integers(1, 400).map(lambda n: 3 * np.arange(n) + 7)
_BATCH = st.integers(1, 150)


@given(_TRIALS, _BATCH)
def test_every_trial_is_in_exactly_one_minibatch_in_order(trials, batch_size):
    numbers, weights = cut(trials, batch_size)

    np.testing.assert_array_equal(numbers[weights == 1], trials)
    assert set(np.unique(weights)) <= {0.0, 1.0}


@given(_TRIALS, _BATCH)
def test_minibatches_are_the_fewest_and_of_nearly_equal_size(trials, batch_size):
    _, weights = cut(trials, batch_size)
    sizes = weights.sum(1)

    assert len(weights) == math.ceil(len(trials) / batch_size)
    assert sizes.max() <= batch_size
    assert sizes.max() - sizes.min() <= 1
    assert weights.shape[1] == sizes.max()


@given(_TRIALS, _BATCH)
def test_padding_comes_last_and_names_an_existing_trial(trials, batch_size):
    numbers, weights = cut(trials, batch_size)

    assert (np.diff(weights, axis=1) <= 0).all()
    assert (numbers[weights == 0] == 0).all()
    assert numbers.shape == weights.shape
    assert (numbers.dtype, weights.dtype) == (np.int32, np.float32)


@given(_TRIALS, _BATCH, st.integers(0, 2**63 - 1), st.integers(0, 50), st.integers(0, 200))
def test_an_epoch_is_a_permutation_that_depends_on_its_key_alone(trials, batch_size, seed, generation, epoch):
    first, again = (shuffled(trials, batch_size, seed, generation, epoch) for _ in range(2))

    np.testing.assert_array_equal(np.sort(first.trials[first.weights == 1]), trials)
    np.testing.assert_array_equal(first.trials, again.trials)
    np.testing.assert_array_equal(first.weights, cut(trials, batch_size).weights)


def test_seed_generation_and_epoch_each_give_another_order():
    trials = np.arange(100)
    orders = [
        shuffled(trials, 30, *key).trials for key in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1))
    ]

    for i, first in enumerate(orders):
        for second in orders[:i]:
            assert (first != second).any()


def test_500_trials_in_minibatches_of_at_most_400_are_two_of_250():
    _, weights = cut(np.arange(500), 400)

    np.testing.assert_array_equal(weights.sum(1), [250, 250])
