import dataclasses
from datetime import timedelta

import pytest

from autolfads_operator import watchdog
from autolfads_operator.situation import Situation
from autolfads_spec.attempt import EndClass
from autolfads_spec.status import Reason


def after(world, seconds, **update):
    """The world some time later, in which nobody has done anything."""
    observed = world.observed()
    observed = dataclasses.replace(observed, now=observed.now + timedelta(seconds=seconds), **update)
    return Situation(observed, world.run, world.terms)


@pytest.mark.parametrize(
    ("seconds", "head", "reason"),
    [
        pytest.param(100, True, None, id="well"),
        pytest.param(590, True, None, id="late"),
        pytest.param(700, True, Reason.DRIVER_STALLED, id="silent"),
        pytest.param(60, False, None, id="head just gone"),
        pytest.param(150, False, Reason.HEAD_LOST, id="head gone"),
    ],
)
def test_a_driver_is_given_up_by_its_silence(make_world, seconds, head, reason):
    world = make_world("Running")
    pods = world.observed().pods if head else ()

    found = watchdog.found_dead(after(world, seconds, pods=pods))

    assert (found.reason if found else None) is reason


@pytest.mark.parametrize(
    ("stage", "jump", "listened", "reason"),
    [
        pytest.param("Running", 3600, 20, None, id="the clock jumped"),
        pytest.param("Running", 3600, 700, Reason.DRIVER_STALLED, id="silent all the same"),
        pytest.param("Validating", 3600, 20, None, id="the clock jumped at the start"),
        pytest.param("Validating", 3600, 700, Reason.DRIVER_STALLED, id="never began"),
    ],
)
def test_no_driver_is_silent_for_longer_than_it_was_listened_to(make_world, stage, jump, listened, reason):
    world = make_world(stage)
    folder = dataclasses.replace(world.observed().folder, silence_seconds=listened)

    found = watchdog.found_dead(after(world, jump, folder=folder))

    assert (found.reason if found else None) is reason


def test_a_run_that_waited_in_a_queue_has_all_its_time_once_it_is_let_in(make_world):
    world = make_world("Validating")
    observed = world.observed()
    let_in = observed.now + timedelta(hours=9)
    jobs = tuple(dataclasses.replace(job, job_started=None, started=let_in) for job in observed.ray_jobs)

    assert watchdog.found_dead(after(world, 9 * 3600 + 60, ray_jobs=jobs)) is None
    assert watchdog.found_dead(after(world, 11 * 3600, ray_jobs=jobs)).reason is Reason.DRIVER_STALLED


@pytest.mark.parametrize(
    ("why", "reason"),
    [("OOMKilled", Reason.HEAD_OUT_OF_MEMORY), ("CrashLoopBackOff", Reason.HEAD_LOST), ("Error", None)],
)
@pytest.mark.parametrize("stage", ["Validating", "Running"])
def test_a_head_that_is_started_again_and_again_is_given_up(make_world, stage, why, reason):
    world = make_world(stage)
    pods = tuple(
        dataclasses.replace(pod, reason=why, exit_code=1) if pod.role == "head" else pod
        for pod in world.observed().pods
    )

    found = watchdog.found_dead(after(world, 1, pods=pods))

    assert (found.reason if found else None) is reason
    assert found is None or "spec.compute.head.memory" in found.message


@pytest.mark.parametrize(
    ("stage", "unready", "listened", "reason"),
    [
        pytest.param("Validating", 100, None, None, id="for a moment"),
        pytest.param("Validating", 150, None, Reason.HEAD_LOST, id="for long"),
        pytest.param("Validating", 3600, 20, None, id="the clock jumped"),
        pytest.param("Running", 150, None, None, id="its driver lives"),
    ],
)
def test_a_head_that_is_not_ready_is_given_up_before_its_driver_has_begun(
    make_world, stage, unready, listened, reason
):
    world = make_world(stage)
    observed = world.observed()
    since = observed.now + timedelta(seconds=200 - unready)
    pods = tuple(
        dataclasses.replace(pod, is_ready=False, unready_since=since) if pod.role == "head" else pod
        for pod in observed.pods
    )
    folder = dataclasses.replace(observed.folder, silence_seconds=listened)

    found = watchdog.found_dead(after(world, 200, pods=pods, folder=folder))

    assert (found.reason if found else None) is reason


def test_long_generations_are_given_more_time(make_world):
    world = make_world("Running", generations=9)
    while not world.folder.manifest.generations:
        world.driver_step()
    entries = world.folder.manifest.generations
    slow = tuple(entry.model_copy(update={"seconds": 3600.0}) for entry in entries)
    world._write(generations=slow)

    assert watchdog.longest_silence_seconds(after(world, 0)) == 3 * 3600
    assert watchdog.found_dead(after(world, 3 * 3600 - 60)) is None
    assert watchdog.found_dead(after(world, 3 * 3600 + 60)).reason is Reason.DRIVER_STALLED


def test_a_driver_that_never_begins_is_given_up(make_world):
    world = make_world("Validating")

    assert watchdog.found_dead(after(world, 500)) is None
    assert watchdog.found_dead(after(world, 700)).reason is Reason.DRIVER_STALLED


def test_a_run_that_waits_in_a_queue_is_not_dead(make_world):
    world = make_world("Starting")
    next(iter(world.jobs.values())).deployment_status = "Suspended"

    assert watchdog.found_dead(after(world, 1e6)) is None


def test_a_store_that_does_not_answer_proves_nothing(make_world):
    world = make_world("Running")
    world.store_up = False

    assert watchdog.found_dead(after(world, 1e6)) is None


def test_a_driver_that_fell_silent_because_it_had_ended_is_taken_at_its_word(make_world):
    world = make_world("Running")
    world.end_driver(EndClass.OK)  # and KubeRay is not there to notice

    assert watchdog.found_dead(after(world, 590)) is None
    assert watchdog.found_dead(after(world, 700)).reason is Reason.SUCCEEDED


def test_an_hour_without_an_operator_is_no_stall(make_world):
    world = make_world("Running", generations=1000)
    for _ in range(120):  # the driver goes on
        world.pass_time(30)
        world.driver_step()

    assert watchdog.found_dead(after(world, 0)) is None


def test_workers_that_do_not_come_in_time_end_the_attempt(make_world, simulator):
    world = make_world("Provisioning")
    world.machines = False
    simulator.Operator(world).turn()

    assert watchdog.found_no_machines(after(world, 2600)) is None
    found = watchdog.found_no_machines(after(world, 2800))

    assert found.reason is Reason.STOCKOUT
    assert "0/3 nodes are available" in found.message


def test_time_spent_paused_or_checking_is_not_time_spent_waiting_for_workers(make_world, simulator):
    world = make_world("Validating")
    world.pass_time(2600)  # a large recording
    world.driver_step()
    world.machines = False
    simulator.Operator(world).turn()

    assert watchdog.found_no_machines(after(world, 2600)) is None
    assert watchdog.found_no_machines(after(world, 2800)).reason is Reason.STOCKOUT
