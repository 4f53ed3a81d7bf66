"""What operator and driver tell each other through the output folder, one file for each direction.

The operator writes who may drive (`Lease`, see `manifest`) and what it wants of the driver
(`Wish`); the driver writes where the run stands (`Manifest`) and, at its end, why it ended
(`AttemptEnd`). Neither ever writes the other's file but the lease, which is changed by
compare-and-set only. So the driver needs no rights in Kubernetes, and an operator that was
away reads everything that it missed.
"""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from autolfads_spec.manifest import Document

# The manifest's `stop_reason` of a run that a `Wish` to finish has ended: words without any amount, so that
# what a run found does not depend on what it cost.
BUDGET_STOP = "the budget allows no further generation"


class EndClass(StrEnum):
    """Why a driver ended; a closed list, by which the operator decides whether to try again."""

    OK = "ok"
    PAUSED = "paused"
    BAD_INPUT = "bad-input"
    INPUT_DENIED = "input-denied"  # a role is missing to read the recording
    DATA_CHANGED = "data-changed"
    BAD_CONFIG = "bad-config"
    OUTPUT_TAKEN = "output-taken"
    DIVERGED = "diverged"
    DEVICE_NOT_READY = "device-not-ready"
    OUT_OF_MEMORY = "out-of-memory"
    STORE_UNAVAILABLE = "store-unavailable"
    DENIED = "denied"  # a role is missing to write the output folder; rarely said there
    INTERRUPTED = "interrupted"
    INTERNAL = "internal"

    @property
    def is_worth_another_attempt(self) -> bool:
        """Whether the same run may succeed on other machines or later; what users must mend is not."""
        return self in (
            EndClass.DEVICE_NOT_READY,
            EndClass.STORE_UNAVAILABLE,
            EndClass.INPUT_DENIED,
            EndClass.DENIED,
            EndClass.INTERRUPTED,
            EndClass.INTERNAL,
        )


class Wish(Document):
    """What the operator wants of the driver of an attempt; read at every heartbeat.

    Attributes:
      attempt: whom it is for; a driver of another attempt ignores it.
      pause: stop at the next end of a generation and keep everything.
      finish: at that end, train no further for good (`BUDGET_STOP`) and write the results of what there is;
        comes with `pause`, for drivers that do not know it.
      why: a sentence for the log.
      asked_at: UTC; since when the operator has wanted this, so that it waits only so long.
    """

    format: Literal["autolfads wish 1"] = "autolfads wish 1"
    attempt: int = Field(ge=1)
    pause: bool = False
    finish: bool = False
    why: str = ""
    asked_at: str = ""


class AttemptEnd(Document):
    """Why the driver of an attempt ended; not written by one that lost the run to another.

    Attributes:
      attempt: which.
      driver_epoch: which start of a driver within it.
      end_class: in one word.
      message: in a sentence for users, the same as on the console.
      generation: last committed one.
      ended_at: UTC.
    """

    format: Literal["autolfads attempt end 1"] = "autolfads attempt end 1"
    attempt: int = Field(ge=1)
    driver_epoch: int = Field(ge=0)
    end_class: EndClass
    message: str
    generation: int | None
    ended_at: str
