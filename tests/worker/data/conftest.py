"""Small recordings, and a writer that imitates what MATLAB's `save -v7.3` leaves in a file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from autolfads_spec.data import DataSpec
from lfads_worker.data.files import load_spikes
from lfads_worker.data.spikes import SpikeData

REACH = Path(__file__).parents[4] / "shared" / "data" / "reach.mat"


def counts(trials: int = 6, time: int = 8, neurons: int = 4, seed: int = 0) -> np.ndarray:
    """[trials, time, neurons] counts; every trial, bin and neuron differs from the others."""
    rng = np.random.default_rng(seed)
    return rng.poisson(1.0, (trials, time, neurons)).astype(np.uint8)


@pytest.fixture
def make_counts() -> Callable[..., np.ndarray]:
    return counts


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., SpikeData]:
    """Writes variables to a file of the named kind and loads it with these fields of `data`."""

    def write_and_load(
        name: str, variables: dict[str, Any], observations: str = "Poisson", **data: Any
    ) -> SpikeData:
        path = write(tmp_path / name, variables)
        data.setdefault("bin_width_ms", None if "binWidthMs" in variables else 10.0)
        return load_spikes(DataSpec(uri=str(path), **data), observations)

    return write_and_load


@pytest.fixture
def write_file() -> Callable[[Path, dict[str, Any]], Path]:
    return write


@pytest.fixture
def reach() -> Path:
    if not REACH.exists():
        pytest.skip("the real recording ../shared/data/reach.mat is not on this machine")
    return REACH


def write(path: Path, variables: dict[str, Any]) -> Path:
    """By the name: `….v73.mat` imitates MATLAB 7.3, `.mat` is version 5, `.h5`, `.npz`."""
    if path.name.endswith(".v73.mat"):
        write_v73(path, variables)
    elif path.suffix == ".mat":
        scipy.io.savemat(path, {name: _for_savemat(value) for name, value in variables.items()})
    elif path.suffix == ".npz":
        np.savez(path, **variables)
    else:
        with h5py.File(path, "w") as file:
            for name, value in variables.items():
                file[name] = value
    return path


def cell(items: list[Any]) -> np.ndarray:
    """A 1 x n MATLAB cell array for `savemat`."""
    array = np.empty((1, len(items)), dtype=object)
    for i, item in enumerate(items):
        array[0, i] = item
    return array


def _for_savemat(value: Any) -> Any:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        struct = np.empty((1, len(value)), dtype=[(key, object) for key in value[0]])
        for i, element in enumerate(value):
            for key in element:
                struct[0, i][key] = element[key]
        return struct
    return cell(value) if isinstance(value, list) else value


# --- MATLAB 7.3 --------------------------------------------------------------------------------------------
# As described in MATLAB's and h5py's public documentation: arrays with reversed axes and a MATLAB_class,
# cells as object references, struct arrays as a group of reference columns, a 512-byte text block in front.


def write_v73(path: Path, variables: dict[str, Any]) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            _put(file, file, name, value)
    with path.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116) + b"\0" * 8 + b"\0\2IM")


def _put(file: h5py.File, parent: Any, name: str, value: Any) -> None:
    if scipy.sparse.issparse(value):
        _put_sparse(parent, name, value.tocsc())
    elif isinstance(value, dict):
        group = parent.create_group(name)
        group.attrs["MATLAB_class"] = np.bytes_("struct")
        for key, item in value.items():
            _put(file, group, key, item)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        group = parent.create_group(name)
        group.attrs["MATLAB_class"] = np.bytes_("struct")
        for key in value[0]:
            _put_references(file, group, key, [element[key] for element in value])
    elif isinstance(value, list):
        _put_references(file, parent, name, value).attrs["MATLAB_class"] = np.bytes_("cell")
    elif isinstance(value, str):
        codes = np.array([[ord(letter)] for letter in value], dtype=np.uint16)
        parent.create_dataset(name, data=codes).attrs["MATLAB_class"] = np.bytes_("char")
    else:
        _put_array(parent, name, np.atleast_2d(value))


def _put_array(parent: Any, name: str, array: np.ndarray) -> None:
    kind = {"float64": "double", "float32": "single", "bool": "logical"}.get(
        array.dtype.name, array.dtype.name
    )
    if array.size == 0:
        dataset = parent.create_dataset(name, data=np.array(array.shape, dtype=np.uint64))
        dataset.attrs["MATLAB_empty"] = np.uint8(1)
    else:
        stored = array.astype(np.uint8) if array.dtype == bool else array
        dataset = parent.create_dataset(name, data=np.ascontiguousarray(stored.T))
    dataset.attrs["MATLAB_class"] = np.bytes_(kind)


def _put_references(file: h5py.File, parent: Any, name: str, items: list[Any]) -> h5py.Dataset:
    """A 1 x n cell: HDF5 shows it as n x 1."""
    store = file.require_group("#refs#")
    references = np.empty((len(items), 1), dtype=h5py.ref_dtype)
    for i, item in enumerate(items):
        key = f"r{len(store)}"
        _put(file, store, key, item)
        references[i, 0] = store[key].ref
    return parent.create_dataset(name, data=references, dtype=h5py.ref_dtype)


def _put_sparse(parent: Any, name: str, matrix: Any) -> None:
    group = parent.create_group(name)
    group.attrs["MATLAB_class"] = np.bytes_("double")
    group.attrs["MATLAB_sparse"] = np.uint64(matrix.shape[0])
    group["jc"] = matrix.indptr.astype(np.uint64)
    if matrix.nnz:
        group["ir"], group["data"] = matrix.indices.astype(np.uint64), matrix.data
