import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lfads_worker.results import checkpoint
from lfads_worker.results.checkpoint import DamagedError
from lfads_worker.training.state import CohortState, EpochLog

any_float = st.floats(width=32)


@given(arrays.arrays(np.float32, (2, 5), elements=any_float))
def test_a_state_comes_back_bit_for_bit(weights):
    state = CohortState(
        member_ids=np.array([3, 7]),
        weights=weights,
        adam_m=np.asfortranarray(weights),
        adam_v=weights[:, ::-1],
        steps=np.array([1, 2]),
        smoothed=np.array([0.5, np.nan]),
    )

    content = checkpoint.state_to_bytes(state)

    assert checkpoint.state_from_bytes(content).equals(state)
    assert checkpoint.state_to_bytes(state) == content


def test_logs_come_back_bit_for_bit():
    values = np.array([[1.0, np.nan], [np.inf, -0.0], [1 / 3, 5e-324]])
    one = EpochLog(*[values * (number + 1) for number in range(9)], np.ones(3), np.zeros(3))
    other = EpochLog(*[values[:, :1]] * 9, np.ones(3), np.zeros(3))

    back = checkpoint.logs_from_bytes(checkpoint.logs_to_bytes([one, other]), 2)

    for log, found in zip((one, other), back, strict=True):
        assert all(vars(log)[name].tobytes() == vars(found)[name].tobytes() for name in vars(log))


def test_a_file_is_recognised_by_its_content(store):
    file = checkpoint.put(store, "a", b"content")

    assert file.sha256 == hashlib.sha256(b"content").hexdigest()
    assert checkpoint.get(store, file) == b"content"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        pytest.param(b"conten", "has 6 bytes instead of 7", id="cut off"),
        pytest.param(b"Content", "its checksum is another one", id="changed"),
        pytest.param(None, "a is missing", id="gone"),
    ],
)
def test_a_damaged_file_is_told(store, content, found):
    file = checkpoint.put(store, "a", b"content")
    if content is None:
        store.delete("a")
    else:
        store.write("a", content)

    with pytest.raises(DamagedError, match=found):
        checkpoint.get(store, file)


@pytest.mark.parametrize("content", [b"", b"no file of arrays", checkpoint._to_bytes({"x": np.ones(2)})])
def test_what_is_no_state_is_damaged(content):
    with pytest.raises(DamagedError):
        checkpoint.state_from_bytes(content)
