"""Draws the report of a finished run into its folder.

Reads only files of the folder (but for results.json while that is still to be written), and touches none of
them: the report can be drawn again at any time, and no checksum changes.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lfads_worker.report import folder
from lfads_worker.report.diagnosis import diagnose
from lfads_worker.report.event_files import write_event_files
from lfads_worker.report.figures.catalogue import FIGURES, Entry
from lfads_worker.report.figures.style import styled
from lfads_worker.report.folder import FinishedRun
from lfads_worker.report.page import PageFigure, render
from lfads_worker.results.files import atomic_write, write_text
from lfads_worker.results.finished import NAMES
from lfads_worker.results.output import Output


def write_report(output: Output, results: Mapping[str, Any] | None = None) -> str:
    """Write the page, its figures as PNGs beside it, and TensorBoard's event files.

    Args:
      output: of a run.
      results: what results.json is going to say; None where that file is there already.

    Returns:
      The address of the page.

    Raises:
      OutputError: if the folder holds no finished run, or cannot be written.
    """
    run = folder.read(output, results)
    figures = [_figure(entry, run) for entry in FIGURES]
    written = []
    for figure in figures:
        if figure.png is not None:
            written.append(NAMES.report_figure(figure.name))
            _write_bytes(output.path(written[-1]), figure.png)
    write_text(output.path(NAMES.report), render(run, figures, diagnose(run)))
    written += [NAMES.report, *write_event_files(run.history, output)]
    output.publish(written)
    return output.shown(NAMES.report)


def _figure(entry: Entry, run: FinishedRun) -> PageFigure:
    drawn = entry.draw(run)
    if drawn is None:
        return PageFigure(entry.name, entry.heading, entry.missing, None)
    return PageFigure(entry.name, entry.heading, drawn.caption, _png(drawn.figure))


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with styled():
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _write_bytes(path: Path, content: bytes) -> None:
    def write(partial: Path) -> None:
        partial.write_bytes(content)

    atomic_write(path, write)
