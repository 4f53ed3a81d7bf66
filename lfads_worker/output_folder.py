"""Whose output folder it is: nothing that a user may still want is ever overwritten.

A folder belongs to a run by the `run.yaml` in it, and for as long as a process trains there,
to that process by a lock that ends with it, however it ends. Cloud Storage has no such locks:
there the later of two processes takes the run over, see `results.takeover`. Of what a run is asked
for, only what `autolfads_spec` lets change may differ from that `run.yaml`. Looks and decides; all it
writes is the lock, that `run.yaml` and the log. When a finished run goes further, it is unmarked here.
"""

import fcntl
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import IO, Any

from autolfads_spec import AutoLFADSRun, RunPaths, SpecError, dump_run, load_run
from autolfads_spec.errors import MissingError, StoreError
from autolfads_spec.store import Expected, Store
from lfads_worker.errors import FencedError, OutputError, OutputTakenError
from lfads_worker.results import resume as resuming
from lfads_worker.results.files import remove_leftovers
from lfads_worker.results.output import Output

logger = logging.getLogger(__name__)

NAMES = RunPaths("")
LOG_NAME = "autolfads.log"
LOCK_NAME = ".autolfads.lock"
# What operator and drivers tell each other; the operator writes some of it before there is a run.
OF_OPERATOR = (NAMES.lease, NAMES.wish, NAMES.cost, "attempts")
# What a run has written that was killed before it had a lease.
BEFORE_LEASE = frozenset((NAMES.run_yaml, LOG_NAME))
# Fields of `spec.population` that the API lets change while the run trains; `generations` only grows.
MAY_CHANGE = ("stopping", "generations")
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
    entries = store.entries()
    content = [name for name in entries if name not in (LOCK_NAME, *OF_OPERATOR)]
    if not content:
        return FolderState.FRESH
    # A run.yaml beside files of no run is the user's own, and this is the folder that it lies in.
    of_run = {NAMES.lease, NAMES.manifest, NAMES.results} & set(entries) or {*content} <= BEFORE_LEASE
    if NAMES.run_yaml not in content or not of_run:
        raise OutputTakenError(
            f"output.uri: wanted an empty or new folder, found {_some(content)} in {store.address}; "
            "give another folder, or move what is in it"
        )
    finished = NAMES.results in content
    theirs, _ = _check_same_run(run, store, finished)
    if not finished:
        return FolderState.BEGUN
    if _goes_further(run, theirs):
        _require_room_for_more(run, store)
        return FolderState.BEGUN
    _check_same_results(run, theirs, store)
    return FolderState.FINISHED


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
    with ExitStack() as stack:
        try:
            root.mkdir(parents=True, exist_ok=True)
            # Unbuffered: a full disk is told by the write, and not once more when the file is closed.
            file = stack.enter_context((root / LOCK_NAME).open("a+b", buffering=0))
            _lock(file, root)
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        except OSError as error:
            raise OutputError(
                f"output.uri: wanted a folder that can be written, found {root}: {error.strerror or error}; "
                "check its permissions and the free space, or give another folder"
            ) from error
        yield


def _lock(file: IO[bytes], root: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        who = file.read().decode().strip() or "a process that has just begun"
        raise OutputTakenError(
            "output.uri: wanted a folder that nobody else writes, found another autolfads run at work "
            f"in {root} ({who}); wait until it has ended, or give another folder"
        ) from error
    except OSError as error:  # fencing by the manifest still lets only one go on
        logger.warning("%s cannot be locked: %s", root, error.strerror or error)


def claim(run: AutoLFADSRun, output: Output) -> None:
    """Puts the run's name on its folder, which must be held; one that goes further is finished no longer.

    Raises:
      OutputError: if it is another run's by now.
    """
    remove_leftovers(output.folder)
    expected: str | Expected = Expected.NOTHING
    with suppress(MissingError):
        theirs, expected = _check_same_run(run, output.store, finished=False)
        if _goes_further(run, theirs):
            for name in (NAMES.results, *_asked_for_no_longer(run, output.store)):
                output.store.delete(name)
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


def _check_same_run(run: AutoLFADSRun, store: Store, finished: bool) -> tuple[AutoLFADSRun, str]:
    """The run.yaml in the folder, which must be this run's, and its version."""
    what = "finished results" if finished else "the beginning"
    stored = store.read(NAMES.run_yaml)
    try:
        theirs = load_run(stored.content.decode("utf-8-sig", "replace") + "\n")  # a line end: never a path
    except SpecError as error:
        raise OutputTakenError(
            f"output.uri: wanted an empty folder or one of this run, found {what} of a run whose settings "
            f"cannot be read ({RunPaths(store.address).run_yaml}); put that run's YAML there again if it is "
            "this run, else give another folder"
        ) from error
    different = list(_differences(_identity(theirs), _identity(run)))
    if different:
        raise OutputTakenError(
            f"output.uri: wanted an empty folder or one of this run, found {what} of run "
            f"{theirs.metadata.name} with other settings in {store.address}: "
            f"{_some(different, SHOWN_DIFFERENCES)}; give another folder, or remove this one"
        )
    before, now = theirs.spec.population.generations, run.spec.population.generations
    if now < before:
        raise OutputTakenError(
            f"population.generations: wanted at least {before}, with which the run in {store.address} was "
            f"last asked for, found {now}; it may only grow: give {before} or more, or another output.uri"
        )
    return theirs, stored.version


def _goes_further(run: AutoLFADSRun, theirs: AutoLFADSRun) -> bool:
    return run.spec.population.generations > theirs.spec.population.generations


def _asked_for_no_longer(run: AutoLFADSRun, store: Store) -> Iterator[str]:
    """What a finished run left that it will not write anew when it ends once more."""
    asked = run.spec.output
    if "HDF5" not in asked.formats:
        yield NAMES.rates
    if "Matlab" not in asked.formats:
        yield NAMES.rates_matlab
    if not asked.report:
        yield from (*store.names("report/"), *store.names("tensorboard/"))


def _require_room_for_more(run: AutoLFADSRun, store: Store) -> None:
    asked = run.spec.population.generations
    if not resuming.can_go_further(store, asked):
        raise OutputTakenError(
            f"population.generations: wanted a finished run that used up its generations, with its last "
            f"checkpoints, to go on to {asked}, found in {store.address} one that ended before, or whose "
            "checkpoints are gone; its results stay as they are: give the former number or, in a cluster, "
            "where it may only grow, another output.uri"
        )


def _check_same_results(run: AutoLFADSRun, theirs: AutoLFADSRun, store: Store) -> None:
    """Checks that a finished run is not asked for anything that its folder does not hold."""
    different = list(_differences(_shape_of_results(theirs), _shape_of_results(run)))
    if different:
        raise OutputTakenError(
            f"output.uri: wanted a folder without results, or the settings that its results were made with, "
            f"found finished results of run {theirs.metadata.name} with others in {store.address}: "
            f"{_some(different, SHOWN_DIFFERENCES)}; undo the change, give another folder, or make what is "
            f"missing from the trained model: `autolfads infer {store.address} {theirs.spec.data.uri} "
            f"--samples N` gives rates in both formats, `autolfads report {store.address}` the report"
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
    """What makes two runs the same: everything that changes a result and that nobody may change."""
    spec = run.spec.model_dump(mode="json", by_alias=True)
    for name in MAY_CHANGE:
        del spec["population"][name]
    spec["population"]["searchSpace"] = {one["name"]: one for one in spec["population"]["searchSpace"]}
    compute = {"membersPerCohort": spec["compute"]["membersPerCohort"]}
    return {name: spec[name] for name in ("data", "model", "training", "population")} | {"compute": compute}


def _shape_of_results(run: AutoLFADSRun) -> dict[str, Any]:
    """What decides how long a run trained and which files it left, of all that may change before its end."""
    spec = run.spec.model_dump(mode="json", by_alias=True)
    output = {name: spec["output"][name] for name in ("posteriorSamples", "report")}
    output["formats"] = ", ".join(sorted(spec["output"]["formats"]))
    return {"population": {"stopping": spec["population"]["stopping"]}, "output": output}


def _some(names: list[str], shown: int = 3) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
