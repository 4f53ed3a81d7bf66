"""A recording from a file: MATLAB (all versions), HDF5 or npz.

The story in one place: address → file → fingerprint → container → recording → `SpikeData`. Each step is a
module of its own; this one only tells file formats apart, by their first bytes rather than their names.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from lfads_worker.data.containers import Container
from lfads_worker.data.layouts import read_recording
from lfads_worker.data.preparation import prepare, prepare_new_trials
from lfads_worker.data.recording import Recording
from lfads_worker.data.source import check_fingerprint, fingerprint, open_source
from lfads_worker.data.spikes import SpikeData
from lfads_worker.errors import DataError

if TYPE_CHECKING:
    from autolfads_spec.data import DataSpec


def load_spikes(data: "DataSpec", output_distribution: str = "Poisson") -> SpikeData:
    """The recording that run.yaml names, ready to train on.

    Args:
      data: `spec.data` of run.yaml.
      output_distribution: `spec.model.outputDistribution`; Poisson wants whole counts.

    Raises:
      DataError: if the file cannot be read, its axes stay open, or its content cannot be trained on.
    """
    recording, found = _read(data)
    return prepare(recording, data, output_distribution, found)


def load_new_trials(data: "DataSpec", output_distribution: str = "Poisson") -> SpikeData:
    """Trials that nothing is trained on: read in the same way, but a single one is enough.

    Args:
      data: how the trained recording was read, with the address of the new one.
      output_distribution: as there.

    Raises:
      DataError: if the file cannot be read, its axes stay open, or its content is nothing to infer from.
    """
    recording, found = _read(data)
    return prepare_new_trials(recording, data, output_distribution, found)


def _read(data: "DataSpec") -> tuple[Recording, str]:
    """What the file holds, and its fingerprint."""
    with open_source(data.uri) as path:
        found = fingerprint(path)
        check_fingerprint(found, data.sha256)
        return _recording(path, data), found


def _recording(path: Path, data: "DataSpec") -> Recording:
    try:
        return read_recording(open_container(path, data.format), data)
    except (DataError, MemoryError):
        raise
    except Exception as error:
        # scipy, h5py and zipfile raise nearly anything on a damaged file; to the user all of it is one thing.
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise DataError(
            f"data.uri: a readable recording is wanted, {data.uri} is damaged "
            f"or not of a known format ({reason}); copy or export it once more"
        ) from error


def open_container(path: Path, file_format: str = "Auto") -> Container:
    """A file's variables, whatever its format.

    Args:
      path: a file on this machine.
      file_format: `data.format`; Matlab and Npz must then be what the file is.
    """
    kind = _kind_of(path, file_format)
    if file_format == "Matlab" and kind not in ("v7", "v7.3"):
        raise DataError(
            f"data.format: a MATLAB file is wanted, {path.name} is another kind; set data.format: Auto"
        )
    if file_format == "Npz" and kind != "npz":
        raise DataError(
            f"data.format: an npz file is wanted, {path.name} is another kind; set data.format: Auto"
        )
    # Imported here: scipy.io alone takes a quarter of a second that no one needs who has an npz file.
    if kind == "npz":
        from lfads_worker.data import npz

        return npz.open_npz(path)
    if kind == "hdf5":
        from lfads_worker.data import hdf5

        return hdf5.open_hdf5(path)
    from lfads_worker.data import matlab

    return matlab.open_v73(path) if kind == "v7.3" else matlab.open_v7(path)


def _kind_of(path: Path, file_format: str) -> str:
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(b"PK"):
        return "npz"
    if head.startswith(b"\x93NUMPY"):
        raise DataError(
            f"data.uri: named arrays are wanted, {path.name} is a single .npy array; "
            "save it with np.savez(path, spikes=..., binWidthMs=...)"
        )
    import h5py

    if h5py.is_hdf5(path):
        return _kind_of_hdf5(path, file_format)
    if head.startswith(b"MATLAB") or path.suffix.lower() == ".mat":
        return "v7"
    raise DataError(
        f"data.uri: a MATLAB (.mat), HDF5 (.h5) or .npz file is wanted, {path.name} is none of these; "
        "export the recording to one of them"
    )


def _kind_of_hdf5(path: Path, file_format: str) -> str:
    from lfads_worker.data import matlab

    if matlab.is_v73(path) or file_format == "Matlab":
        return "v7.3"
    if path.suffix.lower() == ".mat" and file_format == "Auto":
        raise DataError(
            "data.format: MATLAB's marks are wanted in a .mat file, "
            f"{path.name} is HDF5 without them and its axes could be in either order; "
            "set data.format: Matlab if MATLAB wrote it, or rename it to .h5"
        )
    return "hdf5"
