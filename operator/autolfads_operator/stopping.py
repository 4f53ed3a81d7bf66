"""Stopping a driver that is well: at the end of its generation when there is time, else at once.

The operator writes a wish, the driver ends after it has committed, and only then its machines go. How
long that may take is bounded by the wish itself, which says since when it has stood there.
"""

from dataclasses import dataclass

from autolfads_operator import budget, endings, times
from autolfads_operator.actions import WriteWish
from autolfads_operator.endings import Ending
from autolfads_operator.situation import Situation
from autolfads_spec.attempt import Wish
from autolfads_spec.status import ConditionType, Reason


@dataclass(frozen=True)
class Stop:
    """That a run is to stop.

    Attributes:
      reason: why, and what its attempt will be said to have ended for.
      why: the same as a sentence.
      finish: whether it is for good, and results are to be written of what there is.
    """

    reason: Reason
    why: str
    finish: bool = False


def wanted(situation: Situation) -> Stop | None:
    """Why the run should not train now; the more final reason first."""
    deadline = situation.spec.schedule.deadline
    if situation.seconds_left < 0:
        return Stop(
            Reason.DEADLINE_EXCEEDED,
            f"wanted the run to end within {deadline} (spec.schedule.deadline), found that it did not; what "
            "is committed is safe: delete it and apply it again with a later deadline to go on",
        )
    over = budget.must_stop(situation)
    if over is not None and situation.spec.budget.on_exceeded == "Fail":
        return Stop(Reason.BUDGET_EXCEEDED, over, finish=True)
    if situation.spec.suspend:
        return Stop(Reason.PAUSED_BY_USER, "spec.suspend is true")
    return Stop(Reason.BUDGET_EXCEEDED, over) if over is not None else None


def over_budget(situation: Situation) -> str | None:
    """Why the budget keeps the run from going on; what was said before where nobody can tell now."""
    over = budget.must_stop(situation)
    told = situation.condition(ConditionType.BUDGET_OK)
    is_unknown = situation.cost is None or budget.has_ended_training(situation)
    return told.message if over is None and is_unknown and told and told.status == "False" else over


def waits_for_budget(situation: Situation) -> bool:
    """Whether nothing is started until the user allows more."""
    return situation.spec.budget.on_exceeded == "Suspend" and over_budget(situation) is not None


def is_for_good(situation: Situation) -> bool:
    """Whether a run that is over its budget has ended, rather than waiting for more."""
    fails = situation.spec.budget.on_exceeded == "Fail"
    return budget.has_ended_training(situation) or (fails and budget.must_stop(situation) is not None)


def stopped(situation: Situation, stop: Stop) -> Ending | None:
    """That the present attempt may be taken down now; None while its driver is given time."""
    if not situation.is_live:
        return None
    said = endings.said_by_driver(situation)
    if said is not None and said.reason is Reason.PAUSED_BY_USER:
        return Ending(stop.reason, stop.why)
    if situation.folder is not None and not situation.has_begun:
        return Ending(stop.reason, stop.why)  # there is nothing to lose
    if _waited_seconds(situation) > patience_seconds(situation):
        return Ending(
            stop.reason, f"{stop.why}; the generation under way did not end in time and is repeated"
        )
    return None


def wish(situation: Situation, pause: bool, why: str, finish: bool = False) -> tuple[WriteWish, ...]:
    """Tells the driver of the present attempt, unless that stands there already."""
    folder = situation.folder
    if folder is None or not situation.has_begun or not folder.is_due:
        return ()
    found = folder.wish
    ours = found if found is not None and found.attempt == situation.attempt else None
    stands = (ours.pause, ours.finish) if ours is not None else (False, False)
    if stands == (pause, finish):
        return ()
    asked_at = times.written(situation.now)
    return (
        WriteWish(Wish(attempt=situation.attempt, pause=pause, finish=finish, why=why, asked_at=asked_at)),
    )


def patience_seconds(situation: Situation) -> float:
    """How long a driver may take to end its generation."""
    return max(situation.terms.pause_wait_seconds, 2 * situation.median_generation_seconds)


def _waited_seconds(situation: Situation) -> float:
    if situation.folder is None or situation.folder.denied:
        # Nobody can be asked; where nothing can be read, the driver cannot commit either.
        return times.seconds_since(situation.since(ConditionType.STORAGE_WRITABLE, "False"), situation.now)
    found = situation.folder.wish
    if found is None or found.attempt != situation.attempt or not found.pause:
        return 0.0
    return times.seconds_since(times.parsed_or_none(found.asked_at), situation.now)
