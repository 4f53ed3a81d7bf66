import pytest

from lfads_worker.attempt import end_class
from lfads_worker.errors import DeviceError, MemoryFullError
from lfads_worker.execution.losses import AVERAGES, Loss, Losses, Work, more_memory, never_starts
from lfads_worker.training.state import CohortTask


def work(cohort=1, generation=4):
    return Work.of(CohortTask(cohort, generation, 0, 1, (2 * cohort, 2 * cohort + 1), None, ({}, {})))


@pytest.fixture
def losses():
    return Losses(2, "set something smaller")


@pytest.mark.parametrize("loss", [Loss.MACHINE, Loss.STILL])
def test_a_machine_may_be_lost_as_often_as_the_spec_says(losses, loss):
    losses.count(work(), loss)
    losses.count(work(), loss)

    with pytest.raises(DeviceError) as raised:
        losses.count(work(), loss)

    said = str(raised.value)
    assert "members 2, 3 trained in generation 4, found that its machine was lost" in said
    assert "3 times in this attempt, and retry.maxMemberFailures allows 2; start the run again" in said
    assert end_class(raised.value).is_worth_another_attempt


def test_machines_are_counted_over_all_generations_of_an_attempt(losses):
    losses.count(work(generation=0), Loss.MACHINE)
    losses.count(work(generation=7), Loss.STILL)

    with pytest.raises(DeviceError, match="generation 9"):
        losses.count(work(generation=9), Loss.MACHINE)


def test_each_cohort_counts_for_itself(losses):
    for cohort in range(5):
        losses.count(work(cohort), Loss.MACHINE)
        losses.count(work(cohort), Loss.MACHINE)
    losses.count(AVERAGES, Loss.MACHINE)


def test_no_loss_may_be_allowed():
    with pytest.raises(DeviceError, match=r"once in this attempt, and retry\.maxMemberFailures allows 0"):
        Losses(0, "").count(work(), Loss.MACHINE)


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (Loss.ENDED, "its worker ended 3 times; most often memory runs out: set something smaller"),
        (Loss.MEMORY, "the machine's memory was nearly full 3 times; set something smaller"),
    ],
)
def test_work_that_ends_its_process_again_and_again_says_what_to_change(losses, loss, said):
    losses.count(work(), loss)
    losses.count(work(), Loss.ENDED)

    with pytest.raises(MemoryFullError, match=said) as raised:
        losses.count(work(), loss)

    assert not end_class(raised.value).is_worth_another_attempt


def test_processes_are_counted_in_each_generation_anew(losses):
    for generation in range(5):
        losses.count(work(generation=generation), Loss.ENDED)
        losses.count(work(generation=generation), Loss.MEMORY)


def test_what_is_to_change_is_what_there_is():
    assert more_memory(4, in_cluster=False).startswith("use fewer --workers than 4, or set a smaller compute")
    assert "--workers" not in more_memory(1, in_cluster=False)
    assert more_memory(4, in_cluster=True).startswith("choose a compute.accelerator.machineType with more")
    for advice in (more_memory(4, False), more_memory(1, False), more_memory(4, True)):
        assert "compute.membersPerCohort" in advice


def test_a_worker_that_never_starts():
    ended = never_starts("core", 3, "killed", Loss.ENDED, "set something smaller")
    full = never_starts("core", 3, "killed", Loss.MEMORY, "set something smaller")

    assert type(ended) is DeviceError
    assert "3 in a row ended while they started (killed); look at" in str(ended)
    assert type(full) is MemoryFullError
    assert str(full).endswith("(killed); set something smaller")
