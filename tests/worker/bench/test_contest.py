"""Cells take turns, round after round; the processes here only pretend to train."""

import sys
from pathlib import Path

import pytest

from lfads_worker.bench import contest
from lfads_worker.bench.cells import ON_RAY, OURS
from lfads_worker.bench.contest import Settings
from lfads_worker.bench.processes import Process, Reading, measure
from lfads_worker.bench.programs import Peer, Programs
from lfads_worker.bench.shapes import SHAPES
from lfads_worker.errors import DeviceError

_PRETENDER = """
from lfads_worker.bench.answering import answer, serve
facts = dict(peak_mb=100, first_call_seconds=1.5, **{facts})
answer(member_steps={steps}, **facts)
calls = iter(range({calls}))
serve(lambda: next(calls), lambda: dict(peak_mb=300))
"""
_EAGER, _COMPILED = "lfads-torch eager", "lfads-torch compiled"


def _pretender(steps=1, calls=10**9, **facts):
    facts = {"device": "cpu"} | facts
    return Process([sys.executable, "-c", _PRETENDER.format(steps=steps, calls=calls, facts=facts)])


class Pretenders:
    """Stands in for `Programs`; remembers which of ours were started."""

    exported = None

    def __init__(self, *peer_forms, failing=(), failing_on_ray=(), peer_calls=10**9, peer_device="cpu"):
        self.peer_forms = peer_forms
        self._peer = {"calls": peer_calls, "device": peer_device, "version": "torch 9"}
        self.started = []
        self._failing = failing
        self._failing_on_ray = failing_on_ray

    def ours(self, shape, members):
        self.started.append(members)
        if members in self._failing:
            return Process([sys.executable, "-c", "raise SystemExit(3)"])
        return _pretender(steps=members)

    def ours_on_ray(self, shape, members, workers):
        if members in self._failing_on_ray:
            return Process([sys.executable, "-c", "raise SystemExit('no Ray here')"])
        return _pretender(steps=members * workers)

    def theirs(self, shape, form):
        return _pretender(**self._peer)


def _cells(programs, settings, note=lambda sentence: None):
    return [cell for cells in contest.contest(SHAPES["tiny"], settings, programs, note) for cell in cells]


def test_every_layout_is_read_once_a_round_beside_the_peer():
    programs = Pretenders("eager", "compiled")
    settings = Settings((1, 4), rounds=3, seconds=0, processes=2, peer_processes=2)

    cells = _cells(programs, settings)

    assert [(cell.group, cell.program, cell.members, cell.processes) for cell in cells] == [
        (1, OURS, 1, 1),
        (1, OURS, 1, 2),
        (1, _EAGER, 1, 1),
        (1, _EAGER, 1, 2),
        (1, _COMPILED, 1, 1),
        (1, _COMPILED, 1, 2),
        (1, ON_RAY, 1, 2),  # by itself, when the others are done
        (4, OURS, 4, 1),
        (4, OURS, 4, 2),
        (4, _EAGER, 1, 2),  # one peer process alone stays what it was
        (4, _COMPILED, 1, 2),
        (4, ON_RAY, 4, 2),
    ]
    assert {len(cell.rates) for cell in cells} == {3}
    assert {cell.peak_mb for cell in cells} == {300}  # the latest that was said
    assert programs.started == [1, 1, 4, 4]


def test_where_it_is_asked_for_the_peer_alone_is_read_beside_every_size():
    settings = Settings((1, 4), rounds=1, seconds=0, peer_processes=2, peer_alone=True)

    cells = _cells(Pretenders("eager"), settings)

    peers = [(cell.group, cell.processes) for cell in cells if cell.is_peer]
    assert peers == [(1, 1), (1, 2), (4, 1), (4, 2)]


def test_a_peer_that_has_ended_costs_the_size_at_which_it_did_and_no_other():
    notes = []
    programs = Pretenders("eager", peer_calls=4)  # two for each size: one that does not count, one round

    cells = _cells(programs, Settings((1, 2, 4, 8), rounds=1, seconds=0), notes.append)

    assert [(cell.group, cell.program) for cell in cells if cell.program != ON_RAY] == [
        (1, OURS),
        (1, _EAGER),
        (2, OURS),
        (2, _EAGER),
        (8, OURS),
    ]
    assert notes[1].startswith("tiny, cohorts of 4: not measured; a measuring process was wanted")
    assert notes[2:] == ["tiny: without lfads-torch eager from there on, which has ended."]


def test_a_peer_on_another_kind_of_device_is_noted():
    notes = []

    _cells(Pretenders("eager", peer_device="cuda"), Settings((1, 2), rounds=1, seconds=0), notes.append)

    told = "lfads-torch eager ran on cuda, ours on cpu: no ratio is given between different kinds of device."
    assert told in notes


def test_the_peers_version_is_noted():
    notes = []

    _cells(Pretenders("eager"), Settings((1,), rounds=1, seconds=0), notes.append)

    assert notes == ["lfads-torch eager ran on torch 9."]


def test_a_reading_lasts_as_long_as_asked(monkeypatch):
    monkeypatch.setattr(contest, "measure", lambda team, calls: Reading(0.03, 0.03, 1))

    assert contest._calls([], seconds=0.2) == 7
    assert contest._calls([], seconds=0) == 1


def test_cohorts_that_do_not_fit_are_left_out_and_said_so(monkeypatch):
    monkeypatch.setattr(contest, "available_mb", lambda: 1000.0)
    notes = []

    assert _cells(Pretenders(), Settings((1, 4), rounds=1), notes.append) == []
    assert notes == [
        f"tiny, cohorts of {members}: not measured at all, a process needs about 2 GB" for members in (1, 4)
    ]


def test_fewer_processes_where_memory_is_short(monkeypatch):
    monkeypatch.setattr(contest, "available_mb", lambda: 3000.0)
    notes = []

    cells = _cells(Pretenders(), Settings((1,), rounds=1, seconds=0, processes=2), notes.append)

    assert [(cell.program, cell.processes) for cell in cells] == [(OURS, 1), (ON_RAY, 1)]
    assert notes == ["tiny, cohorts of 1: not measured with 2 at a time, a process needs about 2 GB"]


def test_a_size_that_fails_leaves_the_others():
    notes = []

    cells = _cells(Pretenders(failing=(2,)), Settings((1, 2, 4), rounds=1, seconds=0), notes.append)

    assert [cell.members for cell in cells if cell.program == OURS] == [1, 4]
    assert len(notes) == 1
    assert notes[0].startswith("tiny, cohorts of 2: not measured; a measuring process was wanted")


def test_without_ray_the_rest_is_kept():
    notes = []
    programs = Pretenders(failing_on_ray=(1,))

    cells = _cells(programs, Settings((1, 2), rounds=1, seconds=0), notes.append)

    assert [(cell.members, cell.program) for cell in cells] == [(1, OURS), (2, OURS), (2, ON_RAY)]
    assert notes[0].startswith("tiny, cohorts of 1 on Ray: not measured; a measuring process was wanted")
    assert notes[0].endswith("no Ray here")


def test_an_exported_program_is_not_given_to_ray():
    programs = Pretenders()
    programs.exported = Path("exported")

    assert len(_cells(programs, Settings((1,), rounds=1, seconds=0))) == 1


def test_a_process_with_patience_may_clean_up(tmp_path):
    script = "import sys, time; sys.stdin.read(); open(sys.argv[1], 'w').write('swept')"

    with Process([sys.executable, "-c", script, str(tmp_path / "swept")], patience_seconds=60):
        pass

    assert (tmp_path / "swept").read_text() == "swept"


def test_free_memory_is_less_than_all():
    total = int(Path("/proc/meminfo").read_text().split()[1]) / 1024

    assert 0 < contest.available_mb() < total


def test_a_reading_counts_the_work_of_all_processes():
    with _pretender(steps=3) as one, _pretender(steps=3) as other:
        for process in (one, other):
            process.wait_until_ready()

        reading = measure([one, other], calls=5)

    assert reading.member_steps == 30
    assert reading.rate == 30 / reading.seconds


def test_a_process_that_ends_is_told_with_its_last_words():
    with (
        Process([sys.executable, "-c", "raise SystemExit('no such checkout')"]) as process,
        pytest.raises(DeviceError, match="ended with code 1; it said: no such checkout"),
    ):
        process.wait_until_ready()


def test_a_peer_that_cannot_run_says_what_is_missing(tmp_path):
    programs = Programs(peer=Peer(tmp_path, sys.executable), recordings=tmp_path)

    with programs.theirs(SHAPES["tiny"], "eager") as process, pytest.raises(DeviceError, match="Error: "):
        process.wait_until_ready()


def test_the_commit_of_a_folder_without_git_is_unknown(tmp_path):
    assert Peer(tmp_path / "nowhere", "python3").commit == "unknown commit"
