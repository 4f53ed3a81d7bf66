"""The benchmark's readings as Markdown between two marks of docs/benchmark.md, and as a few last words."""

from collections.abc import Sequence
from pathlib import Path

from lfads_worker.bench.cells import Cell, Ratio, ratios
from lfads_worker.bench.generation import Shares
from lfads_worker.bench.readings import Readings

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def results_markdown(readings: Readings, picture: str) -> str:
    """Everything that a run of the benchmark found; `picture` is the figure's file name."""
    parts = [readings.machine]
    if readings.cells:
        parts += [f"![Member-steps per second by cohort size]({picture})"]
    for shape in dict.fromkeys(cell.shape for cell in readings.cells):
        parts.append(shape_table(shape, [cell for cell in readings.cells if cell.shape == shape]))
    if compared := ratios(readings.cells):
        parts.append(ratio_table(compared))
    if readings.shares is not None:
        parts.append(shares_markdown(readings.shares))
    if readings.notes:
        parts.append("\n".join(f"- {note}" for note in readings.notes))
    return "\n\n".join(parts)


def shape_table(name: str, cells: Sequence[Cell]) -> str:
    """One line a cell; of the peer, which takes turns with each cohort size, the first group.

    The device stands there where not all ran on the same kind.
    """
    differ = len({cell.kind for cell in cells}) > 1
    lines = [
        f"### Shape {name}",
        "",
        "| program | members a cohort | processes | member-steps/s | lowest to highest "
        "| ms a member-step in a process | first call, s | memory of a process, GB |"
        + (" device |" if differ else ""),
        "|---|---|---|---|---|---|---|---|" + ("---|" if differ else ""),
    ]
    for cell in cells:
        if cell.is_peer and cell.group != cells[0].group:
            continue
        members = "" if cell.is_peer else str(cell.members)
        lines.append(
            f"| {cell.program} | {members} | {cell.processes} | {cell.rate:.2f} "
            f"| {min(cell.rates):.2f} to {max(cell.rates):.2f} | {cell.milliseconds:.0f} "
            f"| {cell.first_call_seconds:.0f} | {cell.peak_mb / 1024:.1f} |"
            + (f" {cell.device} |" if differ else "")
        )
    return "\n".join(lines)


def ratio_table(compared: Sequence[Ratio]) -> str:
    """Ours over the peer in the same round."""
    lines = [
        "### Against lfads-torch",
        "",
        "| shape | program | members a cohort | processes | against | times its member-steps/s, median "
        "| rounds |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in compared:
        peer = f"{one.peer}, {one.peer_processes} at a time"
        lines.append(
            f"| {one.shape} | {one.program} | {one.members} | {one.processes} | {peer} "
            f"| **{one.median:.2f}** | {_rounds(one)} |"
        )
    return "\n".join(lines)


def ratio_lines(cells: Sequence[Cell]) -> list[str]:
    """What is printed at the end, one sentence a shape and cohort size."""
    return [
        f"{one.shape}, {one.program}, cohorts of {one.members}, {one.processes} at a time: {one.median:.2f} "
        f"times {one.peer}, {one.peer_processes} at a time (rounds {_rounds(one)})"
        for one in ratios(cells)
    ]


def shares_markdown(shares: Shares) -> str:
    """Where a generation's time goes besides training steps."""
    rows = [
        ("validation, after each epoch", shares.validation),
        ("the host's part of the calls", shares.host),
        ("workers without a cohort, choosing who goes on", shares.waiting),
        ("the commit", shares.commit),
        ("**outside of training and validation**", shares.overhead),
        ("**outside of training steps**", shares.outside),
    ]
    lines = [
        "### Outside of training",
        "",
        f"Generations of {shares.epochs} epochs of {shares.members} members, {shares.recording}, "
        f"{shares.workers} at a time: {shares.seconds:.1f} s each.",
        "",
        "| part | share of the generation |",
        "|---|---|",
    ]
    lines += [f"| {part} | {100 * share:.2f} % |" for part, share in rows]
    return "\n".join(lines)


def shares_line(shares: Shares) -> str:
    """The same in a sentence."""
    return (
        f"outside of training and validation: {100 * shares.overhead:.2f} % of a generation of "
        f"{shares.epochs} epochs; with validation {100 * shares.outside:.2f} %"
    )


def put_between_marks(page: Path, markdown: str) -> None:
    """Replace what stands between the marks; a page without them gets them at its end."""
    text = page.read_text(encoding="utf-8") if page.exists() else "# Benchmark\n"
    if BEGIN not in text:
        text = f"{text.rstrip()}\n\n{BEGIN}\n{END}\n"
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
    page.write_text(f"{head}{BEGIN}\n\n{markdown}\n\n{END}{tail}", encoding="utf-8")


def _rounds(one: Ratio) -> str:
    return " ".join(f"{value:.2f}" for value in one.rounds)
