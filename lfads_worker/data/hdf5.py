"""HDF5 files that Python (or MATLAB's h5write) made: datasets by their path, axes as h5py shows them."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lfads_worker.data.containers import Array, Container, Value, sizes

KIND = "an HDF5 file"


def open_hdf5(path: Path) -> Container:
    """Every dataset under its path without the first slash, such as `session/spikes`."""
    listing: dict[str, str] = {}

    def note(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            listing[name] = f"{sizes(node.shape or ())} {_dtype_word(node)}"

    with h5py.File(path, "r") as file:
        file.visititems(note)
        attributes = dict(file.attrs)

    def read(name: str) -> Value:
        with h5py.File(path, "r") as file:
            return _value(file[name])

    return Container(KIND, matlab_axes=False, listing=listing, read=read, attributes=attributes)


def _value(dataset: Any) -> Value:
    if h5py.check_string_dtype(dataset.dtype) is not None:
        # Text as an array: condition names may come this way.
        text: Array = np.asarray(dataset.asstr()[()], dtype=str)
        return str(text) if text.ndim == 0 else text
    array: Array = np.asarray(dataset[()])
    return array


def _dtype_word(dataset: Any) -> str:
    return "text" if h5py.check_string_dtype(dataset.dtype) is not None else str(dataset.dtype)
