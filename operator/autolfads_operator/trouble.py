"""What a user is told when the operator does not get on with a run; pure.

A look that fails leaves the status as it was, but for the condition Reconciling, which then says why nothing
moves. The next look that goes well writes the whole status again, and the condition with it.
"""

import datetime

from autolfads_operator import conditions
from autolfads_operator.conditions import Told
from autolfads_operator.errors import OperatorError
from autolfads_spec import AutoLFADSError
from autolfads_spec.errors import DeniedError, StoreError
from autolfads_spec.status import ConditionType, Reason, RunStatus

LONGEST = 1000  # characters; a page of an error helps nobody


def with_trouble(
    status: RunStatus, error: Exception, resource_generation: int, now: datetime.datetime
) -> RunStatus:
    """The status as it was, with Reconciling=True and the reason of the error."""
    told = {ConditionType.RECONCILING: Told("True", reason_of(error), sentence_of(error))}
    written = conditions.written(told, status, resource_generation, now)
    return status.model_copy(update={"conditions": written})


def reason_of(error: Exception) -> Reason:
    """The word for programs."""
    if isinstance(error, OperatorError):
        return error.reason
    if isinstance(error, DeniedError):
        return Reason.STORAGE_DENIED
    return Reason.STORAGE_UNAVAILABLE if isinstance(error, StoreError) else Reason.UNKNOWN


def sentence_of(error: Exception) -> str:
    """The sentence for people; what was never meant for them is left to the log."""
    if isinstance(error, AutoLFADSError):
        return str(error)[:LONGEST]
    return (
        f"wanted to look at this run, found a mistake in the operator ({type(error).__name__}); "
        "see the operator's log"
    )
