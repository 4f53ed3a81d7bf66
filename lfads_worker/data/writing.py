"""Synthetic recordings as HDF5 files, in the layout that our own reader takes without a word of YAML.

`spikes`, `truth`, `latents` and `inputs` are trials x time x features, `condition` has a number per trial,
and the attributes say the bin width, the layout and what the data were made with. The same data give the
same bytes. A file appears complete or not at all: it is written under another name and then renamed.
"""

import os
import tempfile
from pathlib import Path

import h5py
import numpy as np

from lfads_worker.data.synthetic import SyntheticData
from lfads_worker.errors import OutputError


def write_hdf5(data: SyntheticData, path: Path | str, overwrite: bool = False) -> Path:
    """Write a synthetic recording.

    Args:
      data: from `lorenz` or `chaotic_rnn`.
      path: the file; its folder is made when missing.
      overwrite: replace an existing file.

    Raises:
      OutputError: if the file exists and may not be replaced, or cannot be written.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: a new file is wanted, one is there already; remove it or pass overwrite")
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # In the same folder, since a rename is only atomic within one file system.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(handle)
        temporary = Path(name)
        _write(data, temporary)
        temporary.chmod(0o644)  # mkstemp's 0600 would keep a shared folder's other users out
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path}: a file that can be written is wanted, the system says {error.strerror or error}; "
            "choose another path or make room"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return path


def _write(data: SyntheticData, path: Path) -> None:
    with h5py.File(path, "w") as file:
        # Counts fit one byte as good as always; a quarter of the size of int32 on disk.
        small = data.spikes.max(initial=0) <= np.iinfo(np.uint8).max
        file.create_dataset(
            "spikes", data=data.spikes.astype(np.uint8 if small else np.int32), compression="gzip"
        )
        file.create_dataset("truth", data=data.true_rates.astype(np.float32))
        file.create_dataset("latents", data=data.latents.astype(np.float32))
        if data.inputs.shape[2]:
            file.create_dataset("inputs", data=data.inputs.astype(np.float32), compression="gzip")
        file.create_dataset("condition", data=data.conditions)
        file.attrs["bin_width_ms"] = data.bin_width_ms
        file.attrs["conversion_factor"] = 1.0  # truth is the expected count per bin
        file.attrs["layout"] = "TrialsTimeNeurons"
        for name, value in data.settings.items():
            file.attrs[f"made_with_{name}"] = value
