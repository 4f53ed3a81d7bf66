"""From the address in run.yaml to a file on this machine, and the file's fingerprint.

`open_source` is the seam for other stores: whatever the address, its answer is a local path,
and nothing else in this package looks at addresses. A recording in Cloud Storage is copied to
the folder for temporary files (TMPDIR) and removed when it has been read.
"""

import hashlib
import logging
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from autolfads_spec.errors import BucketMissingError, DeniedError, MissingError, StoreError
from autolfads_spec.store import BUCKET_SCHEME, open_store
from lfads_worker.errors import DataError, RecordingDeniedError

logger = logging.getLogger(__name__)

# What a version is good for is saving a download.
VERSION_PATIENCE_SECONDS = 5.0


@contextmanager
def open_source(uri: str) -> Iterator[Path]:
    """The local file behind an address, for as long as the context lasts.

    Raises:
      RecordingDeniedError: if Cloud Storage does not let this account read it.
      DataError: if there is no such file, or it may not be read, or the address is of another kind.
      UnavailableError: if Cloud Storage does not answer.
    """
    if not uri.startswith(BUCKET_SCHEME):
        yield _whole(uri, _local_path(uri))
        return
    with TemporaryDirectory(prefix="autolfads-", ignore_cleanup_errors=True) as folder:
        yield _whole(uri, _downloaded(uri, Path(folder)))


def version(uri: str) -> str | None:
    """The version of a file in Cloud Storage, whose content never changes; None if it has or tells none."""
    if not uri.startswith(BUCKET_SCHEME):
        return None
    bucket, name = posixpath.split(uri)
    with suppress(StoreError):  # whoever reads the file will say what is wrong
        return open_store(bucket, VERSION_PATIENCE_SECONDS, field="data.uri").version(name)
    return None


def _downloaded(uri: str, folder: Path) -> Path:
    bucket, name = posixpath.split(uri)
    path = folder / name  # the ending of the name says what some files are
    logger.info("downloading %s", uri)
    try:
        open_store(bucket, field="data.uri").read_file(name, path)
    except MissingError as error:
        raise _nothing_at(uri) from error
    except BucketMissingError as error:
        raise DataError(str(error)) from error
    except DeniedError as error:
        raise RecordingDeniedError(str(error)) from error
    except OSError as error:
        raise DataError(
            f"data.uri: room for a copy of {uri} is wanted in {gettempdir()}, that failed "
            f"({error.strerror or error}); make space, or set TMPDIR to another folder"
        ) from error
    return path


def _nothing_at(uri: str) -> DataError:
    return DataError(f"data.uri: a recording is wanted, nothing was found at {uri}; check the path")


def _whole(uri: str, path: Path) -> Path:
    """The path, if it is a file with something in it."""
    if not path.exists():
        raise _nothing_at(uri)
    if path.is_dir():
        raise DataError(f"data.uri: one file is wanted, {uri} is a folder; name the file in it")
    try:
        with path.open("rb") as file:
            first = file.read(1)
    except OSError as error:
        raise DataError(
            f"data.uri: {uri} cannot be read ({error.strerror or error}); check its permissions"
        ) from error
    if not first:
        raise DataError(
            f"data.uri: a recording is wanted, {uri} is empty (0 bytes); copy or export it once more"
        )
    return path


def fingerprint(path: Path) -> str:
    """Sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_fingerprint(found: str, wanted: str | None) -> None:
    """Refuse a recording that is not the one run.yaml was written for."""
    if wanted is None or wanted == found:
        return
    raise DataError(
        f"data.sha256: {wanted} is wanted, the file has {found}; "
        "use the original file, or update data.sha256 if the change was meant"
    )


def _local_path(uri: str) -> Path:
    if "://" not in uri:
        return Path(uri).expanduser()
    raise DataError(
        f"data.uri: a path or a gs:// address is wanted, {uri} was found; copy the file here first"
    )
