"""What no recording may be. Sentences are in the table of bad data; here: what passes and what is counted."""

import numpy as np
import pytest

from lfads_worker.data.screening import screen_external_inputs, screen_finite, screen_rates, screen_spikes
from lfads_worker.errors import DataError


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_whole_counts_of_any_type_pass(dtype):
    screen_spikes("x", np.eye(4).reshape(2, 2, 4).astype(dtype), counts=True)


def test_values_of_gaussian_observations_may_be_anything_finite():
    screen_spikes("x", np.full((2, 2, 2), -0.5), counts=False)
    screen_spikes("x", np.zeros((2, 2, 2)), counts=False)
    with pytest.raises(DataError, match="NaN"):
        screen_spikes("x", np.full((2, 2, 2), np.inf), counts=False)


def test_trials_are_counted_and_the_first_is_named():
    spikes = np.ones((10, 3, 2))
    spikes[4, 1, 1] = spikes[7] = -1

    with pytest.raises(
        DataError, match=r"x: 2 of 10 trials have negative counts \(the first is number 4, from 0\)"
    ):
        screen_spikes("x", spikes, counts=True)


def test_external_inputs_must_go_with_the_spikes():
    screen_external_inputs(np.zeros((4, 5, 2)), 4, 5)
    with pytest.raises(DataError, match="4 trials x 6 bins x features is wanted, 4 x 5 x 2 was found"):
        screen_external_inputs(np.zeros((4, 5, 2)), 4, 6)


def test_rates_are_finite_and_not_negative():
    screen_rates(np.zeros((2, 2, 2)))
    with pytest.raises(DataError, match="negative rates"):
        screen_rates(np.full((2, 2, 2), -0.1))
    with pytest.raises(DataError, match="NaN or infinite"):
        screen_finite("x", np.full((2, 2, 2), np.nan))
