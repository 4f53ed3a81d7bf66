"""Where a generation's time goes: a driver with a toy, and sums by hand."""

import pytest

from lfads_worker.bench import generation
from lfads_worker.bench.generation import Driven, Stopwatch, drive, study_of, summed_up
from lfads_worker.bench.shapes import SHAPES
from lfads_worker.execution.device import Devices
from lfads_worker.execution.toy import ToyTrainer
from lfads_worker.training.program import LOG_ROWS


@pytest.fixture(scope="module")
def driven():
    """Two generations of three epochs of four members that take at least 60 ms a cohort."""
    return drive(
        study_of(SHAPES["tiny"]),
        4,
        2,
        3,
        Devices("cpu", 1),
        lambda spec, data: ToyTrainer(epoch_seconds=0.01),
    )


def test_the_first_generation_is_not_counted(driven):
    assert [each.record.generation for each in driven] == [1, 2]
    assert [each.record.epochs for each in driven] == [3, 3]


def test_a_generation_lasts_from_commit_to_commit(driven):
    for each in driven:
        assert 0 < each.commit < each.total
        assert each.total >= each.commit + sum(each.record.cohort_seconds)


def test_shares_add_up_to_the_whole(driven):
    record = driven[0].record
    seconds = sum(record.cohort_seconds)
    one = Driven(total=2 * seconds, commit=seconds / 4, record=record)

    shares = summed_up([one, one], inside=(0.02, 0.1), workers=1, recording="a recording")

    assert shares.commit == pytest.approx(1 / 8)
    assert shares.host == pytest.approx(0.01)
    assert shares.validation == pytest.approx(0.05)
    assert shares.waiting == pytest.approx(3 / 8)
    assert shares.overhead == pytest.approx(1 / 8 + 0.01 + 3 / 8)
    assert shares.outside == pytest.approx(shares.overhead + 0.05)
    assert (shares.members, shares.epochs) == (4, 3)


def test_two_workers_have_twice_the_time(driven):
    record = driven[0].record
    one = Driven(total=sum(record.cohort_seconds), commit=0.0, record=record)

    assert summed_up([one], (0.0, 0.0), 2, "a recording").waiting == pytest.approx(0.5)


def test_the_watch_runs_inside_the_program_only():
    class Program:
        def run(self, now):
            now[0] += 3.0
            return "state", [[0.0] * len(LOG_ROWS)]

    class Trainer:
        def __init__(self):
            self._program = Program()

        def train_generation(self, now):
            now[0] += 1.0
            for _ in range(2):
                self._program.run(now)

    now = [0.0]
    watch = Stopwatch(Trainer(), lambda: now[0])

    assert watch.generation(now) == (7.0, 6.0)
    assert watch.generation(now) == (7.0, 6.0)


def test_the_literatures_recording_has_its_size():
    study = generation.literature_study()

    assert study.data.spikes.shape == (1560, 50, 29)
    assert len(study.data.train) == 1248
    assert study.run(4, 25, "folder").spec.training.ramp_epochs == 0
