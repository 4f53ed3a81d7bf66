"""What was decided about a run, in the words of `status`, which writes it down; pure data."""

from dataclasses import dataclass

from autolfads_operator.actions import Action
from autolfads_operator.conditions import NOT_SO, Told
from autolfads_operator.endings import Ending
from autolfads_spec.status import Reason

SOON = 0.5  # a step of ours is done, the next can follow


@dataclass(frozen=True)
class Verdict:
    """What was decided about a run.

    Attributes:
      actions: what to do.
      progressing: what becomes of it now.
      wake_after_seconds: when to look again.
      suspended: whether it is paused; Unknown while it is being.
      ending: why the newest attempt is over, when this has just turned out.
      complete: whether the run is.
      failed: why the run failed, if it did.
    """

    actions: tuple[Action, ...]
    progressing: Told
    wake_after_seconds: float
    suspended: Told = NOT_SO
    ending: Ending | None = None
    complete: Told = NOT_SO
    failed: Told = NOT_SO

    @property
    def is_terminal(self) -> bool:
        return "True" in (self.complete.status, self.failed.status)


def told_complete(told: Told) -> Verdict:
    """The run is complete."""
    progressing = Told("False", Reason.SUCCEEDED, told.message)
    return Verdict((), progressing, SOON, complete=told)


def told_failed(told: Told) -> Verdict:
    """The run has failed, for this reason."""
    return Verdict((), Told("False", told.reason, told.message), SOON, failed=told)
