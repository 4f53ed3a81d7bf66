"""Events, which people read in `kubectl describe`: few, with stable reasons, each told once.

They are the difference between two statuses, so they need no memory: an operator that dies before the
status is written tells the same again, under the same name, and the API server drops the second one.
"""

import hashlib
from collections.abc import Iterator
from enum import StrEnum
from typing import Literal

from autolfads_operator import endings
from autolfads_operator.actions import PostEvent
from autolfads_operator.endings import Outcome
from autolfads_operator.observed import CustomResource
from autolfads_spec.status import Condition, ConditionType, Phase, Reason, RunStatus

# Of the generations; more often than this nobody wants to read it.
PERCENT_BETWEEN = 10


class EventReason(StrEnum):
    """What can be told; a closed list."""

    ACCEPTED = "Accepted"
    REJECTED = "Rejected"
    QUEUED = "Queued"
    NODE_POOL_CREATING = "NodePoolCreating"
    QUOTA_MISSING = "QuotaMissing"
    CAPACITY_MISSING = "CapacityMissing"
    BUDGET_EXCEEDED = "BudgetExceeded"
    ATTEMPT_STARTED = "AttemptStarted"
    ATTEMPT_FAILED = "AttemptFailed"
    GENERATION_COMMITTED = "GenerationCommitted"
    PREEMPTED = "Preempted"
    PAUSED = "Paused"
    RESUMED = "Resumed"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CLEANUP_BLOCKED = "CleanupBlocked"


def told(resource: CustomResource, new: RunStatus) -> tuple[PostEvent, ...]:
    """What happened between the status that was written last and this one."""
    old = resource.status
    found = [
        *_acceptance(resource, old, new),
        *_attempts(old, new),
        *_machines(old, new),
        *_budget(old, new),
        *_progress(old, new),
        *_phases(old, new),
    ]
    return tuple(
        PostEvent(_name(resource, reason, key), kind, reason, message) for reason, kind, key, message in found
    )


_Found = tuple[EventReason, Literal["Normal", "Warning"], str, str]


def _name(resource: CustomResource, reason: EventReason, key: str) -> str:
    digest = hashlib.sha256(f"{resource.uid} {reason} {key}".encode()).hexdigest()[:16]
    return f"{resource.name}.{digest}"


def _acceptance(resource: CustomResource, old: RunStatus, new: RunStatus) -> Iterator[_Found]:
    before, after = _condition(old, ConditionType.ACCEPTED), _condition(new, ConditionType.ACCEPTED)
    if after is None or (before is not None and before.status == after.status):
        return
    key = str(resource.resource_generation)
    if after.status == "True":
        yield EventReason.ACCEPTED, "Normal", key, "the run is valid and will be carried out"
    else:
        yield EventReason.REJECTED, "Warning", key, after.message


def _attempts(old: RunStatus, new: RunStatus) -> Iterator[_Found]:
    before = {entry.number: entry for entry in old.attempts or ()}
    for entry in new.attempts or ():
        known = before.get(entry.number)
        key = str(entry.number)
        if known is None:
            yield EventReason.ATTEMPT_STARTED, "Normal", key, f"attempt {entry.number} is started"
        ended = entry.end_reason if known is None or known.end_reason is None else None
        if ended is not None and endings.outcome(ended) in (Outcome.RETRY, Outcome.DENIED):
            message = new.message or f"attempt {entry.number} is over: {ended}"
            yield EventReason.ATTEMPT_FAILED, "Warning", key, message


def _machines(old: RunStatus, new: RunStatus) -> Iterator[_Found]:
    key = str(new.attempt or 0)
    before, pool = old.node_pool, new.node_pool
    was_there = before is not None and before.status is not None
    if pool is not None and pool.managed and pool.status == "PROVISIONING" and not was_there:
        yield EventReason.NODE_POOL_CREATING, "Normal", key, f"node pool {pool.name} is being made"
    known, quota = (_condition(status, ConditionType.QUOTA_AVAILABLE) for status in (old, new))
    if quota is not None and quota.status == "False" and (known is None or known.status != "False"):
        yield EventReason.QUOTA_MISSING, "Warning", key, quota.message


def _budget(old: RunStatus, new: RunStatus) -> Iterator[_Found]:
    before, after = (_condition(status, ConditionType.BUDGET_OK) for status in (old, new))
    if after is not None and after.status == "False" and (before is None or before.status != "False"):
        yield EventReason.BUDGET_EXCEEDED, "Warning", str(new.observed_generation), after.message


def _progress(old: RunStatus, new: RunStatus) -> Iterator[_Found]:
    before = (old.progress.percent or 0) if old.progress is not None else 0
    after = new.progress
    lost = (after.preemptions or 0) if after is not None else 0
    if lost > ((old.progress.preemptions or 0) if old.progress is not None else 0):
        message = f"workers were taken away, {lost} so far; their cohorts are trained again by others"
        yield EventReason.PREEMPTED, "Normal", str(lost), message
    if after is None or after.percent is None or not after.generation:
        return
    if after.percent // PERCENT_BETWEEN > before // PERCENT_BETWEEN:
        best = f", best score {new.best.metric}" if new.best is not None else ""
        message = f"{after.summary} generations are committed{best}"
        yield EventReason.GENERATION_COMMITTED, "Normal", str(after.generation), message


def _phases(old: RunStatus, new: RunStatus) -> Iterator[_Found]:
    attempt, message = str(new.attempt or 0), new.message or ""
    after = _condition(new, ConditionType.PROGRESSING)
    if after is not None and after.reason is Reason.CLEANUP_BLOCKED:
        yield EventReason.CLEANUP_BLOCKED, "Warning", "", message
    if old.phase is new.phase:
        return
    if new.phase is Phase.QUEUED:
        yield EventReason.QUEUED, "Normal", attempt, message
    if new.phase is Phase.SUCCEEDED:
        yield EventReason.SUCCEEDED, "Normal", attempt, message
    if new.phase is Phase.FAILED:
        yield EventReason.FAILED, "Warning", "", message
    if new.phase is Phase.SUSPENDED:
        paused = _condition(new, ConditionType.SUSPENDED)
        why = paused.reason if paused is not None else None
        by_user = why is Reason.PAUSED_BY_USER
        of_budget = why is Reason.BUDGET_EXCEEDED
        reason = EventReason.PAUSED if by_user or of_budget else EventReason.CAPACITY_MISSING
        yield reason, "Normal" if by_user else "Warning", f"{attempt} {new.observed_generation}", message
    at_rest = (Phase.SUSPENDED, Phase.SUCCEEDED)
    if old.phase in at_rest and new.phase not in (*at_rest, Phase.DELETING):
        yield EventReason.RESUMED, "Normal", f"{attempt} {new.observed_generation}", "the run goes on"


def _condition(status: RunStatus, kind: ConditionType) -> Condition | None:
    return next((c for c in status.conditions or () if c.type is kind), None)
