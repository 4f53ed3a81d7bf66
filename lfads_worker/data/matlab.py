"""MATLAB's .mat files, both kinds, with the axes in the order MATLAB shows them.

Versions 4 to 7 are read by scipy. Version 7.3 is HDF5 in disguise: h5py shows every array with its axes
reversed (MATLAB stores column-major), structs are groups, cells and struct arrays are datasets of object
references into `#refs#`. Here both become the same `Container`, so nothing downstream cares.
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
import scipy.sparse

from lfads_worker.data.containers import Array, Cell, Container, Opaque, Struct, Value, sizes
from lfads_worker.errors import DataError

KIND = "a MATLAB file"


# --- versions 4 to 7 ---------------------------------------------------------------------------------------


def open_v7(path: Path) -> Container:
    """A .mat file of version 4 to 7."""

    def read(name: str) -> Value:
        return _from_scipy(scipy.io.loadmat(path, variable_names=[name], spmatrix=False)[name])

    listing = {name: f"{sizes(shape)} {kind}" for name, shape, kind in scipy.io.whosmat(path)}
    return Container(KIND, matlab_axes=True, listing=listing, read=read)


def _from_scipy(value: Any) -> Value:
    if scipy.sparse.issparse(value):
        dense: Array = value.toarray()
        return dense
    if isinstance(value, scipy.io.matlab.MatlabOpaque | scipy.io.matlab.MatlabFunction):
        return Opaque("class or string")
    if value.dtype.names is not None:
        elements = value.ravel(order="F")
        return Struct(
            tuple({key: _from_scipy(element[key]) for key in value.dtype.names} for element in elements)
        )
    if value.dtype.kind == "O":
        return Cell(tuple(_from_scipy(item) for item in value.ravel(order="F")))
    if value.dtype.kind == "U":
        return "\n".join(str(row) for row in value.ravel())
    array: Array = value
    return array


# --- version 7.3 -------------------------------------------------------------------------------------------


def open_v73(path: Path) -> Container:
    """A .mat file of version 7.3."""

    def read(name: str) -> Value:
        with h5py.File(path, "r") as file:
            return _from_hdf5(name, file[name], file)

    with h5py.File(path, "r") as file:
        # `#refs#` and `#subsystem#` are MATLAB's own store-rooms, not the user's variables.
        listing = {name: _describe(node) for name, node in file.items() if not name.startswith("#")}
    return Container(KIND, matlab_axes=True, listing=listing, read=read)


def is_v73(path: Path) -> bool:
    """Whether an HDF5 file was written by MATLAB's `save -v7.3`, or marked as if it was."""
    with path.open("rb") as stream:
        if stream.read(10) == b"MATLAB 7.3":
            return True
    with h5py.File(path, "r") as file:
        return any("MATLAB_class" in node.attrs for node in file.values())


def _from_hdf5(name: str, node: Any, file: Any) -> Value:
    kind = _matlab_class(node)
    if "MATLAB_object_decode" in node.attrs and kind not in _PLAIN_CLASSES:
        return Opaque(kind)
    if isinstance(node, h5py.Group):
        return _sparse(node) if "MATLAB_sparse" in node.attrs else _struct(name, node, file)
    if node.attrs.get("MATLAB_empty", 0):
        return _empty(kind, _stored_shape(node))
    if h5py.check_ref_dtype(node.dtype) is not None:
        return Cell(tuple(_targets(name, node, file)))
    if kind == "char":
        return "".join(chr(code) for code in node[()].ravel())
    array: Array = np.asarray(node[()]).T
    return array


def _struct(name: str, group: Any, file: Any) -> Struct:
    """A scalar struct holds its fields; in a struct array each field is references without a class."""
    columns: dict[str, list[Value]] = {}
    for field, node in group.items():
        is_column = (
            isinstance(node, h5py.Dataset)
            and h5py.check_ref_dtype(node.dtype) is not None
            and not _matlab_class(node)
        )
        path = f"{name}.{field}"
        columns[field] = _targets(path, node, file) if is_column else [_from_hdf5(path, node, file)]
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise DataError(
            f"{name}: a MATLAB struct is wanted, its fields differ in number; save the file once more"
        )
    count = lengths.pop() if lengths else 0
    return Struct(tuple({field: column[i] for field, column in columns.items()} for i in range(count)))


def _targets(name: str, node: Any, file: Any) -> list[Value]:
    # Reversed axes read row by row are MATLAB's column-by-column order.
    references = node[()].ravel()
    if not all(references):
        raise DataError(
            f"{name}: every element is wanted, an empty reference was found; save the file once more"
        )
    return [_from_hdf5(name, file[reference], file) for reference in references]


def _sparse(group: Any) -> Array:
    columns = group["jc"][()].astype(np.int64)
    rows = int(group.attrs["MATLAB_sparse"])
    if "data" not in group:  # MATLAB leaves the values out when there are none
        return np.zeros((rows, len(columns) - 1))
    parts = (group["data"][()], group["ir"][()].astype(np.int64), columns)
    dense: Array = scipy.sparse.csc_array(parts, shape=(rows, len(columns) - 1)).toarray()
    return dense


def _empty(kind: str, shape: tuple[int, ...]) -> Value:
    if kind == "struct":
        return Struct(())
    if kind == "cell":
        return Cell(())
    return "" if kind == "char" else np.zeros(shape)


def _stored_shape(node: Any) -> tuple[int, ...]:
    """An empty array has its sizes where others have their values."""
    return tuple(int(size) for size in node[()].ravel())


def _describe(node: Any) -> str:
    kind = _matlab_class(node)
    if isinstance(node, h5py.Group):
        return kind or "struct"
    if node.attrs.get("MATLAB_empty", 0):
        return f"{sizes(_stored_shape(node))} {kind}"
    return f"{sizes(tuple(reversed(node.shape)))} {kind or node.dtype}"


def _matlab_class(node: Any) -> str:
    found = node.attrs.get("MATLAB_class", b"")
    return found.decode() if isinstance(found, bytes) else str(found)


# A char or function field may carry the object mark as well; only real objects are out of reach.
_PLAIN_CLASSES = frozenset(
    [
        "double",
        "single",
        "logical",
        "char",
        "cell",
        "struct",
        "int8",
        "uint8",
        "int16",
        "uint16",
        "int32",
        "uint32",
        "int64",
        "uint64",
    ]
)
