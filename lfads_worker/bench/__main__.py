"""`python -m lfads_worker.bench`: time training on this machine, beside lfads-torch where there is one.

The command line of the benchmark: decides what is measured, shows how far it
is, and writes the page, the picture and the raw numbers. The numbers are written
after every cohort size, so an interrupted run keeps what it has.
"""

import json
import logging
import os
import platform
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from lfads_worker import log
from lfads_worker.bench import figure, generation, tables
from lfads_worker.bench import readings as raw
from lfads_worker.bench.contest import Settings, contest
from lfads_worker.bench.programs import STEPS_PER_CALL_ON_GPU, Peer, Programs, with_recordings
from lfads_worker.bench.readings import Readings
from lfads_worker.bench.shapes import SHAPES, Shape
from lfads_worker.errors import DataError
from lfads_worker.execution.device import (
    Devices,
    find_devices,
    gpus_of_this_machine,
    unused_gpus,
    visible_gpus,
)
from lfads_worker.failures import told

logger = logging.getLogger("lfads_worker.bench")  # also where this module is `__main__`

MEMBERS = (1, 2, 4, 8, 16)
# What fits in about half an hour of two idle cores, and what takes twice that.
DEFAULT_ROUNDS, DEFAULT_EPOCHS = 5, 5
ALL_ROUNDS, ALL_EPOCHS = 7, 25
# A population of 20 on one device is what a GPU is for.
MEMBERS_ON_GPU = (1, 2, 4, 8, 16, 20)
PEER_PROCESSES_ON_GPU = 4


class ShapeName(StrEnum):
    """The shapes by name; tiny is for trying the command out."""

    LORENZ = "lorenz"
    MAZE = "maze"
    TINY = "tiny"


class PeerForm(StrEnum):
    """How lfads-torch runs: as it is, or with its cells compiled."""

    EAGER = "eager"
    COMPILED = "compiled"


def bench(
    lfads_torch: Annotated[
        Path | None, typer.Option(help="A checkout of lfads-torch to time side by side.", exists=True)
    ] = None,
    torch_python: Annotated[str, typer.Option(help="The Python that can run that checkout.")] = "python3",
    peer_form: Annotated[
        list[PeerForm] | None, typer.Option(help="How the peer runs; may be given twice.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="More rounds, and generations as long as in runs.")
    ] = False,
    shape: Annotated[
        list[ShapeName] | None, typer.Option(help="Only this shape; may be given twice.")
    ] = None,
    members: Annotated[
        list[int] | None, typer.Option(min=1, help="Only cohorts of this size; may be given again.")
    ] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Readings of each cell.")] = None,
    seconds: Annotated[float, typer.Option(min=0, help="A reading lasts at least this long.")] = 3.0,
    epochs: Annotated[
        int | None, typer.Option(min=0, help="Of the generations whose overhead is measured; 0: none.")
    ] = None,
    page: Annotated[
        Path, typer.Option(help="The page whose tables are replaced; picture and raw numbers go beside it.")
    ] = Path("docs/benchmark.md"),
    redraw: Annotated[bool, typer.Option(help="Measure nothing, draw the raw numbers again.")] = False,
    export: Annotated[
        Path | None, typer.Option(help="Write the programs for a machine without TensorFlow; time nothing.")
    ] = None,
    steps: Annotated[
        int, typer.Option(min=1, help="Training steps in a call of an exported program.")
    ] = STEPS_PER_CALL_ON_GPU,
    run_exported: Annotated[
        Path | None, typer.Option(help="Time the programs of this folder through jaxlib.", exists=True)
    ] = None,
    jax_python: Annotated[str, typer.Option(help="The Python that has jax.")] = sys.executable,
) -> None:
    """Member-steps per second of cohorts, alone and a process a core, and of lfads-torch beside them."""
    kept = f"what was measured is in {page.with_suffix('.json')}, and --redraw draws it"
    with told(lambda: kept, lambda: None), log.to_console(logging.StreamHandler(sys.stderr), logging.INFO):
        shapes = [SHAPES[name] for name in shape or (ShapeName.LORENZ, ShapeName.MAZE)]
        if redraw:
            write(page, raw.load(page.with_suffix(".json")))
            return
        if export is not None:
            export_all(export, shapes, max(members or [MEMBERS_ON_GPU[-1]]), steps)
            return
        devices = gpus_of_jax() if run_exported else find_devices()
        settings = replace(
            settings_for(devices),
            seconds=seconds,
            rounds=rounds or (ALL_ROUNDS if everything else DEFAULT_ROUNDS),
        )
        if members:
            settings = replace(settings, members=tuple(sorted(set(members))))
        peer = Peer(lfads_torch, torch_python, tuple(peer_form or (PeerForm.EAGER,))) if lfads_torch else None
        programs = Programs(0 if devices.kind == "gpu" else 1, peer, jax_python=jax_python)
        found = Readings(describe(devices))
        logger.info("%s", found.machine)
        unused = None if run_exported else unused_gpus()
        if unused is not None:
            logger.warning("%s", unused)
            found.note(unused)
        if peer is not None:
            found.note(f"lfads-torch: the checkout at {peer.commit}.")
        if run_exported is not None:
            time_exported(run_exported, settings, programs, page, found)
        else:
            time_shapes(shapes, settings, programs, page, found)
            length = (ALL_EPOCHS if everything else DEFAULT_EPOCHS) if epochs is None else epochs
            if length:
                found.shares = generation.measure_shares(study_for(shapes), length, devices)
        found.note_busy_machine()
        write(page, found)
        for line in tables.ratio_lines(found.cells):
            typer.echo(line)
        if found.shares is not None:
            typer.echo(tables.shares_line(found.shares))


def study_for(shapes: Sequence[Shape]) -> generation.Study:
    """What the overhead is measured on: always the literature's size, but for a try of the command."""
    tiny = SHAPES["tiny"]
    return generation.study_of(tiny) if list(shapes) == [tiny] else generation.literature_study()


def time_shapes(
    shapes: Sequence[Shape], settings: Settings, programs: Programs, page: Path, found: Readings
) -> None:
    """Adds the cells of all shapes and cohort sizes to what was found."""
    with with_recordings(programs) as ready:
        for shape in shapes:
            for cells in contest(shape, settings, ready, found.note):
                found.cells += cells
                found.save(page.with_suffix(".json"))


def time_exported(folder: Path, settings: Settings, programs: Programs, page: Path, found: Readings) -> None:
    """The same for programs that were exported elsewhere; says so on the page."""
    facts = {path.parent: json.loads(path.read_text()) for path in sorted(folder.glob("**/facts.json"))}
    if not facts:
        raise DataError(f"{folder}: exported programs were wanted, found none; write some with --export")
    found.note(
        "Our program was compiled by TensorFlow elsewhere to StableHLO and run here through jaxlib, with "
        "the same noise in every call; a program whose state and log after the first call differed from "
        "TensorFlow's on a CPU would not have been timed."
    )
    for place, fact in facts.items():
        size = replace(settings, members=(fact["members"],))
        chosen = replace(programs, exported=place)
        time_shapes([SHAPES[fact["shape"]]], size, chosen, page, found)


def export_all(folder: Path, shapes: Sequence[Shape], members: int, steps: int) -> None:
    """One program a shape."""
    from lfads_worker.bench.export import export as write_program

    for shape in shapes:
        logger.info("%s: exporting a cohort of %d, %d steps a call", shape.name, members, steps)
        write_program(folder / shape.name, shape, members, steps)
    typer.echo(f"written: {folder}")


def settings_for(devices: Devices) -> Settings:
    """A process a core with one thread each, or one process a GPU."""
    if devices.kind == "gpu":
        return Settings(MEMBERS_ON_GPU, peer_processes=PEER_PROCESSES_ON_GPU, peer_alone=True)
    return Settings(MEMBERS, processes=devices.count, peer_processes=devices.count)


def gpus_of_jax() -> Devices:
    """GPUs whether TensorFlow knows them or not."""
    gpus = visible_gpus()
    return gpus_of_this_machine(gpus) if gpus else find_devices()


def describe(devices: Devices) -> str:
    """The machine and the versions, in one paragraph."""
    model = (
        f"{devices.model or 'unknown model'}, host {processor()}" if devices.kind == "gpu" else processor()
    )
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {devices} ({model}), {platform.system()}, "
        f"Python {platform.python_version()}, {tensorflow_version()}; "
        f"load average {os.getloadavg()[0]:.1f} before the start."
    )


def processor() -> str:
    """The processor's model, as Linux names it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def tensorflow_version() -> str:
    for name in ("tensorflow", "tensorflow-cpu"):
        with suppress(PackageNotFoundError):
            return f"TensorFlow {version(name)}"
    return "no TensorFlow"


def write(page: Path, found: Readings) -> None:
    """The page's tables, and beside it the picture and every raw number."""
    picture = page.with_suffix(".png")
    page.parent.mkdir(parents=True, exist_ok=True)
    found.save(page.with_suffix(".json"))
    if found.cells:
        figure.draw(found.cells, picture)
    tables.put_between_marks(page, tables.results_markdown(found, picture.name))
    logger.info("written: %s, %s and %s", page, picture.name, page.with_suffix(".json").name)


if __name__ == "__main__":
    typer.run(bench)
