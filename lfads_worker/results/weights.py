"""The best member's weights, by name, for whoever wants to go on with them.

The trainer keeps one member's weights as a flat row; on disk every array has its own name and shape, so the
file is readable without this program: `numpy.load("weights.npz")`.
"""

import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfads_worker.results.files import FileRecord, atomic_write

NamesAndShapes = Sequence[tuple[str, tuple[int, ...]]]


def named_arrays(flat: NDArray[np.float32], parameters: NamesAndShapes) -> dict[str, NDArray[np.float32]]:
    """Cut one member's flat weights into named arrays.

    Args:
      flat: [parameters] weights of one member.
      parameters: name and shape of each array, in the order of the flat row.

    Raises:
      ValueError: if the shapes do not add up to the row.
    """
    sizes = [math.prod(shape) for _, shape in parameters]
    if flat.shape != (sum(sizes),):
        raise ValueError(
            f"weights: one row of {sum(sizes)} numbers wanted, found shape {flat.shape}; "
            "hand over one member's row and the parameters of the same model"
        )
    ends = np.cumsum(sizes)
    return {
        name: flat[end - size : end].reshape(shape).copy()
        for (name, shape), size, end in zip(parameters, sizes, ends, strict=True)
    }


def write_weights(path: Path, weights: Mapping[str, NDArray[np.float32]]) -> FileRecord:
    """Write named arrays as a compressed `.npz`; the same weights give the same bytes."""
    return atomic_write(path, lambda partial: _save(partial, weights))


def _save(path: Path, weights: Mapping[str, NDArray[np.float32]]) -> None:
    """As `numpy.savez_compressed`, whose archives differ in their headers with the release of Python."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in weights.items():
            content = io.BytesIO()
            np.save(content, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content.getvalue())
