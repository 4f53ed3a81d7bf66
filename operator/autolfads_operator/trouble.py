"""What a user is told when the operator does not get on with a run; pure.

A look that fails leaves the status as it was, but for the condition Reconciling, which then says why nothing
moves. The next look that goes well writes the whole status again, and the condition with it.
"""

import datetime

from autolfads_operator.errors import OperatorError
from autolfads_spec import AutoLFADSError
from autolfads_spec.errors import DeniedError, StoreError
from autolfads_spec.status import Condition, ConditionType, Reason, RunStatus

LONGEST = 1000  # characters; a page of an error helps nobody


def with_trouble(
    status: RunStatus, error: Exception, resource_generation: int, now: datetime.datetime
) -> RunStatus:
    """The status as it was, with Reconciling=True and the reason of the error."""
    before = next((each for each in status.conditions or () if each.type == ConditionType.RECONCILING), None)
    is_new = before is None or before.status != "True"
    since = now.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = Condition(
        type=ConditionType.RECONCILING,
        status="True",
        reason=reason_of(error),
        message=sentence_of(error),
        last_transition_time=since if before is None or is_new else before.last_transition_time,
        observed_generation=resource_generation,
    )
    others = tuple(each for each in status.conditions or () if each.type != ConditionType.RECONCILING)
    return status.model_copy(update={"conditions": (*others, condition)})


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
