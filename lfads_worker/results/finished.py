"""The folder of a finished run as those find it who read it later: is it one, and are its files whole?"""

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autolfads_spec import RunPaths, SpecError
from autolfads_spec.errors import MissingError
from lfads_worker.errors import OutputError
from lfads_worker.results.output import Output

NAMES = RunPaths("")


def read_results(output: Output) -> dict[str, Any]:
    """The contents of results.json, the mark of a finished run.

    Raises:
      OutputError: if there is none, or it cannot be read.
    """
    where = output.store.address
    try:
        content = output.store.read(NAMES.results).content
    except MissingError as error:
        found = "one without results.json" if output.store.entries() else "empty or not there"
        raise OutputError(
            f"results: the output folder of a finished run is wanted, {where} is {found}; "
            "give the folder that output.uri names, after `autolfads run` has ended"
        ) from error
    with damage_told(where):
        document: dict[str, Any] = json.loads(content)
    return document


@contextmanager
def damage_told(where: str) -> Iterator[None]:
    """Turns whatever a missing or damaged file raises inside into one sentence."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, SpecError, zipfile.BadZipFile) as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise OutputError(
            f"results: whole files of a finished run are wanted, {where} has one that cannot be read "
            f"({reason}); copy the folder once more, or run again into another one"
        ) from error


def require_unchanged(path: Path, name: str, results: Mapping[str, Any]) -> None:
    """Checks a file against the checksum that results.json gives under its name.

    Raises:
      ValueError: if it is another file.
    """
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != results["files"][name]["sha256"]:
        raise ValueError(f"{name} is not the file that results.json describes")
