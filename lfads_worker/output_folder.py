"""Whose output folder it is: nothing that a user may still want is ever overwritten.

A folder belongs to a run by the `run.yaml` in it, and for as long as a process trains there,
to that process by a lock that ends with it, however it ends. Looks and decides; all it
writes is the lock and that `run.yaml`.
"""

import fcntl
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

from autolfads_spec import AutoLFADSRun, SpecError, dump_run, load_run
from autolfads_spec.store import LOCK_NAME as STORE_LOCK_NAME
from autolfads_spec.store import is_partial
from lfads_worker.errors import OutputError
from lfads_worker.results.files import local_path, remove_leftovers, write_text

logger = logging.getLogger(__name__)

LOG_NAME = "autolfads.log"
LOCK_NAME = ".autolfads.lock"
# More than these are counted, not listed.
SHOWN_DIFFERENCES = 4


class FolderState(Enum):
    """What an output folder holds."""

    FRESH = "nothing yet"
    BEGUN = "the beginning of this run"
    FINISHED = "the results of this run"


def inspect(run: AutoLFADSRun) -> FolderState:
    """What is in the output folder of a run.

    Raises:
      OutputError: if it holds anything but this run, or is no folder; or not what `resume` wants.
    """
    state = _inspect(run)
    resume, where = run.spec.resume, run.spec.output.uri
    if resume.from_run is not None:
        raise SpecError(
            f"spec.resume.from: wanted no other run to start from, found {resume.from_run}; "
            "this comes in a later version: remove it"
        )
    if resume.policy == "Never" and state is not FolderState.FRESH:
        raise OutputError(
            f"output.uri: wanted an empty or new folder, since resume.policy is Never, found {state.value} "
            f"in {where}; give another folder, or use resume.policy: IfPresent"
        )
    if resume.policy == "Require" and state is FolderState.FRESH:
        raise OutputError(
            f"output.uri: wanted a run to go on with, since resume.policy is Require, found nothing in "
            f"{where}; give its folder, or use resume.policy: IfPresent"
        )
    return state


def _inspect(run: AutoLFADSRun) -> FolderState:
    root = local_path(run.spec.output.uri)
    if root.exists() and not root.is_dir():
        raise OutputError(f"output.uri: wanted a folder, found the file {root}; give the name of a folder")
    content = _content(root)
    if not content:
        return FolderState.FRESH
    run_yaml = local_path(run.spec.output.paths.run_yaml)
    if not run_yaml.is_file():
        raise OutputError(
            f"output.uri: wanted an empty or new folder, found {_some(content)} in {root}; "
            "give another folder, or move what is in it"
        )
    finished = local_path(run.spec.output.paths.results).is_file()
    _check_same_run(run, run_yaml, finished)
    return FolderState.FINISHED if finished else FolderState.BEGUN


@contextmanager
def held(run: AutoLFADSRun) -> Iterator[None]:
    """Keeps the folder for this process as long as the context lasts; makes it if it is missing.

    Raises:
      OutputError: if another process has it.
    """
    root = local_path(run.spec.output.uri)
    try:
        root.mkdir(parents=True, exist_ok=True)
        file = (root / LOCK_NAME).open("a+", encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"output.uri: wanted a folder that can be written, found {root}: {error.strerror or error}; "
            "check its permissions and the free space, or give another folder"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            who = file.read().strip() or "a process that has just begun"
            raise OutputError(
                "output.uri: wanted a folder that nobody else writes, found another autolfads run at work "
                f"in {root} ({who}); wait until it has ended, or give another folder"
            ) from error
        except OSError as error:  # fencing by the manifest still lets only one go on
            logger.warning("%s cannot be locked: %s", root, error.strerror or error)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield


def claim(run: AutoLFADSRun) -> Path:
    """Puts the run's name on its folder, which must be held; the folder's path."""
    root = local_path(run.spec.output.uri)
    remove_leftovers(root)
    write_text(local_path(run.spec.output.paths.run_yaml), dump_run(run))
    return root


def _content(root: Path) -> list[str]:
    try:
        names = sorted(path.name for path in root.iterdir()) if root.exists() else []
    except OSError as error:
        raise OutputError(
            f"output.uri: wanted a folder that can be read, found {root}: {error.strerror or error}; "
            "check its permissions"
        ) from error
    # What a run leaves that was killed in its first moment is nothing.
    return [name for name in names if name not in (LOCK_NAME, STORE_LOCK_NAME) and not is_partial(name)]


def _check_same_run(run: AutoLFADSRun, run_yaml: Path, finished: bool) -> None:
    what = "finished results" if finished else "the beginning"
    try:
        theirs = load_run(run_yaml)
    except SpecError as error:
        raise OutputError(
            f"output.uri: wanted an empty folder or one of this run, found {what} of a run whose settings "
            f"cannot be read ({run_yaml}); give another folder"
        ) from error
    different = list(_differences(_identity(theirs), _identity(run)))
    if different:
        raise OutputError(
            f"output.uri: wanted an empty folder or one of this run, found {what} of run "
            f"{theirs.metadata.name} with other settings in {run_yaml.parent}: "
            f"{_some(different, SHOWN_DIFFERENCES)}; give another folder, or remove this one"
        )


def _differences(theirs: Any, ours: Any, name: str = "") -> Iterator[str]:
    """Every field that is not the same, as "population.seed is 1 there and 2 here"."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        for key in dict.fromkeys((*theirs, *ours)):
            yield from _differences(theirs.get(key), ours.get(key), f"{name}.{key}" if name else key)
    elif theirs != ours:
        yield f"{name} is {_shown(theirs)} there and {_shown(ours)} here"


def _shown(value: object) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _identity(run: AutoLFADSRun) -> dict[str, Any]:
    """What makes two runs the same: everything that changes a result."""
    spec = run.spec.model_dump(mode="json", by_alias=True)
    spec["population"]["searchSpace"] = {one["name"]: one for one in spec["population"]["searchSpace"]}
    compute = {"membersPerCohort": spec["compute"]["membersPerCohort"]}
    return {name: spec[name] for name in ("data", "model", "training", "population")} | {"compute": compute}


def _some(names: list[str], shown: int = 3) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
