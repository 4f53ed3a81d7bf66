"""The folder of a finished run as those find it who read it later: is it one, and are its files whole?"""

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autolfads_spec import RunPaths, SpecError
from lfads_worker.errors import OutputError
from lfads_worker.results.files import local_path


def read_results(root: Path) -> dict[str, Any]:
    """The contents of results.json, the mark of a finished run.

    Raises:
      OutputError: if there is none, or it cannot be read.
    """
    path = local_path(RunPaths(str(root)).results)
    if not path.is_file():
        found = "one without results.json" if root.exists() else "no folder"
        raise OutputError(
            f"results: the output folder of a finished run is wanted, {root} is {found}; "
            "give the folder that output.uri names, after `autolfads run` has ended"
        )
    with damage_told(root):
        document: dict[str, Any] = json.loads(path.read_bytes())
    return document


@contextmanager
def damage_told(root: Path) -> Iterator[None]:
    """Turns whatever a missing or damaged file raises inside into one sentence."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, SpecError, zipfile.BadZipFile) as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise OutputError(
            f"results: whole files of a finished run are wanted, {root} has one that cannot be read "
            f"({reason}); copy the folder once more, or run again into another one"
        ) from error


def require_unchanged(root: Path, path: Path, results: Mapping[str, Any]) -> None:
    """Checks a file against its checksum in results.json.

    Raises:
      ValueError: if it is another file.
    """
    name = path.relative_to(root).as_posix()
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != results["files"][name]["sha256"]:
        raise ValueError(f"{name} is not the file that results.json describes")
