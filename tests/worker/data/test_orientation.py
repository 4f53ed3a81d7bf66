"""Axes: found by convention and evidence, refused where those disagree."""

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from lfads_worker.data.orientation import (
    TRIALS_AXIS,
    Evidence,
    Orientation,
    decide,
    length_evidence,
    pair_evidence,
    spreads,
)
from lfads_worker.errors import DataError

LAYOUTS = ("NeuronsTimeTrials", "TrialsTimeNeurons")
KINDS = {"NeuronsTimeTrials": "a MATLAB file", "TrialsTimeNeurons": "an HDF5 file"}
size = st.integers(1, 6)


def homogeneous(shape):
    return np.ones(shape, np.uint8)


def recording(trials=60, time=50, neurons=20, seed=0):
    """[trials, time, neurons] counts whose neurons differ in rate as real ones do."""
    rng = np.random.default_rng(seed)
    rates = rng.gamma(1.0, 0.4, neurons)
    return rng.poisson(rates, (trials, time, neurons)).astype(np.uint8)


@given(size, size, size, st.sampled_from(LAYOUTS))
def test_turning_an_array_gives_trials_time_neurons(trials, time, neurons, layout):
    array = np.arange(trials * time * neurons).reshape(trials, time, neurons)
    stored = array if layout == "TrialsTimeNeurons" else array.transpose(2, 1, 0)

    assert np.array_equal(Orientation(layout, "", True).turn(stored), array)


@given(size, size, size, st.sampled_from(LAYOUTS))
def test_a_list_of_trials_decides_for_the_convention_or_refuses(a, b, c, convention):
    assume(a != c)
    array = homogeneous((a, b, c))
    trials = array.shape[TRIALS_AXIS[convention]]

    found = decide(
        "x", array, "Auto", convention, KINDS[convention], [length_evidence("condition", trials, array.shape)]
    )

    assert found.layout == convention
    assert found.confirmed
    with pytest.raises(DataError, match=r"set data\.layout"):
        decide(
            "x",
            array,
            "Auto",
            convention,
            KINDS[convention],
            [length_evidence("condition", array.shape[2 - TRIALS_AXIS[convention]], array.shape)],
        )


@given(size, size, size, st.sampled_from(LAYOUTS), st.integers(0, 9))
def test_whatever_is_decided_fits_all_evidence(a, b, c, convention, length):
    array = homogeneous((a, b, c))
    try:
        found = decide("x", array, "Auto", convention, "a file", [length_evidence("n", length, array.shape)])
    except DataError:
        assert array.shape[TRIALS_AXIS[convention]] != length
    else:
        assert found.layout == convention
        assert array.shape[TRIALS_AXIS[convention]] == length


@given(size, size, size, st.sampled_from(LAYOUTS), st.sampled_from(LAYOUTS))
def test_data_layout_wins_over_the_convention(a, b, c, convention, asked):
    found = decide("x", homogeneous((a, b, c)), asked, convention, "a file")

    assert found.layout == asked
    assert found.confirmed


def test_equal_sizes_leave_a_length_undecided():
    array = homogeneous((5, 9, 5))

    found = decide("x", array, "Auto", "NeuronsTimeTrials", "a file", [length_evidence("n", 5, array.shape)])

    assert not found.confirmed
    assert found.reason.endswith("nothing in the file confirms it")


def test_without_evidence_the_convention_stands_and_says_so():
    found = decide("x", homogeneous((3, 4, 5)), "Auto", "TrialsTimeNeurons", "an HDF5 file")

    assert found.layout == "TrialsTimeNeurons"
    assert not found.confirmed
    assert found.reason == (
        "trials x time x neurons, the convention of an HDF5 file; nothing in the file confirms it"
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("convention", LAYOUTS)
def test_counts_confirm_the_right_way_round_and_refuse_the_wrong_one(seed, convention):
    right = recording(seed=seed)
    right = right if convention == "TrialsTimeNeurons" else right.transpose(2, 1, 0)

    assert decide("x", right, "Auto", convention, "a file").confirmed
    with pytest.raises(DataError, match=r"axis varies in rate like neurons do.*set data\.layout"):
        decide("x", right.transpose(2, 1, 0), "Auto", convention, "a file")


def test_time_on_another_axis_than_the_middle_is_refused():
    trials_neurons_time = recording().transpose(0, 2, 1)

    with pytest.raises(
        DataError, match=r"its middle axis varies in rate like neurons do.*bring time to the middle"
    ):
        decide("x", trials_neurons_time, "Auto", "TrialsTimeNeurons", "an HDF5 file")


def test_a_list_of_trials_wins_over_the_look_of_the_counts():
    wrong_looking = recording()  # neurons last, in a MATLAB file

    with pytest.raises(DataError, match="varies in rate like neurons"):
        decide("x", wrong_looking, "Auto", "NeuronsTimeTrials", "a MATLAB file")
    evidence = [length_evidence("condition", 20, wrong_looking.shape)]
    assert decide("x", wrong_looking, "Auto", "NeuronsTimeTrials", "a MATLAB file", evidence).confirmed


@pytest.mark.parametrize("convention", LAYOUTS)
def test_a_list_of_trials_does_not_say_which_axis_is_time(convention):
    right, wrong = recording(), recording().transpose(0, 2, 1)
    if convention == "NeuronsTimeTrials":
        right, wrong = right.transpose(2, 1, 0), wrong.transpose(2, 1, 0)
    evidence = [length_evidence("condition", 60, right.shape)]

    assert decide("x", right, "Auto", convention, "a file", evidence).confirmed
    with pytest.raises(DataError, match=r"its middle axis varies in rate like neurons do.*bring time"):
        decide("x", wrong, "Auto", convention, "a file", evidence)
    assert decide("x", wrong, convention, convention, "a file", evidence).confirmed


def test_a_file_that_states_its_layout_is_believed():
    stated = Evidence("the file says TrialsTimeNeurons", frozenset({0}), tells_time=True)

    wrong_looking = recording().transpose(0, 2, 1)
    assert decide("x", wrong_looking, "Auto", "TrialsTimeNeurons", "an HDF5 file", [stated]).confirmed


@given(st.integers(0, 1000), st.floats(0.01, 5))
@example(seed=62, rate=0.04296875)  # nine spikes in all
def test_homogeneous_poisson_noise_is_never_taken_for_neurons(seed, rate):
    counts = np.random.default_rng(seed).poisson(rate, (7, 6, 5))

    decide("x", counts, "Auto", "TrialsTimeNeurons", "a file")


def test_spread_is_the_relative_variance_beyond_poisson_noise():
    counts = np.zeros((2, 3, 4))
    counts[:, :, 0], counts[:, :, 1] = 10, 30
    totals = np.array([60.0, 180.0, 0.0, 0.0])

    plain, _ = spreads(counts)

    assert plain[2] == pytest.approx((totals.var(ddof=1) - totals.mean()) / totals.mean() ** 2)
    assert plain[0] == 0


@pytest.mark.parametrize(
    "array",
    [np.zeros((2, 3, 4)), np.zeros((0, 3, 4)), np.full((2, 3, 4), -1.0), np.full((2, 3, 4), np.nan)],
    ids=["silent", "empty", "negative", "nan"],
)
def test_spread_of_what_has_no_rates_is_zero(array):
    assert np.array_equal(spreads(array), np.zeros((2, 3)))


def test_two_parts_with_other_numbers_of_trials_show_the_trials_axis():
    evidence = pair_evidence("a", homogeneous((10, 5, 4)), "b", homogeneous((3, 5, 4)))

    assert evidence.fits == {0}
    assert pair_evidence("a", homogeneous((4, 5, 10)), "b", homogeneous((4, 5, 3))).fits == {2}
    assert pair_evidence("a", homogeneous((4, 5, 6)), "b", homogeneous((4, 5, 6))).fits == {0, 2}


def test_two_parts_with_other_neurons_show_the_other_axis():
    evidence = pair_evidence("a", homogeneous((10, 5, 4)), "b", homogeneous((10, 5, 2)), "neurons")

    assert evidence.fits == {0}


def test_some_spread_of_trials_is_normal_and_far_more_than_the_neurons_is_not():
    counts = recording(trials=60, neurons=20).astype(int)
    one_state, one_outlier = counts.copy(), counts.copy()
    one_state[:30] *= 3
    one_outlier[0] *= 200

    decide("x", one_state, "Auto", "TrialsTimeNeurons", "an HDF5 file")

    with pytest.raises(DataError, match="its first axis varies in rate like neurons do"):
        decide("x", one_outlier, "Auto", "TrialsTimeNeurons", "an HDF5 file")
