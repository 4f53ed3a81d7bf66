"""What `drain` does next, from what it sees: pure, decided anew at every look.

First the operator pauses all runs, as it always does. Then, alone, whatever is left is deleted, and our
finalizer is taken off every run, at the end of the time even if not everything is gone by then.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from autolfads_operator import objects
from autolfads_operator.manifests.names import FINALIZER
from autolfads_operator.observed import NodePool
from autolfads_spec.status import Phase

Object = Mapping[str, Any]
_ENDED = [phase.value for phase in Phase if phase.is_terminal]


class DrainedRun(NamedTuple):
    """A run, as far as draining it goes."""

    namespace: str
    name: str
    uid: str
    is_active: bool
    is_suspended: bool
    has_finalizer: bool

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class DrainedJob(NamedTuple):
    """A RayJob of a run."""

    namespace: str
    name: str
    uid: str
    is_live: bool
    is_going: bool


class Seen(NamedTuple):
    """What one look has shown.

    Attributes:
      left: everything that has machines or may get some, in words.
      pools: node pools of this installation.
      pools_problem: why they are not known; empty when they are.
    """

    runs: tuple[DrainedRun, ...]
    jobs: tuple[DrainedJob, ...]
    left: tuple[str, ...]
    pools: tuple[NodePool, ...]
    pools_problem: str = ""


class Clock(NamedTuple):
    """How far draining is.

    Attributes:
      is_alone: whether the Lease is ours, and whoever held it cannot act any more.
      is_silent: whether there is no operator that could pause anything.
    """

    elapsed_seconds: float
    pause_seconds: float
    seconds: float
    is_alone: bool
    is_silent: bool


class Steps(NamedTuple):
    """What to do now, in this order."""

    suspend: tuple[DrainedRun, ...] = ()
    take_lease: bool = False
    delete_jobs: tuple[DrainedJob, ...] = ()
    delete_pools: tuple[NodePool, ...] = ()
    release: tuple[DrainedRun, ...] = ()
    is_done: bool = False


def decided(seen: Seen, clock: Clock) -> Steps:
    """What to do about what was seen."""
    suspend = tuple(run for run in seen.runs if run.is_active and not run.is_suspended)
    if not clock.is_alone:
        may_pause = clock.elapsed_seconds < clock.pause_seconds and not clock.is_silent
        trains = any(job.is_live for job in seen.jobs)
        return Steps(suspend, take_lease=not suspend and not (trains and may_pause))
    is_over = clock.elapsed_seconds >= clock.seconds
    is_empty = not (seen.left or seen.pools or seen.pools_problem)
    held = tuple(run for run in seen.runs if run.has_finalizer)
    return Steps(
        suspend,
        delete_jobs=tuple(job for job in seen.jobs if not job.is_going),
        delete_pools=seen.pools,
        release=held if is_empty or is_over else (),
        is_done=not held and (is_empty or is_over),
    )


def run_of(thing: Object) -> DrainedRun:
    """From the object."""
    metadata, spec, status = thing["metadata"], thing.get("spec") or {}, thing.get("status") or {}
    has_ended = status.get("phase") in _ENDED
    return DrainedRun(
        metadata["namespace"],
        metadata["name"],
        metadata["uid"],
        is_active=not has_ended and "deletionTimestamp" not in metadata,
        is_suspended=bool(spec.get("suspend")),
        has_finalizer=FINALIZER in (metadata.get("finalizers") or ()),
    )


def job_of(thing: Object) -> DrainedJob:
    """From the object."""
    metadata, found = thing["metadata"], objects.ray_job_of(thing)
    is_going = "deletionTimestamp" in metadata
    is_live = found is not None and found.is_live and not is_going
    return DrainedJob(metadata["namespace"], metadata["name"], metadata["uid"], is_live, is_going)


def name_of(thing: Object) -> str:
    """Namespace and name."""
    return f"{thing['metadata']['namespace']}/{thing['metadata']['name']}"
