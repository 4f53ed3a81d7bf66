"""What a run has used: adds up machines over time, from the record that was kept and what is there now; pure.

    cost.settled(record, running, now, table.currency, title) -> CostRecord     everything counted until now
    cost.rate(record)                                         -> an amount an hour, at present

The record says what was there at its `as_of`. Whatever was there then is counted until it is seen gone:
after an outage of the operator that is too much by at most the outage, and never too little. What has begun
since is counted from its own beginning, also on a machine that the run had before. So it does not matter who
looks how often, nor who was away.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from autolfads_operator import times
from autolfads_spec.cost import AttemptCost, CostRecord, Metered
from autolfads_spec.status import Cost

# What is gone is remembered for a while: should it be seen again, no second of it may be counted twice.
REMEMBERED_SECONDS = 3600.0


@dataclass(frozen=True)
class Running:
    """Something that is there now.

    Attributes:
      key: see `Metered`.
      kind: for people.
      since: since when.
    """

    key: str
    kind: str
    attempt: int
    price: float
    gpus: int
    since: datetime

    def metered(self) -> Metered:
        """The same in a record."""
        return Metered(key=self.key, kind=self.kind, attempt=self.attempt, price=self.price, gpus=self.gpus)


def settled(
    record: CostRecord, running: Iterable[Running], now: datetime, currency: str, price_table: str
) -> CostRecord:
    """The record with everything counted until now.

    Args:
      record: as it was kept last; an empty one when there is none.
      running: all that is there now.
      now: UTC; a clock that went back counts as one that stands still.
      currency: of the prices.
      price_table: which prices.
    """
    before = times.parsed_or_none(record.as_of)
    now = now if before is None else max(now, before)
    sums = _Sums(record)
    there = {one.key: one for one in running}
    metered: list[Metered] = []
    for entry in record.metered:
        found = there.pop(entry.key, None)
        if entry.until is None:
            sums.add(entry, before, now)
        elif found is not None:  # again, or still: it was overlooked, or others had it meanwhile
            until = times.parsed_or_none(entry.until)
            sums.add(found.metered(), found.since if until is None else max(until, found.since), now)
        metered += _kept(entry, found, now)
    for new in there.values():
        sums.add(new.metered(), new.since, now)
        metered.append(new.metered())
    return CostRecord(
        currency=currency,
        price_table=price_table,
        as_of=now.isoformat(),
        amount=sums.amount,
        gpu_hours=sums.gpu_hours,
        metered=tuple(metered),
        attempts=sums.attempts,
    )


def remembered(status: Cost | None) -> CostRecord:
    """What the status still knows where the record is lost."""
    if status is None:
        return CostRecord()
    try:
        return CostRecord(
            currency=status.currency or "",
            as_of=status.as_of or "",
            amount=float(status.estimate or 0),
            gpu_hours=float(status.gpu_hours or 0),
        )
    except ValueError:
        return CostRecord()


def rate(record: CostRecord) -> float:
    """What an hour costs at present."""
    return sum(entry.price for entry in record.present)


def gpus(record: CostRecord) -> int:
    """GPUs that the run holds at present."""
    return sum(entry.gpus for entry in record.present)


def is_worth_keeping(kept: CostRecord | None, new: CostRecord, seconds: float) -> bool:
    """Whether the new record must be written: something came or went, or the kept one is so old by now."""
    if kept is None:
        return bool(new.metered)
    if {entry.key for entry in kept.present} != {entry.key for entry in new.present}:
        return True
    age = times.seconds_since(times.parsed_or_none(kept.as_of), times.parsed(new.as_of))
    return bool(new.present) and age >= seconds


def _kept(entry: Metered, found: Running | None, now: datetime) -> list[Metered]:
    if found is not None:
        return [found.metered()]
    if entry.until is None:
        return [entry.model_copy(update={"until": now.isoformat()})]
    ended = times.parsed_or_none(entry.until)
    return [entry] if times.seconds_since(ended, now) < REMEMBERED_SECONDS else []


class _Sums:
    def __init__(self, record: CostRecord) -> None:
        self.amount, self.gpu_hours = record.amount, record.gpu_hours
        self._attempts = {entry.number: entry for entry in record.attempts}

    @property
    def attempts(self) -> tuple[AttemptCost, ...]:
        return tuple(self._attempts[number] for number in sorted(self._attempts))

    def add(self, entry: Metered, since: datetime | None, now: datetime) -> None:
        hours = max(0.0, times.seconds_since(since, now)) / 3600
        amount, gpu_hours = entry.price * hours, entry.gpus * hours
        self.amount += amount
        self.gpu_hours += gpu_hours
        before = self._attempts.get(entry.attempt) or AttemptCost(number=entry.attempt, amount=0, gpu_hours=0)
        self._attempts[entry.attempt] = AttemptCost(
            number=entry.attempt,
            amount=before.amount + amount,
            gpu_hours=before.gpu_hours + gpu_hours,
        )
