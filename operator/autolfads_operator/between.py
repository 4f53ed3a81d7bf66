"""Between two attempts: machines are given back, and what the next one waits for; pure.

    between.released(situation)     while a RayJob of an attempt that is over is still there
    between.suspended(situation)    while the user, the budget or want of machines keeps it down
    between.held(situation)         while the next attempt may not begin yet
    between.start(situation)        begins it

Each but the last answers None when it has nothing to say; they are asked in this order.
"""

from autolfads_operator import budget, capacity, endings, provisioning, starting, stopping, times
from autolfads_operator.actions import DeleteRayJob
from autolfads_operator.conditions import NOT_SO, Told
from autolfads_operator.endings import Outcome
from autolfads_operator.observed import KubeRay
from autolfads_operator.situation import Situation
from autolfads_operator.verdict import SOON, Verdict, told_failed
from autolfads_spec.status import ConditionType, Phase, Reason

# So often in a row a run goes on by itself when quota is free again, and then finds that it is not.
QUOTA_ENDS = 3


def released(situation: Situation) -> Verdict | None:
    """Takes the machines of the attempt before away; nothing begins while any RayJob is there."""
    jobs = situation.observed.ray_jobs
    last = situation.last
    if not jobs or last is None or last.end_reason is None:
        return None
    why = f"attempt {last.number} is over ({last.end_reason})"
    actions = tuple(
        DeleteRayJob(job.name, job.uid, why)
        for job in jobs
        if job.deleted_at is None and job.attempt >= situation.attempt
    )
    told = Told("False", last.end_reason, f"{why}; waiting for its machines to be released")
    stays = _stays_down(situation, last.end_reason)
    suspended = Told("Unknown", last.end_reason, _why_down(situation)) if stays else NOT_SO
    return Verdict(actions, told, situation.terms.poll_starting_seconds, suspended=suspended)


def suspended(situation: Situation) -> Verdict | None:
    """Nothing is started, because the user does not want it, or because there are no machines."""
    last = situation.last
    wait = situation.terms.poll_terminal_seconds
    if situation.spec.suspend:
        where = f"after {_generations(situation)}" if situation.history else "before the first attempt"
        told = Told(
            "True", Reason.PAUSED_BY_USER, f"paused by spec.suspend {where}; set it to false to go on"
        )
    elif stopping.waits_for_budget(situation):
        told = Told("True", Reason.BUDGET_EXCEEDED, stopping.over_budget(situation) or "")
    elif last is not None and last.end_reason is not None and _stays_down(situation, last.end_reason):
        told = Told("True", last.end_reason, _why_down(situation))
    else:
        return None
    released = provisioning.release(situation.observed, "the run is suspended")
    if released.left:
        wait = min(wait, situation.terms.poll_starting_seconds)
    return Verdict(released.actions, Told("False", told.reason, told.message), wait, suspended=told)


def _why_down(situation: Situation) -> str:
    """The sentence with which the attempt was taken down; its condition has kept it."""
    before = situation.condition(ConditionType.SUSPENDED)
    return before.message if before is not None and before.status != "False" else "paused"


def _stays_down(situation: Situation, reason: Reason) -> bool:
    """Whether a run whose attempt ended for this reason waits for its user."""
    if situation.spec.suspend or (reason is Reason.BUDGET_EXCEEDED and stopping.waits_for_budget(situation)):
        return True
    before = situation.condition(ConditionType.SUSPENDED)
    if endings.outcome(reason) is not Outcome.NO_MACHINES or before is None or before.status == "False":
        return False
    if reason is Reason.QUOTA_EXCEEDED and capacity.is_freed(situation):
        last = [entry.end_reason for entry in situation.history[-QUOTA_ENDS:]]
        if last != [Reason.QUOTA_EXCEEDED] * QUOTA_ENDS:
            return False
    # Any change of the spec is the user's wish to try again.
    return before.observed_generation == situation.resource.resource_generation


def _generations(situation: Situation) -> str:
    progress = situation.previous.progress
    return f"{progress.summary} generations" if progress is not None and progress.summary else "no generation"


def held(situation: Situation) -> Verdict | None:
    """Why the next attempt may not begin yet; None when it may."""
    terms = situation.terms
    stop = stopping.wanted(situation)
    if stop is not None:
        return told_failed(Told("True", stop.reason, stop.why))
    taken = starting.taken(situation)
    if taken is not None:
        return told_failed(Told("True", Reason.OUTPUT_TAKEN, taken))
    lacking = budget.lacks_price(situation)
    if lacking is not None:
        return Verdict((), Told("False", Reason.PRICE_MISSING, lacking), terms.poll_terminal_seconds)
    after = times.parsed_or_none(situation.spec.schedule.start_after)
    until = -times.seconds_since(after, situation.now)
    if until > 0:
        told = Told("False", Reason.WAITING, f"starts at {situation.spec.schedule.start_after}")
        return Verdict((), told, min(until, terms.poll_terminal_seconds))
    if situation.observed.kuberay is KubeRay.MISSING:
        told = Told("False", Reason.KUBERAY_MISSING, "waiting for KubeRay")
        return Verdict((), told, terms.poll_running_seconds)
    if situation.observed.kuberay is KubeRay.UNUSABLE:
        told = Told("False", Reason.KUBERAY_TOO_OLD, "waiting for KubeRay 1.6 or newer")
        return Verdict((), told, terms.poll_running_seconds)
    folder = situation.observed.folder
    if folder is None or folder.problem is not None:
        reason = endings.folder_reason(folder.problem) if folder and folder.problem else Reason.WAITING
        told = Told("False", reason, "waiting for the output folder")
        return Verdict((), told, terms.poll_running_seconds)
    if folder.denied and not folder.is_due:
        told = Told("False", Reason.STORAGE_DENIED, "waiting for the right to write in the output folder")
        return Verdict((), told, terms.poll_running_seconds)
    if situation.rival is not None:
        told = Told("False", Reason.OUTPUT_TAKEN, _wait_for(situation.rival, situation.spec.output.uri))
        return Verdict((), told, terms.poll_running_seconds)
    wait = starting.wait_seconds(situation)
    if wait > 0:
        reason = Reason.STORAGE_DENIED if endings.is_denied(situation) else Reason.WAITING
        told = Told("False", reason, f"the next attempt begins in {times.duration(wait)}")
        return Verdict((), told, wait)
    return _another_pool(situation)


def _wait_for(rival: str, address: str) -> str:
    return (
        f"spec.output.uri: wanted a folder in which nobody else is at work, found {rival} at work in "
        f"{address}; this run begins when that has ended: wait, delete one of them, or give another folder"
    )


def _another_pool(situation: Situation) -> Verdict | None:
    """A pool that was made for this run before its spec was changed goes first."""
    cloud = situation.cloud
    if cloud is None or cloud.pools is None:
        return None
    wanted = frozenset(pool.name for pool in situation.wanted_pools)
    released = provisioning.release(situation.observed, "the run wants another one now", wanted)
    if not released.left:
        return None
    told = Told("False", Reason.WAITING, f"waiting for {released.left} to go, which the run wanted before")
    return Verdict(released.actions, told, situation.terms.poll_starting_seconds)


def start(situation: Situation) -> Verdict:
    told = Told("True", Reason.STARTING, f"attempt {starting.number(situation)} is being started")
    # Nobody waits for a run that is suspended or complete: that it goes on is written down before it does.
    goes_on = situation.previous.phase in (Phase.SUSPENDED, Phase.SUCCEEDED)
    return Verdict(() if goes_on else starting.actions(situation), told, SOON)
