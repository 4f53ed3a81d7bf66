"""Members that train or diverged, and workers that were lost, as a status counts them."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from autolfads_operator import headcount, status
from autolfads_operator.observed import Observed
from autolfads_operator.situation import Situation
from autolfads_spec.status import Progress, RunStatus


def situation_of(world, **changes):
    observed = dataclasses.replace(world.observed(), **changes)
    return Situation(observed, observed.custom_resource.run, world.terms)


def with_manifest(world, **update):
    world.folder.manifest = world.folder.manifest.model_copy(update=update)
    return world


def test_members_of_as_many_cohorts_as_accelerators_are_ready_train(make_world):
    cohorts = ((0, 1, 2), (3, 4, 5), (6, 7))
    world = with_manifest(make_world("Running", population={"size": 8}), cohorts=cohorts)
    (job,) = world.jobs.values()

    job.replicas = 1
    assert headcount.members_running(situation_of(world)) == 3
    job.replicas = 3
    assert headcount.members_running(situation_of(world)) == 8
    world.machines = False
    assert headcount.members_running(situation_of(world)) == 0


def test_nobody_trains_any_more_once_all_generations_are(make_world):
    world = with_manifest(make_world("Running"), stop_reason="all generations are trained")

    assert headcount.members_running(situation_of(world)) == 0


def test_members_that_diverged_are_those_of_the_last_generation(make_world):
    world = make_world("Running", generations=9)
    assert headcount.members_failed(situation_of(world)) is None
    for _ in range(2):
        world.driver_step()
    first, second = world.folder.manifest.generations
    told = (first.model_copy(update={"diverged": 5}), second.model_copy(update={"diverged": 2}))

    assert headcount.members_failed(situation_of(with_manifest(world, generations=told))) == 2
    assert headcount.members_failed(situation_of(with_manifest(world, generations=(first,)))) is None


def losses_of(before: Progress, seen) -> headcount.Losses:
    """What follows from a status and the lost workers that are seen."""
    resource = type("Resource", (), {"status": RunStatus(progress=before)})
    observed = Observed(custom_resource=resource, now=None, workers_lost=frozenset(seen))
    return headcount.losses(Situation(observed, None, None))


@given(looks=st.lists(st.sets(st.integers(0, 20)), max_size=12))
def test_each_lost_worker_is_counted_once_however_often_it_is_seen(looks):
    # A pod comes once, is seen for a while, and never comes again under its name.
    last_seen = {worker: number for number, seen in enumerate(looks) for worker in seen}
    first_seen = {worker: number for number, seen in reversed([*enumerate(looks)]) for worker in seen}
    progress = Progress()
    for number in range(len(looks)):
        seen = {f"w{one}" for one in first_seen if first_seen[one] <= number <= last_seen[one]}
        counted = losses_of(progress, seen)
        progress = Progress(preemptions=counted.preemptions, workers_lost=counted.workers_lost)
        assert set(counted.workers_lost) == seen

    assert (progress.preemptions or 0) == len(first_seen)


def test_a_loss_is_written_at_once():
    before = RunStatus(progress=Progress(preemptions=1, workers_lost=("a",)))
    after = RunStatus(progress=Progress(preemptions=2, workers_lost=("a", "b")))
    gone = RunStatus(progress=Progress(preemptions=2))

    assert status.is_urgent(before, after)
    assert status.is_worth_writing(after, gone)
    assert not status.is_urgent(after, gone)
