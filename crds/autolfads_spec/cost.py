"""What a run has cost so far: `cost.json` in the output folder, written by the operator and read by reports.

An estimate from a table of list prices, never a bill. It lies with the results, so neither a deleted custom
resource nor a lost status loses it. Whoever reads it later knows all that was counted until `as_of`, and
what was there at that moment and goes on costing until somebody sees it gone.
"""

from typing import Literal

from pydantic import Field

from autolfads_spec.manifest import Document


class Metered(Document):
    """Something that costs, or counts as GPUs, for as long as it is there.

    Attributes:
      key: which: node/<name> for a machine, pod/<name> for the head's share and for a worker's GPUs.
      kind: what it is, for people, such as "g2-standard-8 Spot".
      attempt: whose it is.
      price: an hour, in the record's currency; 0 when no price is known.
      gpus: that the run holds by it.
      until: UTC; counted until then and seen gone. None: it was there at the record's `as_of`.
    """

    key: str
    kind: str
    attempt: int
    price: float = Field(ge=0)
    gpus: int = Field(ge=0)
    until: str | None = None


class AttemptCost(Document):
    """What one attempt used."""

    number: int
    amount: float = Field(ge=0)
    gpu_hours: float = Field(ge=0)


class CostRecord(Document):
    """What a run has used until a moment.

    Attributes:
      currency: of every amount; "" before the first one.
      price_table: name and date of the table that was used last, and what is to be known about it.
      as_of: UTC; everything is counted until then.
      amount: in all.
      gpu_hours: hours of all GPUs together.
      metered: what is there, and what was until shortly before.
      attempts: the same amounts by attempt.
    """

    format: Literal["autolfads cost 1"] = "autolfads cost 1"
    currency: str = ""
    price_table: str = ""
    as_of: str = ""
    amount: float = Field(0.0, ge=0)
    gpu_hours: float = Field(0.0, ge=0)
    metered: tuple[Metered, ...] = ()
    attempts: tuple[AttemptCost, ...] = ()

    @property
    def present(self) -> tuple[Metered, ...]:
        """What was there at `as_of`."""
        return tuple(entry for entry in self.metered if entry.until is None)
