"""What machines cost an hour: a table with a date, in a file of this package or of whoever installs us.

    prices.load(path) -> PriceTable          path "" is the table of the package
    table.hourly("g2-standard-8", "nvidia-l4", 1, "Spot") -> amount an hour, or None

Knows prices and no run. A table that is not right keeps the operator from starting: a wrong price would be
noticed only on the bill.
"""

import math
import re
from pathlib import Path
from typing import ClassVar, Literal

import yaml
from pydantic import Field, ValidationError

from autolfads_spec import SpecError, document, explain
from autolfads_spec.block import Block, Rule, wanted

Provisioning = Literal["OnDemand", "Spot", "FlexStart"]

OWN_TABLE = Path(__file__).with_name("prices.yaml")
WHAT_TO_DO = "see docs/cost.md, or leave AUTOLFADS_PRICE_TABLE out for the table that comes with the operator"
_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "M": 1e6, "G": 1e9, "T": 1e12, "k": 1e3}
_PRICE = wanted("an amount an hour, such as 0.85")


class HeadPrice(Block):
    """What the head's share of its machine costs."""

    cpu: float = Field(ge=0, le=1e4, json_schema_extra=_PRICE, description="An hour of one CPU.")
    memory_gib: float = Field(ge=0, le=1e4, json_schema_extra=_PRICE, description="An hour of one GiB.")


class MachinePrice(Block):
    """What a machine costs, its accelerators included."""

    machine_type: str = Field(min_length=1, max_length=63, description="Such as g2-standard-8.")
    accelerator: str | None = Field(None, max_length=63, description="In GKE's words, such as nvidia-l4.")
    count: int = Field(1, ge=1, le=16, description="Accelerators of the machine.")
    on_demand: float = Field(gt=0, le=1e4, json_schema_extra=_PRICE, description="The list price.")
    spot: float | None = Field(None, gt=0, le=1e4, json_schema_extra=_PRICE, description="As a spot machine.")
    flex_start: float | None = Field(
        None, gt=0, le=1e4, json_schema_extra=_PRICE, description="With flex-start."
    )

    def hourly(self, provisioning: Provisioning) -> float:
        """The price; the list price, which is never less, where there is none for this way of buying."""
        found = {"OnDemand": self.on_demand, "Spot": self.spot, "FlexStart": self.flex_start}[provisioning]
        return self.on_demand if found is None else found


class PriceTable(Block):
    """A table of prices.

    Attributes:
      source: where the prices come from, for whoever checks them.
    """

    name: str = Field(min_length=1, max_length=40, description="Name of the table.")
    date: str = Field(
        min_length=10,
        max_length=10,
        pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
        json_schema_extra=wanted('a date in quotes such as "2030-01-31"'),
        description="When the prices were right.",
    )
    region: str = Field(min_length=1, max_length=40, description="Where they hold, such as us-central1.")
    currency: str = Field(
        min_length=3,
        max_length=3,
        pattern="^[A-Z]{3}$",
        json_schema_extra=wanted("three capital letters such as USD"),
        description="Of every price.",
    )
    source: str = Field("", max_length=1000, description="Where the prices come from.")
    head: HeadPrice = Field(description="What the head costs.")
    machines: tuple[MachinePrice, ...] = Field(
        strict=False, min_length=1, max_length=500, description="What machines cost."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            ("machines",),
            "",
            "",
            lambda table: _said_twice([(m.machine_type, m.accelerator, m.count) for m in table.machines]),
        ),
    )

    @property
    def title(self) -> str:
        """Name, region and date, as users see them."""
        return f"{self.name} {self.region} {self.date}"

    def hourly(
        self, machine_type: str, accelerator: str | None, count: int, provisioning: Provisioning
    ) -> float | None:
        """What such a machine costs an hour; never less than it really does, None when nobody knows.

        Args:
          machine_type: such as g2-standard-8.
          accelerator: what it has, in GKE's words; None for a machine without.
          count: how many of them; 0 when unknown.
          provisioning: how it is bought.
        """
        fitting = [
            price
            for price in self.machines
            if price.machine_type == machine_type and price.accelerator == accelerator
        ]
        prices = [
            price.hourly(provisioning) * math.ceil(max(count, 1) / price.count if accelerator else 1)
            for price in fitting
        ]
        return min(prices) if prices else None

    def of_head(self, cpu: str, memory: str) -> float:
        """What a share of a machine costs an hour, both as Kubernetes quantities."""
        return quantity(cpu) * self.head.cpu + quantity(memory) / _UNITS["Gi"] * self.head.memory_gib


def quantity(text: str) -> float:
    """A Kubernetes quantity such as 500m, 2 or 8Gi as a number."""
    match = re.fullmatch(r"([0-9.]+)(m|[KMGT]i|[kMGT])?", text)
    if match is None:
        raise ValueError(f"wanted a Kubernetes quantity such as 500m or 8Gi, found {text!r}; correct it")
    number, unit = match.groups()
    return float(number) * (0.001 if unit == "m" else _UNITS.get(unit or "", 1))


def load(path: str = "") -> PriceTable:
    """The table in a YAML or JSON file, or the one of this package.

    Raises:
      SpecError: one sentence for everything that is wrong with it.
    """
    source = Path(path) if path else OWN_TABLE
    try:
        text = source.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{source}: wanted a price table, found {_why(error)}; {WHAT_TO_DO}") from error
    if not _is_mapping(text):
        raise SpecError(f"{source}: wanted a price table, found a text that is none; {WHAT_TO_DO}")
    parsed = document.parse(text, str(source))
    try:
        return PriceTable.model_validate(parsed.content, by_alias=True, by_name=False)
    except ValidationError as error:
        sentences = explain.all_problems(PriceTable, parsed.content, error, parsed.lines)
        raise SpecError(*(f"{source}: {sentence}" for sentence in sentences)) from error


def _is_mapping(text: str) -> bool:
    try:
        return isinstance(yaml.compose(text, yaml.SafeLoader), yaml.MappingNode)
    except yaml.YAMLError:
        return True  # it was to be one; the parser tells what is wrong, and where


def _why(error: Exception) -> str:
    return (getattr(error, "strerror", None) or "bytes that are no text").lower()


def _said_twice(machines: list[tuple[str, str | None, int]]) -> str | None:
    twice = next((one for number, one in enumerate(machines) if one in machines[:number]), None)
    if twice is None:
        return None
    return f"wanted each machine once, found {twice[0]} twice; remove one of its prices"
