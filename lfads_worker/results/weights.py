"""The best member's weights, by name, for whoever wants to go on with them.

The trainer keeps one member's weights as a flat row; on disk every array has its own name and shape, so the
file is readable without this program: `numpy.load("weights.npz")`.
"""

import math
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
    with path.open("wb") as file:  # an open file: numpy would add `.npz` to a temporary name
        np.savez_compressed(file, allow_pickle=False, **weights)
