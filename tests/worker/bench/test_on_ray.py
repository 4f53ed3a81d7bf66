"""What is read of cohorts on a pool's workers, with a pool of one worker that is this process."""

import os
import pickle

import pytest

from lfads_worker.bench.on_ray import Training
from lfads_worker.bench.ours import OneShape
from lfads_worker.execution.serial import SerialPool
from lfads_worker.execution.toy import ToyTrainer


class Here(SerialPool):
    """Workers that are all this process; remembers what they were given."""

    def __init__(self):
        super().__init__(ToyTrainer())
        self.given = []

    def process_ids(self):
        return [os.getpid()]

    def train(self, tasks, on_progress):
        self.given.append(list(tasks))
        yield from super().train(tasks, on_progress)


@pytest.fixture
def pool():
    with Here() as pool:
        yield pool


def test_each_worker_gets_a_cohort_and_goes_on_where_it_was(pool):
    training = Training(pool, workers=2, members=3)

    first = training.train(1)
    training.train(4)

    assert [[task.epochs for task in tasks] for tasks in pool.given] == [[1, 1], [4, 4]]
    assert [len(task.member_ids) for task in pool.given[0]] == [3, 3]
    assert all(task.state is None for task in pool.given[0])
    for task, before in zip(pool.given[1], first, strict=True):
        assert task.state.equals(before.state)


def test_processor_time_and_memory_are_the_workers(pool):
    training = Training(pool, workers=1, members=1)
    before = training.cpu_seconds()

    while training.cpu_seconds() < before + 0.05:
        sum(range(100_000))

    assert sum(os.times()[:2]) == pytest.approx(training.cpu_seconds(), abs=0.1)
    assert training.peak_mb() > 10


def test_what_travels_to_the_workers_can():
    assert pickle.loads(pickle.dumps(OneShape("tiny", 2, 1))) == OneShape("tiny", 2, 1)
