"""What to do about one run, and what to say about it: a pure function of what was observed.

    from autolfads_operator.plan import Plan, plan
    plan(observed: Observed, terms: Terms) -> Plan(actions, status, wake_after_seconds)

Level-triggered: nothing hangs on what happened before, only on what is there now: the objects, the
output folder, and the status that was written last. So an operator that was killed between any two
actions, or two at once, go on to the same end. Time comes from `observed.now` only.

The caller carries out `actions` in order and stops at the first error; then, only if all went well,
writes `status` (when `status.is_worth_writing` says so) and waits for `wake_after_seconds` or a change.
That an attempt is over is written down before anything follows from it: its RayJob is taken away, and
the next attempt begins, only once the status says why the one before has ended.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from autolfads_operator import (
    acceptance,
    budget,
    capacity,
    deletion,
    endings,
    events,
    provisioning,
    starting,
    status,
    stopping,
    times,
    watchdog,
)
from autolfads_operator.actions import Action, AddFinalizer, DeleteRayJob, RemoveRun, ScaleWorkers
from autolfads_operator.conditions import NOT_SO, Told, cluster
from autolfads_operator.endings import Ending, Outcome
from autolfads_operator.manifests import names
from autolfads_operator.observed import KubeRay, Observed
from autolfads_operator.situation import Situation
from autolfads_operator.status import Verdict
from autolfads_operator.terms import Terms
from autolfads_spec.attempt import BUDGET_STOP
from autolfads_spec.lifecycle import seconds
from autolfads_spec.status import ConditionType, Reason, RunStatus

SOON = 0.5  # a step of ours is done, the next can follow
# A head that runs out of memory so often in a row will do so again.
SAME_ENDS = 3
# So often in a row a run goes on by itself when quota is free again, and then finds that it is not.
QUOTA_ENDS = 3


@dataclass(frozen=True)
class Plan:
    """What to do now, what to say, and when to look again.

    Attributes:
      actions: in this order; the first one that fails ends the plan.
      status: the whole status, to be written once the actions are done.
      wake_after_seconds: look again after at most so long.
    """

    actions: tuple[Action, ...]
    status: RunStatus
    wake_after_seconds: float


def plan(observed: Observed, terms: Terms) -> Plan:
    """Decides what to do about one run."""
    resource = observed.custom_resource
    situation = Situation(observed, resource.run, terms) if resource.run is not None else None
    if resource.deleted_at is not None:
        verdict = deletion.verdict(observed, situation, terms)
        kept = budget.keeping(situation, has_ended=False) if situation is not None else ()
        verdict = replace(verdict, actions=(*kept, *verdict.actions))
        return _told(observed, verdict, status.deleting(observed, verdict.progressing))
    problems = acceptance.problems(observed, terms)
    if problems or situation is None:
        nothing = Verdict((), Told("False", Reason.INVALID_SPEC), terms.poll_terminal_seconds)
        return _told(observed, nothing, status.rejected(observed, problems))
    verdict = _decided(situation)
    if not verdict.is_terminal:
        verdict = replace(verdict, actions=(*_always(situation), *verdict.actions))
    kept = budget.keeping(situation, has_ended=verdict.ending is not None)
    verdict = replace(verdict, actions=(*verdict.actions, *kept))
    return _told(observed, verdict, status.projected(situation, verdict))


def _told(observed: Observed, verdict: Verdict, new: RunStatus) -> Plan:
    told = events.told(observed.custom_resource, new)
    return Plan((*verdict.actions, *told), new, verdict.wake_after_seconds)


def _always(situation: Situation) -> Iterator[Action]:
    """What holds whatever else is decided: our finalizer, and no RayJob of an earlier attempt."""
    if names.FINALIZER not in situation.resource.finalizers:
        yield AddFinalizer(names.FINALIZER)
    for job in situation.observed.ray_jobs:
        if job.attempt < situation.attempt and job.deleted_at is None:
            yield DeleteRayJob(job.name, job.uid, f"attempt {situation.attempt} has taken its place")


def _decided(situation: Situation) -> Verdict:
    """The first of these that has an answer."""
    steps: tuple[Callable[[Situation], Verdict | None], ...] = (
        _terminal,
        _over,
        _under_way,
        _released,
        _suspended,
        _held,
    )
    for step in steps:
        verdict = step(situation)
        if verdict is not None:
            return verdict
    return _start(situation)


# The run has ended.


def _terminal(situation: Situation) -> Verdict | None:
    """Nothing happens any more but cleaning up, for ever or until the ttl of the run."""
    complete = situation.condition(ConditionType.COMPLETE)
    failed = situation.condition(ConditionType.FAILED)
    ended = next((c for c in (complete, failed) if c is not None and c.status == "True"), None)
    if ended is None:
        return None
    told = Told("True", ended.reason, ended.message)
    verdict = _succeeded(situation, told) if ended is complete else _failed(situation, told)
    leftovers = (job for job in situation.observed.ray_jobs if job.is_live)
    actions: list[Action] = [DeleteRayJob(job.name, job.uid, "the run has ended") for job in leftovers]
    wait = situation.terms.poll_terminal_seconds
    stays = seconds(situation.spec.ttl.cluster_after_finished) + deletion.LONGEST_SECONDS
    if provisioning.is_over(situation, stays):
        released = provisioning.release(situation.observed, "the run has ended")
        actions += released.actions
        wait = min(wait, situation.terms.poll_running_seconds) if released.left else wait
    kept = situation.spec.ttl.run_after_finished
    if kept is not None:
        completed = times.parsed_or_none(situation.previous.completion_time)
        left = seconds(kept) - times.seconds_since(completed, situation.now)
        if left <= 0:
            actions.append(RemoveRun(situation.resource.uid, f"it ended {kept} ago (spec.ttl)"))
        wait = min(wait, max(left, SOON))
    return replace(verdict, actions=tuple(actions), wake_after_seconds=wait)


def _succeeded(situation: Situation, told: Told) -> Verdict:
    progressing = Told("False", Reason.SUCCEEDED, told.message)
    return Verdict((), progressing, SOON, complete=told)


def _failed(situation: Situation, told: Told) -> Verdict:
    return Verdict((), Told("False", told.reason, told.message), SOON, failed=told)


# The newest attempt.


def _over(situation: Situation) -> Verdict | None:
    """The newest attempt has just turned out to be over, or must be: write down why, do nothing yet."""
    last = situation.last
    if last is None:
        return None
    if last.end_reason is not None:  # known already; again the end of the run, if a status was lost
        return _end_of_run(situation, Ending(last.end_reason, situation.previous.message or ""))
    ending = _ending(situation) if last.number == situation.attempt else _forgotten(situation, last.number)
    if ending is None:
        return None
    verdict = _end_of_run(situation, ending)
    if verdict is None:
        told = Told("False", ending.reason, f"attempt {last.number} is over: {ending.message}")
        verdict = Verdict((), told, SOON, suspended=_pausing(situation, ending))
    return replace(verdict, ending=ending)


def _ending(situation: Situation) -> Ending | None:
    """Why the present attempt is over; what it says itself comes first, then what we want or see."""
    stop = stopping.wanted(situation)
    itself = endings.ended_by_itself(situation)
    if itself is not None and itself.reason is Reason.SUCCEEDED and budget.has_ended_training(situation):
        return Ending(Reason.BUDGET_EXCEEDED, stopping.over_budget(situation) or BUDGET_STOP)
    if itself is not None:
        asked = itself.reason is Reason.PAUSED_BY_USER and stop is not None
        return Ending(stop.reason, stop.why) if asked and stop is not None else itself
    stopped = stopping.stopped(situation, stop) if stop is not None else None
    return (
        stopped
        or watchdog.found_dead(situation)
        or provisioning.found_broken(situation)
        or watchdog.found_no_machines(situation)
    )


def _forgotten(situation: Situation, number: int) -> Ending | None:
    """Why an earlier attempt is over, whose end was never written down."""
    if situation.folder is None:
        return None
    return Ending(endings.forgotten(situation.end_of(number)), "found only after the next attempt had begun")


def _end_of_run(situation: Situation, ending: Ending) -> Verdict | None:
    """That the run ends with this attempt; None when it goes on, now or later."""
    outcome = ending.outcome
    if outcome is Outcome.SUCCEEDED:
        return _succeeded(situation, Told("True", Reason.SUCCEEDED, _where(situation)))
    if outcome is Outcome.FATAL:
        return _failed(situation, Told("True", ending.reason, ending.message))
    if outcome is Outcome.OVER_BUDGET and stopping.is_for_good(situation):
        found = f"; what was found so far is in {situation.spec.output.uri}"
        return _failed(situation, Told("True", ending.reason, ending.message + found))
    if outcome is not Outcome.RETRY:
        return None
    newest = situation.last
    is_new = newest is None or newest.end_reason is None
    failures = status.failed_attempts(situation, ending if is_new else None)
    allowed = situation.spec.retry.max_attempts
    if failures >= allowed:
        message = (
            f"wanted at most {allowed} failed attempts (spec.retry.maxAttempts), found {failures}; the last "
            f"one: {ending.message}"
        )
        return _failed(situation, Told("True", Reason.ATTEMPTS_EXHAUSTED, message))
    earlier = [entry.end_reason for entry in situation.history if entry.end_reason is not None]
    same = [*earlier, ending.reason] if is_new else earlier
    if same[-SAME_ENDS:] == [Reason.HEAD_OUT_OF_MEMORY] * SAME_ENDS:
        return _failed(situation, Told("True", Reason.HEAD_OUT_OF_MEMORY, ending.message))
    return None


def _where(situation: Situation) -> str:
    why = situation.manifest.stop_reason if situation.manifest is not None else None
    return f"complete{f' ({why})' if why else ''}; results in {situation.spec.output.uri}"


def _pausing(situation: Situation, ending: Ending) -> Told:
    by_user = ending.outcome is Outcome.PAUSED and situation.spec.suspend
    if by_user or ending.outcome in (Outcome.NO_MACHINES, Outcome.OVER_BUDGET):
        return Told("Unknown", ending.reason, ending.message)
    return NOT_SO


def _under_way(situation: Situation) -> Verdict | None:
    """The present attempt goes on, as far as anybody knows."""
    last = situation.last
    if last is None or last.end_reason is not None:
        return None
    terms = situation.terms
    if not situation.is_live:  # over, but only the output folder knows how
        folder = situation.observed.folder
        problem = folder.problem if folder is not None else None
        reason = endings.folder_reason(problem) if problem is not None else Reason.WAITING
        told = Told(
            "False", reason, "the attempt is over; waiting for the output folder to tell how it ended"
        )
        return Verdict((), told, terms.poll_running_seconds)
    stop = stopping.wanted(situation)
    if stop is not None:
        told = Told("True", stop.reason, f"pausing at the end of the generation: {stop.why}")
        actions = stopping.wish(situation, True, stop.why, stop.finish)
        pausing = Told("Unknown", stop.reason, told.message)
        if stop.finish:
            told = Told("True", Reason.FINALIZING, f"this generation is the last one: {stop.why}")
            pausing = NOT_SO
        return Verdict(actions, told, terms.poll_starting_seconds, suspended=pausing)
    step = provisioning.step(situation)
    progressing = step.waits or _stage(situation)
    settled = progressing.reason in (Reason.TRAINING, Reason.QUEUED)
    wait = terms.poll_running_seconds if settled else terms.poll_starting_seconds
    left = seconds(situation.spec.schedule.deadline) - situation.elapsed_seconds
    wishes = stopping.wish(situation, False, "the run goes on")
    scaling = _scale(situation) if step.waits is None else ()
    if step.waits is not None and situation.since(ConditionType.DATA_READY, "True") is None:
        wait = SOON  # only for this status to be written
    return Verdict((*wishes, *step.actions, *scaling), progressing, min(wait, max(left, SOON)))


def _stage(situation: Situation) -> Told:
    """How far the present attempt is."""
    attempt = f"attempt {situation.attempt}"
    if situation.is_queued:
        return Told("False", Reason.QUEUED, f"{attempt} waits to be admitted by its queue")
    found = cluster(situation)
    job = situation.ray_job
    if not situation.has_begun:
        if job is not None and job.job_status == "RUNNING":
            return Told("True", Reason.VALIDATING, f"{attempt}: the driver checks the recording")
        return Told("True", Reason.STARTING, f"{attempt}: {found.message}")
    manifest = situation.manifest
    if manifest is not None and manifest.stop_reason is not None:
        return Told(
            "True", Reason.FINALIZING, f"training is over ({manifest.stop_reason}); results are written"
        )
    if found.status != "True":
        return Told("True", Reason.PROVISIONING, f"{attempt}: {found.message}")
    done = 0 if manifest is None or manifest.generation is None else manifest.generation + 1
    asked = manifest.generations_asked if manifest is not None else situation.spec.population.generations
    return Told("True", Reason.TRAINING, f"{attempt}: {done} of {asked} generations are committed")


def _scale(situation: Situation) -> tuple[Action, ...]:
    """Asks for the workers once the recording is known to be good, and follows `workers.desired`."""
    found, desired = situation.cluster, situation.spec.compute.workers.desired
    if found is None or not situation.has_begun:
        return ()
    if found.replicas == desired and found.max_replicas >= desired:
        return ()
    return (ScaleWorkers(found.name, names.WORKER_GROUP, desired),)


# Between two attempts.


def _released(situation: Situation) -> Verdict | None:
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


def _suspended(situation: Situation) -> Verdict | None:
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


def _held(situation: Situation) -> Verdict | None:
    """Why the next attempt may not begin yet; None when it may."""
    terms = situation.terms
    stop = stopping.wanted(situation)
    if stop is not None:
        return _failed(situation, Told("True", stop.reason, stop.why))
    taken = starting.taken(situation)
    if taken is not None:
        return _failed(situation, Told("True", Reason.OUTPUT_TAKEN, taken))
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
    folder = situation.observed.folder
    if folder is None or folder.problem is not None:
        reason = endings.folder_reason(folder.problem) if folder and folder.problem else Reason.WAITING
        told = Told("False", reason, "waiting for the output folder")
        return Verdict((), told, terms.poll_running_seconds)
    wait = starting.wait_seconds(situation)
    if wait > 0:
        told = Told("False", Reason.WAITING, f"the next attempt begins in {times.duration(wait)}")
        return Verdict((), told, wait)
    return _another_pool(situation)


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


def _start(situation: Situation) -> Verdict:
    told = Told("True", Reason.STARTING, f"attempt {starting.number(situation)} is being started")
    return Verdict(starting.actions(situation), told, SOON)
