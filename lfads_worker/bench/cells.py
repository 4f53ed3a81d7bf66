"""What a benchmark reads: one program in one layout, again and again, and how two of them compare.

Values only; knows neither who measures nor how it is shown.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from lfads_worker.execution.cohorts import DeviceKind

OURS, ON_RAY, EXPORTED, PEER = "ours", "ours, on Ray", "ours, through jaxlib", "lfads-torch"


@dataclass(frozen=True)
class Cell:
    """One line of the table: a program in one layout, and its readings, one a round.

    Attributes:
      shape: name of the shape.
      program: ours, or the peer and its form.
      members: of each cohort of ours; 1 for the peer.
      processes: at work at the same time.
      group: members of the cohorts of ours that it took turns with.
      rates: member-steps per second, one a round.
      cpu_ms: processor time of a member-step in milliseconds, one a round.
      core_share: of a core that each process had while it was measured; 1 on an idle machine with one
        thread a process; one a round.
      peak_mb: largest memory of a process.
      first_call_seconds: tracing, compiling and the first steps, while its neighbours did the same.
      device: what the program says it ran on: cpu, gpu or cuda, with or without a model.
    """

    shape: str
    program: str
    members: int
    processes: int
    group: int
    rates: tuple[float, ...]
    cpu_ms: tuple[float, ...]
    core_share: tuple[float, ...]
    peak_mb: int
    first_call_seconds: float
    device: str

    @property
    def rate(self) -> float:
        """Median member-steps per second."""
        return statistics.median(self.rates)

    @property
    def milliseconds(self) -> float:
        """Median time of a member-step in one process."""
        return 1e3 * self.processes / self.rate

    @property
    def is_peer(self) -> bool:
        return self.program.startswith(PEER)

    @property
    def kind(self) -> DeviceKind:
        """Of its device; what ran on different kinds is not compared."""
        return "cpu" if self.device.startswith("cpu") else "gpu"

    @property
    def took_turns(self) -> bool:
        """Whether its rounds are those of the other cells of its group."""
        return self.program != ON_RAY

    def document(self) -> dict[str, Any]:
        """The cell as plain values."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """The cell that `document` was made of."""
        lists = {name: tuple(document[name]) for name in ("rates", "cpu_ms", "core_share")}
        return cls(**{**document, **lists})


@dataclass(frozen=True)
class Ratio:
    """How many times faster ours was than the peer, both run as well as they can be.

    Attributes:
      rounds: ratio of the member-steps per second within each round.
    """

    shape: str
    program: str
    members: int
    processes: int
    peer: str
    peer_processes: int
    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """What is quoted."""
        return statistics.median(self.rounds)


def ratio(ours: Cell, peer: Cell) -> Ratio:
    """Compare two cells that took turns."""
    rounds = tuple(a / b for a, b in zip(ours.rates, peer.rates, strict=True))
    return Ratio(ours.shape, ours.program, ours.members, ours.processes, peer.program, peer.processes, rounds)


def best_peer(cells: Sequence[Cell]) -> Cell | None:
    """The peer's fastest layout among cells that took turns."""
    return max((cell for cell in cells if cell.is_peer), key=lambda cell: cell.rate, default=None)


def peers_to_beat(cells: Sequence[Cell], kind: DeviceKind) -> list[Cell]:
    """The peer's fastest form among cells that took turns on that kind of device, in the layouts that count.

    That is its fastest layout on CPUs, where a process alone leaves cores idle. On a GPU both do: members
    one after another, and some at a time.
    """
    peers = [cell for cell in cells if cell.is_peer and cell.kind == kind]
    layouts = [peers]
    if kind == "gpu":
        counts = sorted({cell.processes for cell in peers})
        layouts = [[cell for cell in peers if cell.processes == count] for count in counts]
    return [best for best in map(best_peer, layouts) if best is not None]


def ratios(cells: Sequence[Cell]) -> list[Ratio]:
    """Each cohort size, with as many processes as were measured, against the peer beside it."""
    found = []
    for group in dict.fromkeys((cell.shape, cell.group) for cell in cells):
        beside = [cell for cell in cells if (cell.shape, cell.group) == group]
        ours = [cell for cell in beside if cell.took_turns and not cell.is_peer]
        if ours:
            most = max(ours, key=lambda cell: cell.processes)
            found += [ratio(most, peer) for peer in peers_to_beat(beside, most.kind)]
    return found
