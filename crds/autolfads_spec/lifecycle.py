"""When a run starts, pauses, retries, resumes, ends and is cleaned up: the blocks beside the experiment.

A local run looks at `resume` and at `retry.maxMemberFailures` and at nothing else here; the operator
carries out the rest.
"""

import re
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from pydantic import Field

from autolfads_spec.block import Block, Rule, wanted

# Kubernetes' form of a duration, without fractions.
DURATION = r"^([1-9][0-9]{0,4}h)?([1-9][0-9]{0,5}m)?([1-9][0-9]{0,6}s)?$"
DURATION_PHRASE = "a duration such as 90s, 45m, 24h or 1h30m"
TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
AMOUNT = r"^[0-9]{1,7}(\.[0-9]{1,2})?$"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS = {"h": 3600, "m": 60, "s": 1}


def seconds(duration: str) -> int:
    """Seconds of a duration such as 1h30m.

    Raises:
      ValueError: when it is not one; the fields of the spec only hold durations.
    """
    if not duration or re.fullmatch(DURATION, duration) is None:
        raise ValueError(f"wanted {DURATION_PHRASE}, found '{duration}'")
    return sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"([0-9]+)([hms])", duration))


def _duration_field(default: str | None, description: str) -> Any:
    return Field(
        default,
        min_length=2,
        max_length=20,
        pattern=DURATION,
        json_schema_extra=wanted(DURATION_PHRASE),
        description=description,
    )


def _provisioning_problem(s: "ScheduleSpec") -> str | None:
    if seconds(s.provisioning_timeout) < seconds(s.deadline):
        return None
    return (
        f"wanted provisioningTimeout below deadline, found {s.provisioning_timeout} and {s.deadline}; "
        "lower provisioningTimeout or raise deadline"
    )


def _time_problem(s: "ScheduleSpec") -> str | None:
    if s.start_after is None:
        return None
    try:
        if datetime.fromisoformat(s.start_after) > _EPOCH:
            return None
    except ValueError:
        pass
    return f"wanted a time of the calendar, after 1970, found '{s.start_after}'; correct it, or remove it"


class ScheduleSpec(Block):
    """When the run may start and by when it must end."""

    start_after: str | None = Field(
        None,
        max_length=25,
        pattern=TIME,
        json_schema_extra=wanted("a time such as 2030-01-31T18:00:00Z"),
        description="Time before which nothing is started; by default it starts at once.",
    )
    deadline: str = _duration_field(
        "24h", "Longest time the run may take from its start, without pauses and the time it was complete."
    )
    provisioning_timeout: str = _duration_field(
        "45m", "Longest time to wait for machines before the run is paused."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            ("startAfter",),
            "!has(self.startAfter) || timestamp(self.startAfter) > timestamp('1970-01-01T00:00:00Z')",
            "wanted startAfter to be a time of the calendar, after 1970; correct it, or remove it",
            _time_problem,
        ),
        Rule(
            ("deadline", "provisioningTimeout"),
            "duration(self.provisioningTimeout) < duration(self.deadline)",
            "wanted provisioningTimeout below deadline; lower provisioningTimeout or raise deadline",
            _provisioning_problem,
        ),
    )


class RetrySpec(Block):
    """How often lost machines are replaced; errors of the data or the spec are never retried."""

    max_attempts: int = Field(5, ge=1, le=100, description="Attempts in all before the run fails.")
    max_member_failures: int = Field(
        3,
        ge=0,
        le=1000,
        description="How often the machine under one member may be lost, or its worker stand still, in one "
        "attempt; once more ends the attempt, and the next goes on after the last committed generation. "
        "A change is for the next attempt.",
    )


class ResumeSpec(Block):
    """What happens with an earlier run's state under the output folder."""

    policy: Literal["IfPresent", "Require", "Never"] = Field(
        "IfPresent",
        description="IfPresent: go on from it when there is one; Require: fail when there is none; "
        "Never: refuse an output folder that holds one.",
    )
    # `from` is a keyword in Python.
    from_run: str | None = Field(
        None,
        alias="from",
        min_length=1,
        max_length=1024,
        description="Reserved for starting from another run's population; refused in this version. To go "
        "on with a run, give its `output.uri`.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            ("policy", "from"),
            "self.policy != 'Never' || !has(self.from)",
            "policy Never resumes nothing; remove from, or use policy IfPresent",
            lambda r: (
                f"wanted no from with policy Never, found '{r.from_run}'; remove from, or use policy "
                "IfPresent"
                if r.policy == "Never" and r.from_run is not None
                else None
            ),
        ),
    )


class BudgetSpec(Block):
    """What the run may cost in a cluster; what counts is in docs/cost.md."""

    max_cost: str | None = Field(
        None,
        max_length=10,
        pattern=AMOUNT,
        json_schema_extra=wanted('an amount of money in quotes such as "25.00"'),
        description="Largest estimated cost in the currency of the operator's price table, a decimal in "
        "quotes.",
    )
    max_gpu_hours: float | None = Field(
        None, gt=0, le=1e6, description="Largest number of hours of all GPUs together."
    )
    on_exceeded: Literal["Suspend", "Fail", "Warn"] = Field(
        "Suspend",
        description="What happens at the end of the generation in which the budget is used up, or when the "
        "whole run is estimated above it after the first generations. Suspend: pause until the budget is "
        "raised; Fail: write the results of the best model so far and end; Warn: only say so.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            ("maxCost",),
            "!has(self.maxCost) || double(self.maxCost) > 0.0",
            "wanted maxCost above 0; raise it, or remove it",
            lambda b: (
                f'wanted an amount above 0, found "{b.max_cost}"; raise it, or remove it'
                if b.max_cost is not None and float(b.max_cost) == 0
                else None
            ),
        ),
    )


class TTLSpec(Block):
    """How long things stay after the run has ended; results are never deleted."""

    cluster_after_finished: str = _duration_field(
        "120s", "Time for which the run's machines stay after its end."
    )
    run_after_finished: str | None = _duration_field(
        None, "Time after which the finished run is removed from the cluster; by default it stays."
    )
