"""Where a run's files are, with the two promises that crash safety hangs on.

A file is whole or absent, whatever is killed and whenever. And a write can say what it
expects to replace: of two writers that expect the same, exactly one succeeds.

`Store` is the promise; `FolderStore` keeps it on a file system and `bucket.BucketStore` in
Cloud Storage. `open_store` picks the one that an address asks for. What is committed passes
as bytes, in one piece; results that may be large pass as files.
"""

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import NamedTuple, Protocol

from autolfads_spec.errors import ConflictError, MissingError, StoreError

BUCKET_SCHEME = "gs://"
# How long Cloud Storage may be out of reach before a run gives up; an outage is minutes, rarely more.
PATIENCE_SECONDS = 900.0
PARTIAL_SUFFIX = ".partial"
# Taken for the moment between looking at a file and replacing it.
LOCK_NAME = ".autolfads.store.lock"


class Expected(Enum):
    """What a write may expect at its name, apart from a version."""

    ANYTHING = "anything"
    NOTHING = "nothing"


class Stored(NamedTuple):
    """A file as it was read; `version` changes whenever its content does."""

    content: bytes
    version: str


class Store(Protocol):
    """The files of one run by name, such as generations/000012.json.

    Every method raises StoreError when the store cannot be reached, is full or refuses.
    """

    address: str

    def read(self, name: str) -> Stored:
        """A file's content and version.

        Raises:
          MissingError: if there is none.
        """

    def write(self, name: str, content: bytes, expected: str | Expected = Expected.ANYTHING) -> str:
        """Makes or replaces a file in one step; its new version.

        Raises:
          ConflictError: if something else is there than `expected`: a version, nothing, or anything.
        """

    def version(self, name: str) -> str | None:
        """A file's version, as `read` would give it, without the content; None if there is no file."""

    def read_file(self, name: str, path: Path) -> None:
        """Copies a file, however large, to a path of this machine.

        Raises:
          MissingError: if there is none.
        """

    def write_file(self, name: str, path: Path) -> None:
        """Makes or replaces a file, however large, in one step by one of this machine."""

    def names(self, prefix: str = "") -> list[str]:
        """Names that begin with `prefix`, in order."""

    def entries(self) -> list[str]:
        """Files and folders directly in it, in order, whoever made them; nothing if it does not exist."""

    def delete(self, name: str) -> None:
        """Removes a file; one that is not there is removed already."""


def open_store(address: str, patience_seconds: float = PATIENCE_SECONDS, field: str = "output") -> Store:
    """The store at an address: gs://bucket/path, or a folder of this machine.

    Args:
      address: where.
      patience_seconds: how long Cloud Storage may be out of reach before that is an error.
      field: of run.yaml, which messages begin with.

    Raises:
      StoreError: if nothing can be stored at such an address.
    """
    if "://" not in address:
        return FolderStore(Path(address).expanduser())
    if not address.startswith(BUCKET_SCHEME):
        raise StoreError(
            f"{field}: wanted gs://bucket/path, or a path of this machine, found {address}; give one of these"
        )
    try:
        # Only here: who has no address in a bucket needs no Google client.
        from autolfads_spec.bucket import BucketStore
    except ModuleNotFoundError as error:
        raise StoreError(
            f"{field}: wanted google-cloud-storage to open {address}, found that {error.name} is not "
            "installed; pip install 'autolfads[worker]'"
        ) from error
    return BucketStore(address, patience_seconds, field)


class FolderStore:
    """A run's files in a folder of this machine, or of a file server.

    The version of a file is the checksum of its content: a file that was replaced by the
    same content has not changed for anybody.
    """

    def __init__(self, folder: str | Path) -> None:
        self.address = str(folder)
        self._root = Path(folder)

    def read(self, name: str) -> Stored:
        path = self._path(name)
        with _reading(path):
            content = path.read_bytes()
        return Stored(content, _version(content))

    def write(self, name: str, content: bytes, expected: str | Expected = Expected.ANYTHING) -> str:
        path = self._path(name)
        with _writing(path), contextlib.ExitStack() as stack:
            if expected is not Expected.ANYTHING:
                stack.enter_context(self._alone())
                self._require(name, expected)
            put_in_place(path, lambda partial: _write(partial, content))
        return _version(content)

    def version(self, name: str) -> str | None:
        path = self._path(name)
        with contextlib.suppress(MissingError), _reading(path), path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
        return None

    def read_file(self, name: str, path: Path) -> None:
        with _reading(self._path(name)):
            shutil.copyfile(self._path(name), path)

    def write_file(self, name: str, path: Path) -> None:
        with _writing(self._path(name)):
            put_in_place(self._path(name), lambda partial: _copy(path, partial))

    def names(self, prefix: str = "") -> list[str]:
        # Only the folder that the prefix names is walked, not all results.
        top = self._root / prefix.rpartition("/")[0]
        found = (
            Path(folder, file).relative_to(self._root).as_posix()
            for folder, _, files in os.walk(top)
            for file in files
            if not file.startswith(".")
        )
        return sorted(name for name in found if name.startswith(prefix))

    def entries(self) -> list[str]:
        try:
            found = sorted(path.name for path in self._root.iterdir())
        except FileNotFoundError:
            return []
        except NotADirectoryError as error:
            raise StoreError(
                f"output.uri: wanted a folder, found the file {self._root}; give the name of a folder"
            ) from error
        except OSError as error:
            raise StoreError(
                f"output.uri: wanted a folder that can be read, found {self._root}: {_reason(error)}; "
                "check its permissions"
            ) from error
        return [name for name in found if name != LOCK_NAME and not is_partial(name)]

    def delete(self, name: str) -> None:
        path = self._path(name)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"output: wanted to remove {path}, found {_reason(error)}; check the permissions of the "
                "output folder"
            ) from error
        for folder in path.parents:  # folders exist for their files only, as in Cloud Storage
            if folder == self._root or self._root not in folder.parents:
                break
            try:
                folder.rmdir()
            except OSError:
                break

    def _path(self, name: str) -> Path:
        return self._root / name

    def _require(self, name: str, expected: str | Expected) -> None:
        try:
            found: str | Expected = self.read(name).version
        except MissingError:
            found = Expected.NOTHING
        if found != expected:
            raise ConflictError(
                f"output: wanted to write {self._path(name)} in place of {_told(expected)}, found "
                f"{_told(found)}; another process writes there"
            )

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        self._root.mkdir(parents=True, exist_ok=True)
        with (self._root / LOCK_NAME).open("ab") as file:
            # A file system without locks still renames in one step; only the look is not part of it.
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def put_in_place(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` make a temporary file in the same folder, then put it in place of `path` in one step.

    The content is on the disk before the name is, so a power cut leaves the old file or the new one.
    Whatever goes wrong, `path` keeps what it held before and the temporary file is removed.

    Args:
      path: the final name; missing folders are made.
      write: called with the temporary name; creates that file and closes it.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL_SUFFIX}")
    try:
        _make_folder(path.parent)
        write(partial)
        _sync(partial)
        os.replace(partial, path)
        _sync(path.parent)
    finally:
        with contextlib.suppress(OSError):  # a folder that cannot be written is already being reported
            partial.unlink(missing_ok=True)


def is_partial(name: str) -> bool:
    """Whether a file's name is one that `put_in_place` gives while it writes."""
    return name.startswith(".") and name.endswith(PARTIAL_SUFFIX)


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise MissingError(f"output: wanted {path}, found no such file") from error
    except OSError as error:
        raise StoreError(
            f"output: wanted to read {path}, found {_reason(error)}; check the disk and the permissions "
            "of the output folder"
        ) from error


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"output: wanted to write {path}, found {_reason(error)}; check the free space and the "
            "permissions of the output folder, then run the same command again"
        ) from error


def _copy(path: Path, copy: Path) -> None:
    shutil.copyfile(path, copy)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _version(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _told(expected: str | Expected) -> str:
    return expected.value if isinstance(expected, Expected) else f"version {expected[:8]}"


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
