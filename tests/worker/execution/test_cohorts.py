import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfads_worker.execution.cohorts import copy_members, cut, in_member_order, members_per_cohort
from lfads_worker.training.state import CohortState

GB = 10**9


@given(size=st.integers(1, 200), most=st.integers(1, 64))
def test_a_cut_is_balanced_and_loses_nobody(size, most):
    cohorts = cut(size, most)

    assert [member for members in cohorts for member in members] == list(range(size))
    sizes = [len(members) for members in cohorts]
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1
    assert len(cohorts) == -(-size // most)


@pytest.mark.parametrize(
    ("size", "most", "cohorts"),
    [
        pytest.param(4, 2, ((0, 1), (2, 3)), id="even"),
        pytest.param(5, 2, ((0, 1), (2, 3), (4,)), id="one left over"),
        pytest.param(7, 4, ((0, 1, 2, 3), (4, 5, 6)), id="balanced rather than 4 + 3 by luck"),
        pytest.param(10, 4, ((0, 1, 2, 3), (4, 5, 6), (7, 8, 9)), id="4 3 3 and not 4 4 2"),
        pytest.param(3, 8, ((0, 1, 2),), id="all in one"),
    ],
)
def test_cuts_as_one_would_by_hand(size, most, cohorts):
    assert cut(size, most) == cohorts


def test_nobody_cannot_be_cut():
    with pytest.raises(ValueError, match="at least 1 member"):
        cut(0, 2)


@pytest.mark.parametrize(
    ("asked", "size", "device", "expected"),
    [
        pytest.param(5, 20, "cpu", 5, id="as asked"),
        pytest.param(50, 20, "gpu", 20, id="never more than there are"),
        pytest.param("Auto", 20, "cpu", 2, id="two on a CPU"),
        pytest.param("Auto", 1, "cpu", 1, id="a single member"),
        pytest.param("Auto", 20, "gpu", 12, id="what four fifths of 15 GB carry at 1 GB each"),
        pytest.param("Auto", 4, "gpu", 4, id="a small population on a GPU"),
    ],
)
def test_members_per_cohort(asked, size, device, expected):
    assert members_per_cohort(asked, size, device, member_bytes=GB, device_bytes=15 * GB) == expected


def test_what_is_needed_before_the_first_member_is_kept_free():
    memory = {"member_bytes": GB, "device_bytes": 15 * GB}

    assert members_per_cohort("Auto", 20, "gpu", fixed_bytes=2 * GB, **memory) == 10
    assert members_per_cohort("Auto", 20, "gpu", fixed_bytes=40 * GB, **memory) == 1


@pytest.mark.parametrize(
    ("size", "devices", "cohorts"),
    [
        pytest.param(12, 1, 1, id="one GPU trains all"),
        pytest.param(20, 4, 4, id="five members on each of four"),
        pytest.param(20, 3, 3, id="seven, seven and six"),
        pytest.param(20, 64, 20, id="no more than members"),
        pytest.param(60, 2, 5, id="more than GPUs where memory carries but 12"),
    ],
)
def test_auto_shares_a_population_out_over_the_gpus(size, devices, cohorts):
    memory = {"member_bytes": GB, "device_bytes": 15 * GB}

    most = members_per_cohort("Auto", size, "gpu", devices=devices, **memory)

    assert len(cut(size, most)) == cohorts


@pytest.mark.parametrize("devices", [1, 4, 64])
def test_the_number_of_cores_cuts_nothing_differently(devices):
    memory = {"member_bytes": GB, "device_bytes": 15 * GB}

    assert members_per_cohort("Auto", 20, "cpu", devices=devices, **memory) == 2
    assert members_per_cohort(20, 20, "gpu", devices=devices, **memory) == 20


def test_a_member_too_large_for_the_device_still_gets_a_cohort():
    assert members_per_cohort("Auto", 4, "gpu", member_bytes=90 * GB, device_bytes=15 * GB) == 1


def test_rows_come_back_in_the_order_of_the_members():
    assert in_member_order([(0, 3), (1, 2)], [["a", "d"], ["b", "c"]]) == ["a", "b", "c", "d"]


def state(member_ids):
    ids = np.array(member_ids, dtype=np.int64)
    numbers = np.repeat(ids[:, None], 3, axis=1).astype(np.float32)
    return CohortState(ids, numbers, numbers + 10, numbers + 20, ids + 30, ids + 40.0)


def test_a_target_gets_all_that_its_source_learned_across_cohorts():
    cohorts = ((0, 1), (2, 3))
    states = tuple(state(members) for members in cohorts)

    copied = copy_members(cohorts, states, sources=[3, 1, 2, 2])

    assert [one.member_ids.tolist() for one in copied] == [[0, 1], [2, 3]]
    assert [one.weights[:, 0].tolist() for one in copied] == [[3, 1], [2, 2]]
    assert [one.adam_m[:, 0].tolist() for one in copied] == [[13, 11], [12, 12]]
    assert [one.adam_v[:, 0].tolist() for one in copied] == [[23, 21], [22, 22]]
    assert [one.steps.tolist() for one in copied] == [[33, 31], [32, 32]]
    assert [one.smoothed.tolist() for one in copied] == [[43, 41], [42, 42]]


def test_members_that_swap_both_get_what_the_other_had_before():
    cohorts = ((0,), (1,))
    states = tuple(state(members) for members in cohorts)

    copied = copy_members(cohorts, states, sources=[1, 0])

    assert [one.weights[0, 0] for one in copied] == [1, 0]


def test_cohorts_in_which_nobody_copies_stay_as_they_are():
    cohorts = ((0, 1), (2, 3))
    states = tuple(state(members) for members in cohorts)

    copied = copy_members(cohorts, states, sources=[0, 1, 2, 0])

    assert copied[0] is states[0]
