"""States and logs as bytes, and files whose checksum is checked whenever they are read.

What every later generation needs lies there twice: the copy is read when the file is damaged. The bytes
are NumPy's `.npz`, uncompressed: weights do not compress, and the same arrays give the same bytes. What
comes back is equal to the last bit.
"""

import hashlib
import io
import logging
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from autolfads_spec.errors import MissingError
from autolfads_spec.manifest import StoredFile
from autolfads_spec.output import RunPaths
from autolfads_spec.store import Expected, Store
from lfads_worker.training.state import CohortState, EpochLog

logger = logging.getLogger(__name__)

NAMES = RunPaths("")
Arrays = Mapping[str, NDArray[np.generic]]

_STATE = tuple(field.name for field in fields(CohortState))
_LOG = tuple(field.name for field in fields(EpochLog))


class DamagedError(Exception):
    """A file is not what was committed; says which and how. Never reaches the user as an error."""


def put(store: Store, name: str, content: bytes, expected: str | Expected = Expected.ANYTHING) -> StoredFile:
    """Writes a file; how to recognise it."""
    store.write(name, content, expected)
    return recognise(name, content)


def recognise(name: str, content: bytes) -> StoredFile:
    """What a manifest or a record says of a file."""
    return StoredFile(name=name, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


def get(store: Store, file: StoredFile) -> bytes:
    """A file's content, or its copy's.

    Raises:
      DamagedError: if it is gone or not what was written, and has no copy that is.
    """
    try:
        return _whole(store, file, file.name)
    except DamagedError as error:
        try:
            content = _whole(store, file, NAMES.copy_of(file.name))
        except DamagedError:
            raise error from None
        logger.warning("%s; its copy is read instead", error)
        return content


def _whole(store: Store, file: StoredFile, name: str) -> bytes:
    try:
        content = store.read(name).content
    except MissingError as error:
        raise DamagedError(f"{name} is missing") from error
    if len(content) != file.bytes:
        raise DamagedError(f"{name} has {len(content)} bytes instead of {file.bytes}")
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise DamagedError(f"the content of {name} has changed: its checksum is another one")
    return content


def state_to_bytes(state: CohortState) -> bytes:
    """Everything a cohort, or one member, needs to go on."""
    return _to_bytes({name: getattr(state, name) for name in _STATE})


def state_from_bytes(content: bytes) -> CohortState:
    """Reads back what `state_to_bytes` gave.

    Raises:
      DamagedError: if it is anything else.
    """
    arrays = _from_bytes(content, _STATE)
    return CohortState(**{name: arrays[name] for name in _STATE})  # type: ignore[arg-type]


def logs_to_bytes(logs: Sequence[EpochLog]) -> bytes:
    """What was measured in each epoch of a generation, one log a cohort."""
    return _to_bytes(
        {
            f"{cohort:03d}/{name}": np.asarray(getattr(log, name))
            for cohort, log in enumerate(logs)
            for name in _LOG
        }
    )


def logs_from_bytes(content: bytes, cohorts: int) -> tuple[EpochLog, ...]:
    """Reads back what `logs_to_bytes` gave.

    Raises:
      DamagedError: if it is anything else.
    """
    arrays = _from_bytes(content, [f"{cohort:03d}/{name}" for cohort in range(cohorts) for name in _LOG])
    return tuple(
        EpochLog(**{name: arrays[f"{cohort:03d}/{name}"] for name in _LOG})  # type: ignore[arg-type]
        for cohort in range(cohorts)
    )


def _to_bytes(arrays: Arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def _from_bytes(content: bytes, names: Sequence[str]) -> Arrays:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DamagedError(f"a file of arrays cannot be read ({error})") from error
