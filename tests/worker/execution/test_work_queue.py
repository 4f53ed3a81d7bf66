import pytest

from lfads_worker.errors import DeviceError
from lfads_worker.execution.work_queue import WorkQueue
from lfads_worker.training.state import CohortTask


def task(cohort):
    return CohortTask(cohort, 4, 0, 1, (2 * cohort, 2 * cohort + 1), None, ({}, {}))


def test_cohorts_are_taken_in_their_order():
    queue = WorkQueue.of([task(0), task(1)])

    assert [queue.take().cohort, queue.take().cohort] == [0, 1]
    assert not queue


def test_a_cohort_that_comes_back_is_next():
    queue = WorkQueue.of([task(0), task(1), task(2)])

    queue.put_back(queue.take(), its_fault=True)

    assert queue.take().cohort == 0


def test_a_cohort_that_ends_its_worker_again_and_again_is_an_error():
    queue = WorkQueue.of([task(1)])
    queue.put_back(queue.take(), its_fault=True)
    queue.put_back(queue.take(), its_fault=True)

    with pytest.raises(
        DeviceError, match=r"members 2, 3 trained in generation 4, found .* ended 3 times.*membersPerCohort"
    ):
        queue.put_back(queue.take(), its_fault=True)


def test_lost_machines_are_nobodys_fault():
    queue = WorkQueue.of([task(0)])

    for _ in range(10):
        queue.put_back(queue.take(), its_fault=False)

    assert queue.take().cohort == 0
