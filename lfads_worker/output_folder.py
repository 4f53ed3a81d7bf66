"""Whose output folder it is: nothing that a user may still want is ever overwritten.

A folder belongs to a run by the `run.yaml` in it. Looks and decides; the only thing it
writes is that `run.yaml`.
"""

from enum import Enum
from pathlib import Path
from typing import Any

from autolfads_spec import AutoLFADSRun, SpecError, dump_run, load_run
from lfads_worker.errors import OutputError
from lfads_worker.results.files import local_path, write_text

LOG_NAME = "autolfads.log"


class FolderState(Enum):
    """What an output folder holds."""

    FRESH = "nothing yet"
    BEGUN = "the beginning of this run"
    FINISHED = "the results of this run"


def inspect(run: AutoLFADSRun) -> FolderState:
    """What is in the output folder of a run.

    Raises:
      OutputError: if it holds anything but this run, or is no folder.
    """
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


def claim(run: AutoLFADSRun) -> Path:
    """Makes the folder and puts the run's name on it; the folder's path."""
    root = local_path(run.spec.output.uri)
    write_text(local_path(run.spec.output.paths.run_yaml), dump_run(run))
    return root


def _content(root: Path) -> list[str]:
    try:
        return sorted(path.name for path in root.iterdir()) if root.exists() else []
    except OSError as error:
        raise OutputError(
            f"output.uri: wanted a folder that can be read, found {root}: {error.strerror or error}; "
            "check its permissions"
        ) from error


def _check_same_run(run: AutoLFADSRun, run_yaml: Path, finished: bool) -> None:
    what = "finished results" if finished else "the beginning"
    try:
        theirs = load_run(run_yaml)
    except SpecError as error:
        raise OutputError(
            f"output.uri: wanted an empty folder or one of this run, found {what} of a run whose settings "
            f"cannot be read ({run_yaml}); give another folder"
        ) from error
    different = [name for name, value in _identity(run).items() if value != _identity(theirs)[name]]
    if different:
        raise OutputError(
            f"output.uri: wanted an empty folder or one of this run, found {what} of run "
            f"{theirs.metadata.name} with another {' and '.join(different)} in {run_yaml.parent}; "
            "give another folder, or remove this one"
        )


def _identity(run: AutoLFADSRun) -> dict[str, Any]:
    """What makes two runs the same: everything that changes a result."""
    spec = run.spec
    return {
        "data": spec.data,
        "model": spec.model,
        "training": spec.training,
        "population": spec.population,
        "compute.membersPerCohort": spec.compute.members_per_cohort,
    }


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
