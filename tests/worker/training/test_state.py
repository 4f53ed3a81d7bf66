import numpy as np
import pytest

from lfads_worker.training.state import CohortState, gather


def state(member_ids, seed=0):
    rng = np.random.default_rng(seed)
    count = len(member_ids)
    return CohortState(
        member_ids=np.array(member_ids, dtype=np.int64),
        weights=rng.random((count, 5), dtype=np.float32),
        adam_m=rng.random((count, 5), dtype=np.float32),
        adam_v=rng.random((count, 5), dtype=np.float32),
        steps=rng.integers(1, 100, count),
        smoothed=rng.random(count),
    )


def test_rows_are_copies():
    whole = state([4, 5, 6])

    part = whole.rows([2, 0])
    part.weights[:] = 0

    assert part.member_ids.tolist() == [6, 4]
    assert whole.weights.all()


def test_gathered_members_learn_everything_and_keep_their_identity():
    first, second = state([0, 1], seed=1), state([2, 3], seed=2)

    new = gather([(second, 1), (first, 0)], member_ids=[0, 1])

    assert new.member_ids.tolist() == [0, 1]
    for name in ("weights", "adam_m", "adam_v", "steps", "smoothed"):
        np.testing.assert_array_equal(getattr(new, name)[0], getattr(second, name)[1])
        np.testing.assert_array_equal(getattr(new, name)[1], getattr(first, name)[0])
        assert getattr(new, name).dtype == getattr(first, name).dtype


def test_gathering_wants_a_source_for_every_member():
    with pytest.raises(ValueError, match="1 sources, 2 members"):
        gather([(state([0]), 0)], member_ids=[0, 1])


def test_arrays_of_different_length_are_refused():
    good = state([0, 1])

    with pytest.raises(ValueError, match="one row a member"):
        CohortState(good.member_ids, good.weights[:1], good.adam_m, good.adam_v, good.steps, good.smoothed)


def test_equality_is_to_the_bit_and_takes_nan_as_equal():
    one, other = state([0, 1]), state([0, 1])
    one.smoothed[0] = other.smoothed[0] = np.nan
    assert one.equals(other)

    other.weights[1, 3] = np.nextafter(other.weights[1, 3], np.float32(2))
    assert not one.equals(other)
