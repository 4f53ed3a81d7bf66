"""Ratios compare readings of the same round, and both sides at their best."""

import pytest

from lfads_worker.bench.cells import EXPORTED, ON_RAY, OURS, Cell, best_peer, ratio, ratios


def _cell(program=OURS, rates=(2.0, 4.0), **others):
    values = {"shape": "tiny", "members": 1, "processes": 1, "group": 1, "cpu_ms": rates, "peak_mb": 2048}
    values |= {"core_share": (1.0,) * len(rates), "first_call_seconds": 9.0, "device": "cpu"}
    return Cell(program=program, rates=tuple(rates), **(values | others))


def test_ratios_compare_the_same_round():
    ours, peer = _cell(rates=(10.0, 2.0, 30.0)), _cell("lfads-torch eager", (5.0, 0.5, 10.0))

    compared = ratio(ours, peer)

    assert compared.rounds == (2.0, 4.0, 3.0)
    assert compared.median == 3.0  # of the ratios; the ratio of the medians is 2
    assert ours.rate == 10.0


def test_each_size_is_compared_with_the_best_peer_that_took_turns_with_it():
    cells = [
        _cell(rates=(8.0,)),
        _cell(rates=(9.0,), processes=2),
        _cell("lfads-torch eager", (3.0,), processes=2),
        _cell(ON_RAY, (99.0,), processes=3),  # read at another time
        _cell("lfads-torch eager", (2.0,)),
        _cell(rates=(10.0,), members=4, processes=2, group=4),
        _cell("lfads-torch eager", (5.0,), processes=2, group=4),
        _cell("lfads-torch compiled", (4.0,), processes=2, group=4),
    ]

    assert [(one.members, one.processes, one.peer_processes, one.median) for one in ratios(cells)] == [
        (1, 2, 2, 3.0),
        (4, 2, 2, 2.0),
    ]


def test_on_a_gpu_members_one_after_another_and_some_at_a_time_are_both_compared():
    cells = [
        _cell(rates=(30.0,), device="gpu"),
        _cell("lfads-torch eager", (3.0,), device="cuda"),
        _cell("lfads-torch eager", (4.0,), device="cuda", processes=4),
        _cell("lfads-torch compiled", (5.0,), device="cuda"),
        _cell("lfads-torch compiled", (2.0,), device="cuda", processes=4),
    ]

    assert [(one.peer, one.peer_processes, one.median) for one in ratios(cells)] == [
        ("lfads-torch compiled", 1, 6.0),
        ("lfads-torch eager", 4, 7.5),
    ]


@pytest.mark.parametrize(("ours", "peer"), [("gpu", "cpu"), ("cpu cpu", "cuda")])
def test_different_kinds_of_device_are_not_compared(ours, peer):
    assert ratios([_cell(device=ours), _cell("lfads-torch eager", device=peer)]) == []


def test_without_a_peer_nothing_is_compared():
    assert best_peer([_cell()]) is None
    assert ratios([_cell()]) == []


def test_an_exported_program_is_ours():
    assert not _cell(EXPORTED).is_peer


def test_time_of_a_member_step_is_that_of_one_process():
    assert _cell(rates=(4.0,), processes=2).milliseconds == 500.0


def test_a_cell_comes_back_from_its_document():
    cell = _cell(rates=(1.0, 2.0))

    assert Cell.from_document(cell.document()) == cell
