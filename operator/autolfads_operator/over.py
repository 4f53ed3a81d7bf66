"""Whether the newest attempt of a run is over, why, and whether the run ends with it; pure.

    over.found(situation) -> Verdict | None       None while it goes on, or before the first one

That an attempt is over is only written down here; what follows from it comes with the next look.
"""

from dataclasses import replace

from autolfads_operator import budget, endings, provisioning, status, stopping, watchdog
from autolfads_operator.conditions import NOT_SO, Told
from autolfads_operator.endings import Ending, Outcome
from autolfads_operator.situation import Situation
from autolfads_operator.verdict import SOON, Verdict, told_complete, told_failed
from autolfads_spec.attempt import BUDGET_STOP
from autolfads_spec.status import ConditionType, Reason

# A head that runs out of memory so often in a row will do so again.
SAME_ENDS = 3


def found(situation: Situation) -> Verdict | None:
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
        message = f"attempt {last.number} is over: {ending.message}"
        if ending.outcome is Outcome.SUCCEEDED:
            message += f"; the next one goes on to {situation.generations_asked} generations"
        told = Told("False", ending.reason, message)
        verdict = Verdict((), told, SOON, suspended=_pausing(situation, ending))
    return replace(verdict, ending=ending)


def _ending(situation: Situation) -> Ending | None:
    """Why the present attempt is over; what it says itself comes first, then what we want or see."""
    stop = stopping.wanted(situation)
    itself = endings.ended_by_itself(situation)
    if itself is not None and itself.reason is Reason.SUCCEEDED and budget.has_ended_training(situation):
        return Ending(Reason.BUDGET_EXCEEDED, stopping.over_budget(situation) or BUDGET_STOP)
    if itself is not None:
        asked = itself.reason in (Reason.PAUSED_BY_USER, Reason.DEADLINE_EXCEEDED)
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
        is_known = situation.folder is not None  # else nobody can tell whether it goes further
        return told_complete(completion(situation)) if is_known and not situation.goes_further else None
    if outcome is Outcome.FATAL:
        return told_failed(Told("True", ending.reason, ending.message))
    if outcome is Outcome.OVER_BUDGET and stopping.is_for_good(situation):
        found = f"; what was found so far is in {situation.spec.output.uri}"
        return told_failed(Told("True", ending.reason, ending.message + found))
    if outcome is not Outcome.RETRY:
        return None
    newest = situation.last
    is_new = newest is None or newest.end_reason is None
    earlier = [entry.end_reason for entry in situation.history if entry.end_reason is not None]
    ends = [*earlier, ending.reason] if is_new else earlier
    # That a head was lost says nothing of its memory, for or against.
    same = [reason for reason in ends if reason != Reason.HEAD_LOST]
    if same[-SAME_ENDS:] == [Reason.HEAD_OUT_OF_MEMORY] * SAME_ENDS:
        return told_failed(Told("True", Reason.HEAD_OUT_OF_MEMORY, ending.message))
    failures = status.failed_attempts(situation, ending if is_new else None)
    allowed = situation.spec.retry.max_attempts
    if failures >= allowed:
        message = (
            f"wanted at most {allowed} failed attempts (spec.retry.maxAttempts), found {failures}; the last "
            f"one: {ending.message}"
        )
        return told_failed(Told("True", Reason.ATTEMPTS_EXHAUSTED, message))
    return None


def completion(situation: Situation) -> Told:
    """That the run is complete, and why it does not go further although more generations are asked for."""
    manifest = situation.manifest if situation.lease is not None else None
    why = manifest.stop_reason if manifest is not None else None
    before = situation.condition(ConditionType.COMPLETE)
    if why is None and before is not None and before.status == "True":  # the folder is not as it was
        return Told("True", before.reason, before.message)
    asked = situation.generations_asked
    if manifest is not None and manifest.generations_asked < asked:
        why = f"{why}; that {asked} generations are asked for by now changes nothing"
    where = f"results in {situation.spec.output.uri}"
    return Told("True", Reason.SUCCEEDED, f"complete{f' ({why})' if why else ''}; {where}")


def _pausing(situation: Situation, ending: Ending) -> Told:
    by_user = ending.outcome is Outcome.PAUSED and situation.spec.suspend
    if by_user or ending.outcome in (Outcome.NO_MACHINES, Outcome.OVER_BUDGET):
        return Told("Unknown", ending.reason, ending.message)
    return NOT_SO
