"""Whether a run keeps to its budget, and what all of it will take; pure.

    budget.forecast(situation) -> Forecast | None      all of it, from measured times
    budget.excess(situation)   -> str | None           that the budget is used up, or will not do
    budget.keeping(situation, has_ended)               the record of what was used, when it is to be written

The first forecast comes from the first tenth of the first generation, as its driver has timed it; later ones
from the generations that are committed. Nothing is guessed before. In the first generations a run whose
forecast is above its budget is stopped while little is spent; later only what is really used counts, so that
a run that is nearly done is not stopped for a forecast that is a little too high.
"""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from autolfads_operator import cost, machines, times
from autolfads_operator.actions import WriteCost
from autolfads_operator.situation import Situation
from autolfads_spec.attempt import BUDGET_STOP
from autolfads_spec.lifecycle import BudgetSpec
from autolfads_spec.manifest import CommittedGeneration, Manifest
from autolfads_spec.status import ConditionType, Cost

# Committed generations until which a forecast above the budget stops a run.
JUDGED_GENERATIONS = 2
# Between two writes of the record, and of the amounts in the status, while nothing else changes.
KEPT_EVERY_SECONDS = 120.0
_RECENT = 10
# What tells the two sentences of an excess apart.
_USED, _FORECAST = "found that it has used", "found that the whole run is estimated at"


class Forecast(NamedTuple):
    """What the whole run will have taken at its end."""

    amount: float
    gpu_hours: float


class _Limit(NamedTuple):
    words: str
    allowed: float
    used: float
    whole: float | None
    unit: str


def forecast(situation: Situation) -> Forecast | None:
    """What the whole run takes; None before it can be told from a measurement."""
    record, manifest = situation.cost, situation.manifest
    if record is None or manifest is None or situation.lease is None:
        return None
    seconds_left = _seconds_left(situation, manifest)
    if seconds_left is None:
        return None
    hours = max(0.0, seconds_left) / 3600
    price, gpus = cost.rate(record), cost.gpus(record)
    if not (situation.is_live and situation.ready_workers):
        compute, table = situation.spec.compute, situation.terms.prices
        price, gpus = machines.planned(compute, situation.most_workers, table)
    return Forecast(record.amount + hours * price, record.gpu_hours + hours * gpus)


def _seconds_left(situation: Situation, manifest: Manifest) -> float | None:
    """Of training, by the generations that were measured; within the first one by its first epochs."""
    if not manifest.generations:
        if manifest.seconds_left is None:
            return None
        told = times.parsed_or_none(manifest.heartbeat)
        return manifest.seconds_left - (
            times.seconds_since(told, situation.now) if situation.is_live else 0.0
        )
    left = situation.generations_asked - len(manifest.generations)
    if situation.is_trained or left <= 0:
        return 0.0
    each = generation_seconds(situation, manifest.generations)
    begun = times.parsed_or_none(manifest.generations[-1].committed_at)
    under_way = min(times.seconds_since(begun, situation.now), each) if situation.is_live else 0.0
    return left * each - under_way


def generation_seconds(situation: Situation, entries: Sequence[CommittedGeneration]) -> float:
    """How long a generation takes; of generation 0, which holds the ramps, an equal share of its epochs."""
    later = [entry.seconds + entry.commit_seconds for entry in entries if entry.generation > 0]
    if later:
        return statistics.median(later[-_RECENT:])
    epochs = situation.spec.population.epochs_per_generation
    first = entries[0]
    return first.seconds * epochs / (situation.spec.training.ramp_epochs + epochs) + first.commit_seconds


def is_limited(asked: BudgetSpec) -> bool:
    """Whether there is a budget at all."""
    return asked.max_cost is not None or asked.max_gpu_hours is not None


def excess(situation: Situation) -> str | None:
    """Why the run does not keep to its budget: limit, need and cure; None while it does, or nobody can tell.

    The amounts in it are those of the moment when it was first so: a sentence that changes every second is
    no condition.
    """
    if situation.cost is None:
        return None
    manifest = situation.manifest
    done = len(manifest.generations) if manifest is not None and situation.lease is not None else 0
    asked = situation.generations_asked
    for limit in _limits(situation):
        if limit.used >= limit.allowed:
            sentence = f"wanted at most {limit.words}, {_USED} {_number(limit.used)}{limit.unit}"
            return _as_first_told(situation, limit, _USED, f"{sentence}; raise it, or ask for less")
        if limit.whole is not None and limit.whole > limit.allowed and done <= JUDGED_GENERATIONS:
            sentence = (
                f"wanted at most {limit.words}, {_FORECAST} {_number(limit.whole)}{limit.unit}, "
                f"{_number(limit.used)} of it used after {done} of {asked} generations; "
                "raise it, ask for fewer generations, or set spec.budget.onExceeded to Warn"
            )
            return _as_first_told(situation, limit, _FORECAST, sentence)
    return None


def must_stop(situation: Situation) -> str | None:
    """Why the run is to train no further; None also when only results are left to be written."""
    manifest = situation.manifest
    is_finalizing = situation.is_live and manifest is not None and manifest.stop_reason is not None
    is_over = situation.is_trained or is_finalizing or situation.spec.budget.on_exceeded == "Warn"
    return None if is_over else excess(situation)


def keeping(situation: Situation, has_ended: bool) -> tuple[WriteCost, ...]:
    """Writes the record when it is time to.

    Args:
      situation: of the run.
      has_ended: whether an attempt has just ended, or the run is let go.
    """
    record, folder = situation.cost, situation.folder
    if record is None or folder is None:
        return ()
    kept = folder.cost
    if not cost.is_worth_keeping(kept, record, KEPT_EVERY_SECONDS):
        is_last = bool(record.metered) and (has_ended or _is_reported_soon(situation))
        if not is_last:
            return ()
    return (WriteCost(record, folder.cost_version),)


def _is_reported_soon(situation: Situation) -> bool:
    """Whether the driver is about to draw its report, and the record is from before the last generation."""
    manifest = situation.manifest
    kept = situation.folder.cost if situation.folder is not None else None
    if manifest is None or manifest.stop_reason is None or not manifest.generations or kept is None:
        return False
    committed = times.parsed_or_none(manifest.generations[-1].committed_at)
    as_of = times.parsed_or_none(kept.as_of)
    return committed is not None and as_of is not None and as_of < committed


def lacks_price(situation: Situation) -> str | None:
    """The sentence for a budget in money for machines whose price nobody knows."""
    compute, table = situation.spec.compute, situation.terms.prices
    if situation.spec.budget.max_cost is None or machines.priced(compute, table) is not None:
        return None
    kind = machines.asked(compute)
    return (
        f"wanted the price of a {kind.machine_type} with {kind.accelerator or 'no accelerator'} to keep to "
        f"spec.budget.maxCost, found none in the price table {table.title}; have it added (docs/cost.md), or "
        "use spec.budget.maxGpuHours"
    )


def has_ended_training(situation: Situation) -> bool:
    """Whether the driver has stopped for good because of the budget; results come, or are there."""
    return situation.manifest is not None and situation.manifest.stop_reason == BUDGET_STOP


def told(situation: Situation, is_over: bool) -> Cost | None:
    """What the status says of the cost; of a run that is over, no forecast any more."""
    record, previous = situation.cost, situation.previous.cost
    if record is None:
        return previous
    if previous is None and not record.metered and record.amount == 0:
        return None
    whole = forecast(situation)
    summary = f"{record.amount:.2f} {record.currency}"
    if whole is not None and not is_over and _is_unfinished(situation):
        summary = f"{record.amount:.2f} of ~{whole.amount:.2f} {record.currency}"
    return Cost(
        estimate=f"{record.amount:.2f}",
        currency=record.currency,
        gpu_hours=f"{record.gpu_hours:.2f}",
        rate=f"{cost.rate(record):.2f}",
        as_of=times.written(situation.now),
        price_table=record.price_table[:256],
        whole_run=f"{whole.amount:.2f}" if whole is not None else None,
        summary=summary,
    )


def is_news(old: Cost | None, new: Cost | None) -> bool:
    """Whether amounts have changed so much, or for so long, that the status must be written for them."""
    if old is None or new is None:
        return old is not new
    if (old.currency, old.rate, old.price_table) != (new.currency, new.rate, new.price_table):
        return True
    if (old.whole_run is None) != (new.whole_run is None):
        return True
    before, now = times.parsed_or_none(old.as_of), times.parsed_or_none(new.as_of)
    is_old = before is None or now is None or times.seconds_since(before, now) >= KEPT_EVERY_SECONDS
    return is_old and old.model_copy(update={"as_of": None}) != new.model_copy(update={"as_of": None})


def _limits(situation: Situation) -> list[_Limit]:
    record, asked = situation.cost, situation.spec.budget
    assert record is not None  # asked before
    whole = forecast(situation)
    limits = []
    if asked.max_cost is not None:
        words = f"{asked.max_cost} {record.currency} (spec.budget.maxCost)"
        amount = whole.amount if whole is not None else None
        limits.append(_Limit(words, float(asked.max_cost), record.amount, amount, f" {record.currency}"))
    if asked.max_gpu_hours is not None:
        words = f"{asked.max_gpu_hours:g} GPU-hours (spec.budget.maxGpuHours)"
        hours = whole.gpu_hours if whole is not None else None
        limits.append(_Limit(words, asked.max_gpu_hours, record.gpu_hours, hours, " GPU-hours"))
    return limits


def _as_first_told(situation: Situation, limit: _Limit, kind: str, sentence: str) -> str:
    before = situation.condition(ConditionType.BUDGET_OK)
    is_same = before is not None and before.status == "False" and limit.words in before.message
    return before.message if before is not None and is_same and kind in before.message else sentence


def _number(amount: float) -> str:
    return f"{amount:.2f}" if amount >= 1 or amount == 0 else f"{amount:.2g}"


def _is_unfinished(situation: Situation) -> bool:
    return situation.manifest is not None and not situation.is_trained
