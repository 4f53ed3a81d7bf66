"""Conditions, rates, inputs, bin width and trial numbers beside the spikes."""

import numpy as np
import pytest

from lfads_worker.data import companions
from lfads_worker.data.containers import Cell, Container, describe
from lfads_worker.data.orientation import Orientation
from lfads_worker.errors import DataError

AS_STORED = Orientation("TrialsTimeNeurons", "", True)
TURNED = Orientation("NeuronsTimeTrials", "", True)


def beside(attributes=None, **values):
    listing = {name: describe(value) for name, value in values.items()}
    return Container("a file", False, listing, values.__getitem__, attributes or {})


@pytest.mark.parametrize(
    "value",
    [
        np.array([[2, 1, 2]]),
        Cell((np.array([[2.0]]), np.array([[1.0]]), np.array([[2.0]]))),
    ],
)
def test_conditions_come_from_vectors_and_cells(value):
    found, notes = companions.conditions(beside(conditions=value))

    assert found["conditions"].numbers.tolist() == [2, 1, 2]
    assert found["conditions"].names is None
    assert notes == []


def test_conditions_may_be_words():
    found, _ = companions.conditions(beside(condition=Cell(("up", "down", "up"))))

    assert found["condition"].numbers.tolist() == [1, 0, 1]
    assert found["condition"].names == ("down", "up")


def test_conditions_of_another_kind_are_left_aside_with_a_note():
    found, notes = companions.conditions(beside(condition=np.ones((5, 3))))

    assert found == {}
    assert notes == [
        "condition is not one number or word per trial and was left aside; save a vector of numbers, "
        "or a cell array of words"
    ]


def test_conditions_with_nan_are_left_aside_and_train_all_the_same():
    found, notes = companions.conditions(beside(condition=np.array([0.0, np.nan, 1.0])))

    assert found == {}
    assert notes == ["condition has NaN or infinite values and was left aside; give every trial a number"]


def test_true_rates_are_turned_and_converted_like_the_spikes():
    truth = np.arange(24.0).reshape(2, 3, 4)

    found, _ = companions.true_rates(
        beside(truth=truth, conversion_factor=np.array(2)), (2, 3, 4), TURNED, "Auto"
    )

    assert np.array_equal(found, truth.transpose(2, 1, 0) / 2)


def test_truth_of_another_shape_is_refused_and_rates_of_another_shape_are_left_aside():
    with pytest.raises(
        DataError, match="truth: the shape of the spikes, 2 x 3 x 4, is wanted, 4 x 3 x 2 was found"
    ):
        companions.true_rates(beside(truth=np.ones((4, 3, 2))), (2, 3, 4), AS_STORED, "Auto")
    with pytest.raises(DataError, match="rates: the shape of the spikes"):
        companions.true_rates(beside(rates=np.ones((4, 3, 2))), (2, 3, 4), AS_STORED, "Auto")

    found, notes = companions.true_rates(beside(rates=np.ones(7)), (2, 3, 4), AS_STORED, "Auto")

    assert found is None
    assert notes == ["rates has another shape than the spikes (7) and was left aside"]


def test_external_inputs_are_used_only_when_asked_for():
    inputs = np.arange(6.0).reshape(1, 3, 2)

    assert companions.external_inputs(beside(u=inputs), None, AS_STORED, "Auto") is None
    assert companions.external_inputs(beside(u=inputs), "u", TURNED, "Auto").shape == (2, 3, 1)
    with pytest.raises(
        DataError, match=r"data\.externalInputs: v is wanted, it holds u \(1 x 3 x 2 float64\)"
    ):
        companions.external_inputs(beside(u=inputs), "v", AS_STORED, "Auto")


@pytest.mark.parametrize(
    "file",
    [
        beside(binWidthMs=np.array([[5.0]])),
        beside(bin_width_ms=np.array(5)),
        beside({"bin_width_ms": 5.0}),
        beside(binWidthMs=Cell((np.array([[5.0]]), np.array([[5.0]])))),
    ],
    ids=["variable", "python name", "attribute", "column of a struct array"],
)
def test_the_bin_width_is_found_wherever_it_is(file):
    assert companions.bin_width(file) == 5


def test_no_bin_width_is_none():
    assert companions.bin_width(beside(x=np.ones(2))) is None


@pytest.mark.parametrize("first", [0, 1])
def test_trial_numbers_may_count_from_zero_or_one(first):
    numbers = (np.array([3, 0, 1]) + first, np.array([2, 4]) + first)

    found = companions.split(numbers, 5)

    assert found.train.tolist() == [0, 1, 3]
    assert found.valid.tolist() == [2, 4]
    assert found.sentence == f"train_inds and valid_inds in the file, counted from {first}"


@pytest.mark.parametrize("numbers", [([0, 1], [1, 2]), ([0, 1], [3]), ([2, 3], [4]), ([], [])])
def test_trial_numbers_that_are_no_partition_are_refused(numbers):
    with pytest.raises(DataError, match="each of 3 trials once is wanted"):
        companions.split(tuple(np.array(part, np.int64) for part in numbers), 3)


def test_conditions_in_cells_of_several_numbers_are_left_aside():
    found, notes = companions.conditions(beside(condition=Cell((np.ones(2), np.ones(1)))))

    assert found == {}
    assert len(notes) == 1
