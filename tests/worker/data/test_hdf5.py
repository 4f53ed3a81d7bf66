"""Plain HDF5 files."""

import h5py
import numpy as np

from lfads_worker.data.hdf5 import open_hdf5


def test_datasets_are_listed_by_path_and_read_as_stored(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["top"] = np.arange(6).reshape(2, 3)
        file["session/spikes"] = np.zeros((2, 3, 4), np.uint8)
        file.attrs["bin_width_ms"] = 5.0

    container = open_hdf5(path)

    assert container.listing == {"session/spikes": "2 x 3 x 4 uint8", "top": "2 x 3 int64"}
    assert container.read("top").tolist() == [[0, 1, 2], [3, 4, 5]]
    assert container.scalar("bin_width_ms") == 5
    assert not container.matlab_axes


def test_text_is_read_as_text(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["note"] = "hello"
        file["condition"] = ["left", "right"]

    container = open_hdf5(path)

    assert container.read("note") == "hello"
    assert container.read("condition").tolist() == ["left", "right"]
    assert container.listing["note"] == "one value, text"
