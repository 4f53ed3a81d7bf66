"""What files say beside the spikes, in whatever form they say it."""

import numpy as np
import pytest

from lfads_worker.data.containers import Container
from lfads_worker.data.recording import conditions_of, per_bin, stated_layout, whole_numbers
from lfads_worker.errors import DataError


@pytest.mark.parametrize("values", [[1, 2, 3], [[1.0, 2.0, 3.0]], [[1], [2], [3]]])
def test_whole_numbers_come_from_any_vector(values):
    found = whole_numbers("inds", np.array(values))

    assert found.dtype == np.int64
    assert found.tolist() == [1, 2, 3]


@pytest.mark.parametrize("values", [[1.5, 2.0], [np.nan, 1.0]])
def test_fractions_are_not_trial_numbers(values):
    with pytest.raises(DataError, match="inds: whole numbers are wanted"):
        whole_numbers("inds", np.array(values))


def test_a_matrix_is_not_a_list():
    with pytest.raises(DataError, match=r"a list of whole numbers is wanted, 2 x 2 was found; save a vector"):
        whole_numbers("inds", np.ones((2, 2)))


def test_condition_names_are_numbered_alphabetically_and_angles_by_size():
    for values, numbers, names in (
        (["right", "left", "right"], [1, 0, 1], ("left", "right")),
        (["zurück".encode(), b"hin"], [1, 0], ("hin", "zurück")),
        ([45, 22.5, 45, 0], [2, 1, 2, 0], ("0", "22.5", "45")),
        ([7, 5, 7], [7, 5, 7], None),
        ([7.0, 5.0, 7.0], [7, 5, 7], None),
    ):
        found = conditions_of(np.array(values))
        assert (found.numbers.tolist(), found.names) == (numbers, names)


def test_rates_are_divided_by_the_conversion_factor():
    rates, notes = per_bin("truth", np.array([2.0, 4.0]), 4.0)

    assert rates.tolist() == [0.5, 1.0]
    assert notes == ["truth was divided by conversion_factor (4)"]
    assert per_bin("truth", np.array([2.0]), 1.0)[1] == []
    assert "taken as the expected count per bin" in per_bin("truth", np.array([2.0]), None)[1][0]


def test_a_conversion_factor_of_zero_is_refused():
    with pytest.raises(DataError, match="conversion_factor: a number above 0 is wanted, 0 was found"):
        per_bin("truth", np.ones(2), 0.0)


@pytest.mark.parametrize(("layout", "axis"), [("TrialsTimeNeurons", 0), ("NeuronsTimeTrials", 2)])
def test_a_file_may_state_its_layout(layout, axis):
    container = Container("a file", False, {}, {}.__getitem__, {"layout": layout})

    (evidence,) = stated_layout(container)

    assert evidence.fits == {axis}
    assert stated_layout(Container("a file", False, {}, {}.__getitem__, {"layout": "C"})) == ()
