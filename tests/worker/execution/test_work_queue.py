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

    queue.put_back(queue.take())

    assert queue.take().cohort == 0
