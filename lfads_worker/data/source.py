"""From the address in run.yaml to a file on this machine, and the file's fingerprint.

`open_source` is the seam for other stores: whatever the address, its answer is a local path,
and nothing else in this package looks at addresses.
"""

import hashlib
from pathlib import Path

from lfads_worker.errors import DataError


def open_source(uri: str) -> Path:
    """The local file behind an address.

    Raises:
      DataError: if there is no such file, or the address is of a kind that cannot be read.
    """
    path = _local_path(uri)
    if not path.exists():
        raise DataError(f"data.uri: a recording is wanted, nothing was found at {uri}; check the path")
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
    if uri.startswith("gs://"):
        raise DataError(
            f"data.uri: a file on this machine is wanted, {uri} was found; gs:// addresses "
            "come with the Cloud Storage store: until then copy the file here and give its path"
        )
    raise DataError(
        f"data.uri: a path or a gs:// address is wanted, {uri} was found; copy the file here first"
    )
