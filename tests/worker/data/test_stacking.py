"""Trials saved one by one."""

import numpy as np
import pytest

from lfads_worker.data.containers import Cell
from lfads_worker.data.stacking import stack, three_axes
from lfads_worker.errors import DataError


def test_trials_of_neurons_by_time_are_stacked_on_the_last_axis():
    trials = [np.arange(6).reshape(2, 3) + 10 * i for i in range(4)]

    stacked = stack("x", trials)

    assert stacked.shape == (2, 3, 4)
    assert np.array_equal(stacked[:, :, 2], trials[2])


def test_trials_of_time_by_neurons_are_stacked_on_the_first_axis():
    trials = [np.arange(6).reshape(3, 2) + 10 * i for i in range(4)]

    stacked = three_axes("x", Cell(tuple(trials)), "TrialsTimeNeurons")

    assert stacked.shape == (4, 3, 2)
    assert np.array_equal(stacked[1], trials[1])


def test_an_array_with_three_axes_passes():
    array = np.zeros((2, 3, 4))

    assert three_axes("x", array, "Auto") is array


@pytest.mark.parametrize(
    ("shapes", "time_first", "message"),
    [
        ([(2, 3), (2, 5)], False, "equally long trials are wanted, 3 to 5 bins were found"),
        ([(3, 2), (5, 2)], True, "equally long trials are wanted, 3 to 5 bins were found"),
        (
            [(2, 3), (4, 3)],
            False,
            r"2 to 4 neurons were found; if the other axis is neurons, set data\.layout",
        ),
        ([(2, 3, 1)], False, r"x, trial 0 \(from 0\): neurons x time is wanted, 2 x 3 x 1 was found"),
        ([], False, "an empty cell array was found"),
    ],
)
def test_trials_that_do_not_fit_are_refused(shapes, time_first, message):
    with pytest.raises(DataError, match=message):
        stack("x", [np.zeros(shape) for shape in shapes], time_first)
