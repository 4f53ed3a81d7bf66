"""Raw numbers survive the way to the file and back, so that tables can be drawn again."""

import pytest

from lfads_worker.bench import readings
from lfads_worker.bench.cells import OURS, Cell
from lfads_worker.bench.generation import Shares
from lfads_worker.bench.readings import Readings
from lfads_worker.errors import DataError


def _cell(core_share, device="cpu"):
    return Cell("tiny", OURS, 1, 1, 1, (1.5,), (20.0,), (core_share,), 512, 3.25, device)


def test_readings_come_back_from_their_file(tmp_path):
    shares = Shares(0.1, 0.001, 0.002, 0.003, 12.5, 5, 8, 2, "a recording")
    found = Readings("a machine", [_cell(0.99)], shares, ["a note"])

    found.save(tmp_path / "deep" / "benchmark.json")

    assert readings.load(tmp_path / "deep" / "benchmark.json") == found


@pytest.mark.parametrize("content", [None, "", "{}", '{"machine": "x", "cells": [{}], "shares": null}'])
def test_without_readings_there_is_nothing_to_draw(tmp_path, content):
    path = tmp_path / "benchmark.json"
    if content is not None:
        path.write_text(content)

    with pytest.raises(DataError, match="run it without --redraw"):
        readings.load(path)


@pytest.mark.parametrize(
    ("cell", "notes"),
    [
        pytest.param(_cell(0.98), 0, id="quiet"),
        pytest.param(_cell(0.4), 1, id="busy"),
        pytest.param(_cell(0.1, "gpu"), 0, id="a GPU needs no core"),
    ],
)
def test_a_busy_machine_is_noted_once(cell, notes):
    found = Readings("a machine", [_cell(1.0), cell])

    for _ in range(2):
        found.note_busy_machine()

    assert len(found.notes) == notes
    assert all("as little as 40 % of a core" in note for note in found.notes)
