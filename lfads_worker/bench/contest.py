"""Who is measured against whom: cells that take turns, round after round.

In each round every cell is measured once, so a ratio inside a round compares
two programs on the same machine in the same minute; the median over rounds
is what is reported. Our cohorts on Ray are read after that, by themselves: Ray's
own processes would take from the others. Nothing here has a timeout: a busy
machine takes longer.
"""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from lfads_worker.bench.cells import EXPORTED, ON_RAY, OURS, PEER, Cell
from lfads_worker.bench.processes import Process, Reading, measure
from lfads_worker.bench.programs import Programs
from lfads_worker.bench.shapes import Shape
from lfads_worker.errors import DeviceError

logger = logging.getLogger(__name__)

# Share of the free memory that a process may be expected to need.
MEMORY_SHARE = 0.9
# Expected of the smallest cohort; the next ones are judged by what the one before needed.
FIRST_MB = 2000.0


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
      members: sizes of our cohorts, the smallest first.
      rounds: readings of each cell.
      seconds: that a reading should last at least; it holds whole calls.
      processes: how many of ours train at the same time: one a core, one a GPU.
      peer_processes: the same for the peer.
      peer_alone: read one peer process alone beside every size, not beside the first one only.
    """

    members: tuple[int, ...] = (1, 2, 4, 8, 16)
    rounds: int = 5
    seconds: float = 3.0
    processes: int = 1
    peer_processes: int = 1
    peer_alone: bool = False


@dataclass(frozen=True)
class Layout:
    """What becomes a cell: a program, and the processes that run it together.

    Attributes:
      team: what is asked; one process where that has workers of its own.
      workers: of that one.
    """

    program: str
    members: int
    team: Sequence[Process]
    workers: int | None = None

    @property
    def processes(self) -> int:
        """That train at the same time."""
        return self.workers or len(self.team)


def contest(
    shape: Shape, settings: Settings, programs: Programs, note: Callable[[str], None]
) -> Iterator[list[Cell]]:
    """Measure every cohort size beside the peer; yields the cells of one size after the other.

    Args:
      shape: what is trained.
      settings: how.
      programs: what starts the processes.
      note: told in a sentence what is left out, and why.
    """
    with ExitStack() as stack:
        peers = _started_peers(shape, settings, programs, stack)
        for form, team in peers.items():
            note(f"{PEER} {form} ran on {team[0].facts['version']}.")
        expected_mb, before = FIRST_MB, 0
        for members in settings.members:
            if before:
                expected_mb *= members / before
            count = _affordable(expected_mb, settings.processes)
            if count < settings.processes:
                layout = f"with {settings.processes} at a time" if count else "at all"
                note(
                    f"{shape.name}, cohorts of {members}: not measured {layout}, "
                    f"a process needs about {expected_mb / 1024:.0f} GB"
                )
            if count == 0:
                continue
            try:
                alone = settings.peer_alone or not before
                cells, peak_mb = _size(shape, members, count, settings, programs, peers, alone, note)
            except DeviceError as error:  # what was measured before is kept
                note(f"{shape.name}, cohorts of {members}: not measured; {error}")
                for form in [form for form, team in peers.items() if any(one.has_ended for one in team)]:
                    note(f"{shape.name}: without {PEER} {form} from there on, which has ended.")
                    del peers[form]
                continue
            expected_mb, before = peak_mb, members
            _note_devices(cells, note)
            yield cells
            if programs.exported is None:
                try:
                    yield _on_ray(shape, members, count, settings, programs)
                except DeviceError as error:
                    note(f"{shape.name}, cohorts of {members} on Ray: not measured; {error}")


def processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"


def _size(
    shape: Shape,
    members: int,
    count: int,
    settings: Settings,
    programs: Programs,
    peers: Mapping[str, Sequence[Process]],
    peer_alone: bool,
    note: Callable[[str], None],
) -> tuple[list[Cell], float]:
    """The cells of one cohort size, and the memory that one process of ours took."""
    logger.info("%s, cohorts of %d: compiling in %s", shape.name, members, processes(count))
    with ExitStack() as stack:
        ours = [stack.enter_context(programs.ours(shape, members)) for _ in range(count)]
        for process in ours:
            process.wait_until_ready()
        name = EXPORTED if programs.exported else OURS
        if "version" in ours[0].facts:
            note(f"{name} ran on {ours[0].facts['version']}.")
        layouts = [Layout(name, members, team) for team in _teams(ours)]
        for form, theirs in peers.items():
            teams = _teams(theirs)
            # One peer process alone never changes; where it is nothing to beat, once is enough.
            layouts += [Layout(f"{PEER} {form}", 1, team) for team in (teams if peer_alone else teams[-1:])]
        cells = _rounds(shape, members, settings, layouts)
        return cells, float(max(process.peak_mb for process in ours))


def _note_devices(cells: Sequence[Cell], note: Callable[[str], None]) -> None:
    """Says so where the peer and ours ran on different kinds of device."""
    ours = next(cell for cell in cells if not cell.is_peer)
    for cell in cells:
        if cell.is_peer and cell.kind != ours.kind:
            note(
                f"{cell.program} ran on {cell.device}, {ours.program} on {ours.device}: no ratio is given "
                "between different kinds of device."
            )


def _on_ray(shape: Shape, members: int, count: int, settings: Settings, programs: Programs) -> list[Cell]:
    """The same cohorts on as many Ray workers."""
    logger.info("%s, cohorts of %d: compiling on Ray in %s", shape.name, members, processes(count))
    with programs.ours_on_ray(shape, members, count) as pool:
        pool.wait_until_ready()
        return _rounds(shape, members, settings, [Layout(ON_RAY, members, [pool], count)])


def _rounds(shape: Shape, group: int, settings: Settings, layouts: Sequence[Layout]) -> list[Cell]:
    calls = [_calls(layout.team, settings.seconds) for layout in layouts]
    readings: list[list[Reading]] = [[] for _ in layouts]
    turns = list(zip(layouts, calls, readings, strict=True))
    for number in range(settings.rounds):
        # There and back: a machine that slows down all along favours nobody.
        for layout, count, row in turns if number % 2 == 0 else reversed(turns):
            row.append(measure(layout.team, count))
        rates = "; ".join(
            f"{layout.program} x{layout.processes} {row[-1].rate:.2f}" for layout, _, row in turns
        )
        logger.info("%s, round %d of %d, member-steps/s: %s", shape.name, number + 1, settings.rounds, rates)
    return [_cell(shape, group, layout, row) for layout, row in zip(layouts, readings, strict=True)]


def _calls(team: Sequence[Process], seconds: float) -> int:
    """Calls that make a reading long enough, by one reading that does not count."""
    return max(1, math.ceil(seconds / max(measure(team, 1).seconds, 1e-6)))


def _cell(shape: Shape, group: int, layout: Layout, row: Sequence[Reading]) -> Cell:
    team = layout.team
    return Cell(
        shape=shape.name,
        program=layout.program,
        members=layout.members,
        processes=layout.processes,
        group=group,
        rates=tuple(reading.rate for reading in row),
        cpu_ms=tuple(1e3 * reading.cpu_seconds / reading.member_steps for reading in row),
        core_share=tuple(reading.cpu_seconds / (reading.seconds * layout.processes) for reading in row),
        peak_mb=max(process.peak_mb for process in team),
        first_call_seconds=max(process.facts["first_call_seconds"] for process in team),
        device=team[0].facts["device"],
    )


def _teams(members: Sequence[Process]) -> list[list[Process]]:
    """One process alone, and all of them together."""
    teams = [[members[0]]]
    return [*teams, list(members)] if len(members) > 1 else teams


def _started_peers(
    shape: Shape, settings: Settings, programs: Programs, stack: ExitStack
) -> dict[str, list[Process]]:
    peers: dict[str, list[Process]] = {}
    for form in programs.peer_forms:
        logger.info("%s: starting %s %s, %s", shape.name, PEER, form, processes(settings.peer_processes))
        started = (programs.theirs(shape, form) for _ in range(settings.peer_processes))
        peers[form] = [stack.enter_context(process) for process in started]
    for team in peers.values():
        for process in team:
            process.wait_until_ready()
    return peers


def _affordable(process_mb: float, wanted: int) -> int:
    """How many processes of that size the free memory carries, at most as many as wanted."""
    return min(wanted, int(MEMORY_SHARE * available_mb() // process_mb))


def available_mb() -> float:
    """Memory that Linux can give without swapping."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1024
    return 0.0
