import zipfile

import numpy as np
import pytest

from lfads_worker.results.weights import named_arrays, write_weights

PARAMETERS = [("generator/kernel", (2, 3)), ("scale", ()), ("readout/bias", (4,))]


def test_flat_weights_become_named_arrays_in_order():
    arrays = named_arrays(np.arange(11, dtype=np.float32), PARAMETERS)

    np.testing.assert_array_equal(arrays["generator/kernel"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(arrays["scale"], 6)
    np.testing.assert_array_equal(arrays["readout/bias"], [7, 8, 9, 10])


@pytest.mark.parametrize("shape", [(10,), (12,), (1, 11)])
def test_weights_of_another_model_are_refused(shape):
    with pytest.raises(ValueError, match="one row of 11 numbers wanted"):
        named_arrays(np.zeros(shape, np.float32), PARAMETERS)


def test_weights_read_back_by_name(tmp_path):
    arrays = named_arrays(np.arange(11, dtype=np.float32), PARAMETERS)

    write_weights(tmp_path / "best" / "weights.npz", arrays)

    with np.load(tmp_path / "best" / "weights.npz") as found:
        assert found.files == [name for name, _ in PARAMETERS]
        for name, expected in arrays.items():
            np.testing.assert_array_equal(found[name], expected)
            assert found[name].dtype == np.float32


def test_the_same_weights_give_the_same_bytes(tmp_path):
    arrays = named_arrays(np.arange(11, dtype=np.float32), PARAMETERS)

    first = write_weights(tmp_path / "a.npz", arrays)
    second = write_weights(tmp_path / "b.npz", arrays)

    assert first == second


def test_releases_of_python_give_the_same_archive(tmp_path):
    write_weights(tmp_path / "a.npz", named_arrays(np.arange(11, dtype=np.float32), PARAMETERS))

    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        entries = archive.infolist()
    # Headers for large files, which releases write in different ways, would be of version 45.
    assert {(entry.create_version, entry.extract_version, entry.extra) for entry in entries} == {
        (20, 20, b"")
    }
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
