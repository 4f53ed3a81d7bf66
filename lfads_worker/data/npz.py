"""NumPy's .npz files. Pickled objects inside are refused: they could run anything."""

import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from lfads_worker.data.containers import Container, Value, dtype_word, sizes
from lfads_worker.errors import DataError

KIND = "an npz file"


def open_npz(path: Path) -> Container:
    """Every array under its name."""

    def read(name: str) -> Value:
        with np.load(path, allow_pickle=False) as archive:
            try:
                return np.asarray(archive[name])
            except ValueError as error:
                raise DataError(
                    f"{name}: an array of numbers is wanted, pickled Python objects were found; "
                    "save it with np.savez as a numeric array (equally long trials stacked)"
                ) from error

    with zipfile.ZipFile(path) as archive:
        members = [name for name in archive.namelist() if name.endswith(".npy")]
        listing = {name.removesuffix(".npy"): _describe(archive, name) for name in members}
    return Container(KIND, matlab_axes=False, listing=listing, read=read)


def _describe(archive: zipfile.ZipFile, member: str) -> str:
    """Sizes and type from an array's header, without reading the array."""
    with archive.open(member) as stream:
        version = npy.read_magic(stream)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read_header(stream)
    return f"{sizes(shape)} {dtype_word(dtype)}"
