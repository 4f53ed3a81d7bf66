"""Tools that know kstatus understand a run in every phase."""

import pytest

from kstatus import kstatus

VERDICTS = {
    "Pending": "InProgress",
    "Validating": "InProgress",
    "Starting": "InProgress",
    "Running": "InProgress",
    "Succeeded": "Current",
}


def seen(world, status):
    """The run as a tool gets it, with this status."""
    metadata = {"generation": world.resource_generation}
    return {"metadata": metadata, "status": status.model_dump(mode="json", by_alias=True, exclude_none=True)}


@pytest.mark.parametrize("phase", [name for name in VERDICTS if name != "Pending"])
def test_a_run_is_current_once_it_is_complete(make_world, decide, phase):
    world = make_world(phase)

    _, status = decide(world.observed())

    assert kstatus(seen(world, status)) == VERDICTS[phase]


def test_a_run_without_an_answer_yet_is_in_progress(make_world, decide):
    world = make_world("Pending")

    _, status = decide(world.observed())

    assert kstatus(seen(world, status)) == "InProgress"


def test_a_run_that_failed_is_failed_and_says_why(make_world, decide, simulator):
    world = make_world("Running", retry={"maxAttempts": 1})
    operator = simulator.Operator(world)
    world.end_driver(simulator.EndClass.DIVERGED)
    for _ in range(10):
        world.kuberay_step()
        operator.turn()
        world.pass_time(10)

    _, status = decide(world.observed())

    assert status.phase == "Failed"
    assert kstatus(seen(world, status)) == "Failed"
    (stalled,) = (condition for condition in status.conditions if condition.type == "Stalled")
    assert stalled.message


def test_a_run_that_its_user_has_paused_is_as_wanted(make_world, decide, simulator):
    world = make_world("Running")
    operator = simulator.Operator(world)
    world.change(suspend=True)
    for _ in range(10):
        operator.turn()
        world.driver_step()
        world.kuberay_step()
        world.pass_time(10)

    _, status = decide(world.observed())

    assert status.phase == "Suspended"
    assert kstatus(seen(world, status)) == "Current"


def test_a_changed_spec_is_in_progress_until_it_was_looked_at(make_world, decide):
    world = make_world("Succeeded")
    _, status = decide(world.observed())
    world.resource_generation += 1
    assert kstatus(seen(world, status)) == "InProgress"

    _, status = decide(world.observed())
    assert kstatus(seen(world, status)) == "Current"
