"""What the page shows of the readings."""

from dataclasses import replace

import pytest

from lfads_worker.bench import figure, tables
from lfads_worker.bench.cells import ON_RAY, OURS, Cell
from lfads_worker.bench.generation import Shares
from lfads_worker.bench.readings import Readings

_EAGER = "lfads-torch eager"


def _cell(program, rates, members=1, processes=1, group=1, shape="lorenz"):
    rates = tuple(rates)
    ones = (1.0,) * len(rates)
    return Cell(shape, program, members, processes, group, rates, rates, ones, 2048, 9.4, "cpu")


_CELLS = [
    _cell(OURS, (6.0, 8.0, 7.0)),
    _cell(OURS, (12.0, 16.0, 14.0), processes=2),
    _cell(_EAGER, (2.0, 2.0, 2.0)),
    _cell(_EAGER, (4.0, 4.0, 4.0), processes=2),
    _cell(OURS, (20.0, 20.0, 20.0), members=2, processes=2, group=2),
    _cell(_EAGER, (5.0, 5.0, 4.0), processes=2, group=2),
]
_SHARES = Shares(0.1, 0.005, 0.01, 0.0025, 12.0, 3, 8, 2, "a recording")


def _rows(table):
    return [[part.strip() for part in line.split("|")[1:-1]] for line in table.splitlines()[4:]]


def test_a_line_a_cell_and_the_peer_once():
    rows = _rows(tables.shape_table("lorenz", _CELLS))

    assert [row[:5] for row in rows] == [
        [OURS, "1", "1", "7.00", "6.00 to 8.00"],
        [OURS, "1", "2", "14.00", "12.00 to 16.00"],
        [_EAGER, "", "1", "2.00", "2.00 to 2.00"],
        [_EAGER, "", "2", "4.00", "4.00 to 4.00"],
        [OURS, "2", "2", "20.00", "20.00 to 20.00"],
    ]
    assert rows[0][5:] == ["143", "9", "2.0"]


def test_devices_are_named_where_they_differ():
    cells = [replace(_CELLS[0], device="gpu NVIDIA L4"), _CELLS[2]]

    table = tables.shape_table("lorenz", cells)

    assert [row[-1] for row in _rows(table)] == ["gpu NVIDIA L4", "cpu"]
    assert table.splitlines()[2].endswith("| device |")
    assert "device" not in tables.shape_table("lorenz", _CELLS)


def test_ratios_are_told_with_all_their_rounds():
    lines = tables.ratio_lines(_CELLS)

    assert lines == [
        "lorenz, ours, cohorts of 1, 2 at a time: 3.50 times lfads-torch eager, 2 at a time "
        "(rounds 3.00 4.00 3.50)",
        "lorenz, ours, cohorts of 2, 2 at a time: 4.00 times lfads-torch eager, 2 at a time "
        "(rounds 4.00 4.00 5.00)",
    ]
    assert "3.00 4.00 3.50" in tables.results_markdown(Readings("a machine", _CELLS), "a.png")


def test_what_is_outside_of_training_is_added_up():
    rows = dict(_rows(tables.shares_markdown(_SHARES))[2:])

    assert rows["validation, after each epoch"] == "10.00 %"
    assert rows["**outside of training and validation**"] == "1.75 %"
    assert rows["**outside of training steps**"] == "11.75 %"
    assert "1.75 % of a generation of 3 epochs; with validation 11.75 %" in tables.shares_line(_SHARES)


def test_what_was_not_measured_is_not_shown():
    text = tables.results_markdown(Readings("a machine", notes=["nothing fits"]), "a.png")

    assert text == "a machine\n\n- nothing fits"


def test_tables_are_replaced_and_the_rest_of_the_page_stays(tmp_path):
    page = tmp_path / "benchmark.md"
    page.write_text(f"# Benchmark\n\nbefore\n\n{tables.BEGIN}\nold\n{tables.END}\n\nafter\n")

    for _ in range(2):
        tables.put_between_marks(page, "new")

    assert page.read_text() == f"# Benchmark\n\nbefore\n\n{tables.BEGIN}\n\nnew\n\n{tables.END}\n\nafter\n"


def test_a_page_that_is_not_there_is_begun(tmp_path):
    tables.put_between_marks(tmp_path / "benchmark.md", "new")

    assert "new" in (tmp_path / "benchmark.md").read_text()


def test_a_row_tells_what_ran_on_ray():
    cells = [_cell(OURS, (7.0,), processes=2), _cell(ON_RAY, (6.0,), processes=2)]

    rows = _rows(tables.shape_table("lorenz", cells))

    assert [row[:4] for row in rows] == [[OURS, "1", "2", "7.00"], [ON_RAY, "1", "2", "6.00"]]


@pytest.mark.parametrize(
    "cells",
    [_CELLS, [_cell(OURS, (1.0, 2.0))], [_cell(OURS, (2.0,)), _cell(ON_RAY, (1.0,))]],
    ids=["with a peer", "alone", "with Ray"],
)
def test_the_picture_is_drawn(tmp_path, cells):
    figure.draw(cells, tmp_path / "picture.png")

    assert (tmp_path / "picture.png").stat().st_size > 5000
