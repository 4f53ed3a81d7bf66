"""How many members train, how many have diverged, and how many workers were lost so far; pure.

A lost worker is counted once, although its pod may be looked at many times and is soon gone: the status
keeps the names of those that were counted and can still be seen. What an operator that was away did not see
is not counted.
"""

from typing import NamedTuple

from autolfads_operator.situation import Situation

MOST_NAMES = 64


class Losses(NamedTuple):
    """Workers lost to preemption, as the status tells it."""

    preemptions: int
    workers_lost: tuple[str, ...]


def losses(situation: Situation) -> Losses:
    """Those counted before, and those that were not yet."""
    before, seen = situation.previous.progress, situation.observed.workers_lost
    counted = (before.preemptions or 0) if before is not None else 0
    known = (before.workers_lost or ()) if before is not None else ()
    kept = [name for name in known if name in seen]
    new = sorted(seen - set(known))
    return Losses(counted + len(new), (*kept, *new)[-MOST_NAMES:])


def members_running(situation: Situation) -> int | None:
    """Members of as many cohorts as accelerators are ready; None before any driver."""
    manifest = situation.manifest
    if manifest is None:
        return None
    if not situation.is_live or not situation.has_begun or manifest.stop_reason is not None:
        return 0
    sizes = sorted((len(cohort) for cohort in manifest.cohorts), reverse=True)
    return sum(sizes[: situation.ready_workers * situation.accelerators_per_worker])


def members_failed(situation: Situation) -> int | None:
    """Members that diverged in the last generation; None before the first, or where nobody has said so."""
    manifest = situation.manifest
    if manifest is None or not manifest.generations:
        return None
    return manifest.generations[-1].diverged
