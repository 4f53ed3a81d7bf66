"""Whether somebody else is at work in a run's output folder, so that nobody's driver is driven out; pure.

    rivals.at_work(observed, terms) -> str | None       who is, in words

Of a run of this cluster its machines and its status tell; of a driver on another machine, or of another
cluster's, only its signs of life in the manifest. Whoever has written its last word is over. A second run in
a folder waits: of two that took the lease from each other, each would count the other's fencing as a failed
attempt, and pay for machines meanwhile.
"""

from autolfads_operator import times
from autolfads_operator.observed import Observed, OutputFolder
from autolfads_operator.terms import Terms
from autolfads_spec.manifest import Lease


def at_work(observed: Observed, terms: Terms) -> str | None:
    """Who else is at work in the output folder; None when nobody is, or nobody can tell."""
    folder, rival = observed.folder, observed.rival
    if folder is None or folder.problem is not None or folder.lease is None:
        return None
    if folder.lease.owner == observed.custom_resource.uid:
        return None
    if rival is not None and rival.is_at_work:
        return rival.name
    if folder.manifest is None or _is_over(folder, folder.lease) or not _is_alive(observed, folder, terms):
        return None
    if rival is not None:
        return rival.name
    return f"a driver of run {folder.manifest.run} that this operator has not started"


def _is_over(folder: OutputFolder, lease: Lease) -> bool:
    """Whether the newest driver has said so, or has nothing left to do."""
    if folder.manifest is not None and folder.manifest.stop_reason is not None and folder.has_results:
        return True
    end = folder.ends.get(lease.attempt)
    return end is not None and (lease.attempt, lease.driver_epoch) <= (end.attempt, end.driver_epoch)


def _is_alive(observed: Observed, folder: OutputFolder, terms: Terms) -> bool:
    """Whether its driver was lately heard of, by its own clock and by ours."""
    heard = times.parsed_or_none(folder.manifest.heartbeat) if folder.manifest is not None else None
    silence = max(times.seconds_since(heard, observed.now), folder.silence_seconds or 0.0)
    return heard is not None and silence <= terms.head_missing_seconds
