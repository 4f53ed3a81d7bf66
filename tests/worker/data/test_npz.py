"""NumPy archives."""

import numpy as np
import pytest

from lfads_worker.data.npz import open_npz
from lfads_worker.errors import DataError


def test_arrays_are_listed_from_their_headers_and_read_by_name(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", spikes=np.ones((2, 3, 4), np.uint8), binWidthMs=10)

    container = open_npz(tmp_path / "a.npz")

    assert container.listing == {"spikes": "2 x 3 x 4 uint8", "binWidthMs": "one value, int64"}
    assert container.read("spikes").sum() == 24
    assert container.scalar("binWidthMs") == 10


def test_pickled_objects_are_listed_but_never_loaded(tmp_path):
    objects = np.empty(2, dtype=object)
    objects[:] = [np.zeros((2, 3)), np.zeros((2, 4))]
    np.savez(tmp_path / "a.npz", spikes=objects)

    container = open_npz(tmp_path / "a.npz")

    assert container.listing["spikes"] == "2 objects"
    with pytest.raises(DataError, match=r"pickled Python objects were found; save it with np.savez"):
        container.read("spikes")
