"""MATLAB files of both kinds, read the same."""

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from lfads_worker.data import matlab
from lfads_worker.data.containers import Cell, Struct
from lfads_worker.errors import DataError

KINDS = [pytest.param("a.mat", id="v5"), pytest.param("a.v73.mat", id="v7.3")]


@pytest.fixture
def open_mat(tmp_path, write_file):
    def write_and_open(name, variables):
        path = write_file(tmp_path / name, variables)
        return matlab.open_v73(path) if "v73" in name else matlab.open_v7(path)

    return write_and_open


@pytest.mark.parametrize("name", KINDS)
def test_an_array_keeps_the_axes_that_matlab_shows(open_mat, name):
    array = np.arange(24).reshape(2, 3, 4)

    read = open_mat(name, {"x": array}).read("x")

    assert np.array_equal(read, array)


@pytest.mark.parametrize("name", KINDS)
def test_the_listing_names_sizes_and_leaves_matlabs_own_groups_out(open_mat, name):
    container = open_mat(name, {"x": np.zeros((2, 3, 4)), "c": [np.zeros((1, 2)), np.zeros((1, 2))]})

    assert set(container.listing) == {"x", "c"}
    assert container.listing["x"] == "2 x 3 x 4 double"
    assert container.listing["c"] == "1 x 2 cell"
    assert container.matlab_axes


@pytest.mark.parametrize("name", KINDS)
def test_a_cell_array_keeps_the_order_of_its_items(open_mat, name):
    items = [np.full((2, 3), i) for i in range(5)]

    read = open_mat(name, {"c": items}).read("c")

    assert isinstance(read, Cell)
    assert [int(item[0, 0]) for item in read.items] == [0, 1, 2, 3, 4]
    assert read.items[0].shape == (2, 3)


@pytest.mark.parametrize("name", KINDS)
def test_a_struct_array_becomes_an_element_per_trial(open_mat, name):
    trials = [{"spikes": np.full((2, 3), i), "condition": f"reach{i}"} for i in range(3)]

    read = open_mat(name, {"D": trials}).read("D")

    assert isinstance(read, Struct)
    assert len(read.elements) == 3
    assert read.elements[2]["condition"] == "reach2"
    assert np.array_equal(read.elements[1]["spikes"], np.full((2, 3), 1))


@pytest.mark.parametrize("name", KINDS)
def test_a_scalar_struct_has_one_element_with_nested_values(open_mat, name):
    read = open_mat(name, {"s": {"x": np.arange(6).reshape(2, 3), "inner": {"y": np.array([[7.0]])}}}).read(
        "s"
    )

    assert isinstance(read, Struct)
    (element,) = read.elements
    assert np.array_equal(element["x"], np.arange(6).reshape(2, 3))
    assert element["inner"].elements[0]["y"].item() == 7


@pytest.mark.parametrize("name", KINDS)
def test_sparse_matrices_become_dense_even_without_any_value(open_mat, name):
    dense = np.array([[0.0, 2.0, 0.0], [1.0, 0.0, 0.0]])
    container = open_mat(name, {"s": scipy.sparse.csc_array(dense), "none": scipy.sparse.csc_array((2, 4))})

    assert np.array_equal(container.read("s"), dense)
    assert np.array_equal(container.read("none"), np.zeros((2, 4)))


@pytest.mark.parametrize("name", KINDS)
def test_text_is_read_as_text(open_mat, name):
    assert open_mat(name, {"t": "left reach"}).read("t") == "left reach"


@pytest.mark.parametrize("name", KINDS)
def test_an_empty_array_keeps_its_shape(open_mat, name):
    container = open_mat(name, {"e": np.zeros((0, 3))})

    assert container.read("e").shape == (0, 3)
    assert container.listing["e"] == "0 x 3 double"


@pytest.mark.parametrize("name", KINDS)
def test_logical_arrays_are_numbers(open_mat, name):
    read = open_mat(name, {"b": np.array([[True, False, True]])}).array("b")

    assert read.tolist() == [[1, 0, 1]]


def test_version_4_files_are_read(tmp_path):
    path = tmp_path / "old.mat"
    scipy.io.savemat(path, {"x": np.array([[1.0, 2.0]])}, format="4")

    assert matlab.open_v7(path).read("x").tolist() == [[1, 2]]


def test_a_v73_file_is_known_by_its_header_or_by_marked_arrays(tmp_path, write_file):
    with_header = write_file(tmp_path / "a.v73.mat", {"x": np.zeros((2, 2))})
    plain = write_file(tmp_path / "b.h5", {"x": np.zeros((2, 2))})

    assert matlab.is_v73(with_header)
    assert not matlab.is_v73(plain)


def test_a_matlab_object_is_refused_only_where_it_is_needed(tmp_path):
    import h5py

    path = tmp_path / "t.h5"
    with h5py.File(path, "w") as file:
        table = file.create_dataset("T", data=np.zeros((1, 6), np.uint32))
        table.attrs["MATLAB_class"] = np.bytes_("table")
        table.attrs["MATLAB_object_decode"] = np.int32(3)

        group = file.create_group("s")
        group.attrs["MATLAB_class"] = np.bytes_("struct")
        group["T"] = table
        group["x"] = np.ones((3, 2))

    container = matlab.open_v73(path)

    assert container.read("s").elements[0]["x"].shape == (2, 3)
    with pytest.raises(
        DataError, match=r"T: an array of numbers is wanted, a MATLAB object \(table\) was found"
    ):
        container.array("T")


def test_an_empty_reference_in_a_cell_is_refused(tmp_path):
    import h5py

    path = tmp_path / "c.h5"
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("c", (2, 1), dtype=h5py.ref_dtype)
        dataset.attrs["MATLAB_class"] = np.bytes_("cell")

    with pytest.raises(DataError, match="an empty reference was found"):
        matlab.open_v73(path).read("c")


@pytest.mark.parametrize("kind", ["struct", "cell", "char"])
def test_empty_structs_cells_and_texts_are_empty(tmp_path, kind):
    import h5py

    path = tmp_path / "e.h5"
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("e", data=np.array([0, 0], np.uint64))
        dataset.attrs["MATLAB_class"] = np.bytes_(kind)
        dataset.attrs["MATLAB_empty"] = np.uint8(1)

    read = matlab.open_v73(path).read("e")

    assert read == "" or not (read.elements if kind == "struct" else read.items)
