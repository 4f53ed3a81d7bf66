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
    between,
    budget,
    deletion,
    events,
    over,
    provisioning,
    status,
    times,
    under_way,
)
from autolfads_operator.actions import Action, AddFinalizer, DeleteRayJob, RemoveFinalizer, RemoveRun
from autolfads_operator.conditions import Told
from autolfads_operator.manifests import names
from autolfads_operator.observed import Observed
from autolfads_operator.situation import Situation
from autolfads_operator.terms import Terms
from autolfads_operator.verdict import SOON, Verdict, told_complete, told_failed
from autolfads_spec.lifecycle import seconds
from autolfads_spec.status import ConditionType, Reason, RunStatus


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
        is_last = any(isinstance(action, RemoveFinalizer) for action in verdict.actions)
        kept = budget.keeping(situation, has_ended=is_last) if situation is not None else ()
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
    verdict = replace(verdict, actions=(*kept, *verdict.actions))  # first: whatever fails, this look counts
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
        over.found,
        under_way.found,
        between.released,
        between.suspended,
        between.held,
    )
    for step in steps:
        verdict = step(situation)
        if verdict is not None:
            return verdict
    return between.start(situation)


def _terminal(situation: Situation) -> Verdict | None:
    """Nothing happens any more but cleaning up, until the ttl of the run or until it goes further."""
    complete = situation.condition(ConditionType.COMPLETE)
    failed = situation.condition(ConditionType.FAILED)
    ended = next((c for c in (complete, failed) if c is not None and c.status == "True"), None)
    if ended is None or (ended is complete and situation.goes_further):
        return None
    if ended is complete:
        verdict = told_complete(over.completion(situation))
    else:
        verdict = told_failed(Told("True", ended.reason, ended.message))
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
