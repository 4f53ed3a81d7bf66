"""Every raw number of a run of the benchmark as one JSON document, so that tables can be drawn again."""

import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lfads_worker.bench.cells import Cell
from lfads_worker.bench.generation import Shares
from lfads_worker.errors import DataError

# A process with less of a core than this had to share it with strangers.
QUIET_CORE_SHARE = 0.9


@dataclass
class Readings:
    """What was measured so far.

    Attributes:
      machine: what it was measured on, and when.
      shares: None: not measured.
      notes: what was left out, and what to know when reading the rest.
    """

    machine: str
    cells: list[Cell] = field(default_factory=list)
    shares: Shares | None = None
    notes: list[str] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        """Add a note, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def save(self, path: Path) -> None:
        """Write the document."""
        document = {
            "machine": self.machine,
            "cells": [cell.document() for cell in self.cells],
            "shares": self.shares.document() if self.shares else None,
            "notes": self.notes,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    def note_busy_machine(self) -> None:
        """Say so when others were at work on the machine; on a GPU the cores say nothing."""
        # On Ray a worker also waits for its cohort, whoever else is there.
        plain = [cell for cell in self.cells if cell.kind == "cpu" and cell.took_turns]
        shares = [statistics.median(cell.core_share) for cell in plain]
        if shares and min(shares) < QUIET_CORE_SHARE:
            self.note(
                f"The machine was busy: a process got as little as {100 * min(shares):.0f} % of a core. "
                "Ratios within a round suffer less than rates; measure again when it is quiet."
            )


def load(path: Path) -> Readings:
    """The readings that `save` wrote.

    Raises:
      DataError: if there are none.
    """
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Readings(
            machine=document["machine"],
            cells=[Cell.from_document(cell) for cell in document["cells"]],
            shares=Shares(**document["shares"]) if document["shares"] else None,
            notes=list(document["notes"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: readings of a benchmark were wanted, found none ({error}); run it without --redraw"
        ) from error
