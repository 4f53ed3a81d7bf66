"""Whose output folder it is: nothing that a user may still want is ever overwritten.

A folder belongs to a run by the `run.yaml` in it, and for as long as a process trains there,
to that process by a lock that ends with it, however it ends. Cloud Storage has no such locks:
there the later of two processes takes the run over, see `results.takeover`. Looks and decides;
all it writes is the lock, that `run.yaml` and the log.
"""

import fcntl
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Any

from autolfads_spec import AutoLFADSRun, RunPaths, SpecError, dump_run, load_run
from autolfads_spec.errors import MissingError, StoreError
from autolfads_spec.store import Expected, Store
from lfads_worker.errors import FencedError, OutputError, OutputTakenError
from lfads_worker.results.files import remove_leftovers
from lfads_worker.results.output import Output

logger = logging.getLogger(__name__)

NAMES = RunPaths("")
LOG_NAME = "autolfads.log"
LOCK_NAME = ".autolfads.lock"
# What operator and drivers tell each other; the operator writes some of it before there is a run.
OF_OPERATOR = (NAMES.lease, NAMES.wish, NAMES.cost, "attempts")
# More than these are counted, not listed.
SHOWN_DIFFERENCES = 4


class FolderState(Enum):
    """What an output folder holds."""

    FRESH = "nothing yet"
    BEGUN = "the beginning of this run"
    FINISHED = "the results of this run"


def inspect(run: AutoLFADSRun, output: Output, attempt: int | None = None) -> FolderState:
    """What is in the output folder of a run.

    Args:
      run: what is asked for.
      output: its folder.
      attempt: at the run; where the operator counts them, it has judged `resume.policy: Never` before the
        first one, and later ones go on.

    Raises:
      OutputTakenError: if it holds anything but this run; or not what `resume` wants.
      StoreError: if it is no folder, or cannot be read.
    """
    state = _inspect(run, output.store)
    resume, where = run.spec.resume, run.spec.output.uri
    if resume.from_run is not None:
        raise SpecError(
            f"spec.resume.from: wanted no other run to start from, found {resume.from_run}; "
            "this comes in a later version: remove it"
        )
    if resume.policy == "Never" and state is not FolderState.FRESH and attempt is None:
        raise OutputTakenError(
            f"output.uri: wanted an empty or new folder, since resume.policy is Never, found {state.value} "
            f"in {where}; give another folder, or use resume.policy: IfPresent"
        )
    if resume.policy == "Require" and state is FolderState.FRESH:
        raise OutputTakenError(
            f"output.uri: wanted a run to go on with, since resume.policy is Require, found nothing in "
            f"{where}; give its folder, or use resume.policy: IfPresent"
        )
    return state


def _inspect(run: AutoLFADSRun, store: Store) -> FolderState:
    # What a run leaves that was killed in its first moment is nothing.
    content = [name for name in store.entries() if name not in (LOCK_NAME, *OF_OPERATOR)]
    if not content:
        return FolderState.FRESH
    if NAMES.run_yaml not in content:
        raise OutputTakenError(
            f"output.uri: wanted an empty or new folder, found {_some(content)} in {store.address}; "
            "give another folder, or move what is in it"
        )
    finished = NAMES.results in content
    _check_same_run(run, store, finished)
    return FolderState.FINISHED if finished else FolderState.BEGUN


@contextmanager
def held(output: Output) -> Iterator[None]:
    """Keeps a folder of this machine for this process as long as the context lasts; makes it if missing.

    Raises:
      OutputError: if another process has it.
    """
    if not output.is_here:
        yield
        return
    root = output.folder
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
            raise OutputTakenError(
                "output.uri: wanted a folder that nobody else writes, found another autolfads run at work "
                f"in {root} ({who}); wait until it has ended, or give another folder"
            ) from error
        except OSError as error:  # fencing by the manifest still lets only one go on
            logger.warning("%s cannot be locked: %s", root, error.strerror or error)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield


def claim(run: AutoLFADSRun, output: Output) -> None:
    """Puts the run's name on its folder, which must be held.

    Raises:
      OutputError: if it is another run's by now.
    """
    remove_leftovers(output.folder)
    expected: str | Expected = Expected.NOTHING
    with suppress(MissingError):
        expected = _check_same_run(run, output.store, finished=False)
    output.store.write(NAMES.run_yaml, dump_run(run).encode(), expected)


@contextmanager
def log_kept(output: Output) -> Iterator[Path]:
    """The log of a run, to be appended to; published when the context is left, but by a superseded driver."""
    output.fetch([LOG_NAME])
    try:
        yield output.path(LOG_NAME)
    except FencedError:
        raise
    except BaseException:
        publish_log(output)
        raise
    publish_log(output)


def publish_log(output: Output) -> None:
    """Shows the log as far as it has come to whoever looks into the output folder."""
    try:
        output.publish([LOG_NAME])
    except StoreError as error:  # what matters is said by whoever commits
        logger.warning("the log stays as it was: %s", error)


def _check_same_run(run: AutoLFADSRun, store: Store, finished: bool) -> str:
    """The version of the run.yaml in the folder, which must be this run's."""
    what = "finished results" if finished else "the beginning"
    stored = store.read(NAMES.run_yaml)
    try:
        theirs = load_run(stored.content.decode("utf-8-sig", "replace") + "\n")  # a line end: never a path
    except SpecError as error:
        raise OutputTakenError(
            f"output.uri: wanted an empty folder or one of this run, found {what} of a run whose settings "
            f"cannot be read ({RunPaths(store.address).run_yaml}); give another folder"
        ) from error
    different = list(_differences(_identity(theirs), _identity(run)))
    if different:
        raise OutputTakenError(
            f"output.uri: wanted an empty folder or one of this run, found {what} of run "
            f"{theirs.metadata.name} with other settings in {store.address}: "
            f"{_some(different, SHOWN_DIFFERENCES)}; give another folder, or remove this one"
        )
    return stored.version


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
