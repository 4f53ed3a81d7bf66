"""Whatever happens, in whatever order, with operators killed between any two actions: it ends well.

The world is `simulator`: rough copies of KubeRay, the driver and the output folder. Their steps, the
faults and the user's wishes are drawn; then the faults stop, and everything must come to rest.
"""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from autolfads_operator.manifests import configmap
from autolfads_spec.attempt import EndClass
from autolfads_spec.status import Phase

TRANSIENT = (EndClass.DEVICE_NOT_READY, EndClass.STORE_UNAVAILABLE, EndClass.INTERRUPTED, EndClass.INTERNAL)
FATAL = (
    EndClass.BAD_INPUT,
    EndClass.DATA_CHANGED,
    EndClass.BAD_CONFIG,
    EndClass.DIVERGED,
    EndClass.OUT_OF_MEMORY,
)

WORK = ("kuberay", "kuberay", "driver", "driver", "operator", "operator", "operator", "wait")
FAULTS = (
    "crash",
    "delete the RayJob",
    "lose the head",
    "lose the cluster",
    "lose the head's node",
    "wake the drivers",
    "stall the driver",
    "kill the driver",
    "transient end",
    "store down",
    "store up",
    "no machines",
    "machines",
    "KubeRay down",
    "KubeRay up",
    "long wait",
    "operator's role taken",
    "operator's role given",
    "pods lack a role",
    "pods lack none",
)
WISHES = (
    "suspend",
    "resume",
    "more workers",
    "more generations",
    "later deadline",
    "more time for machines",
    "schedule as at first",
)


def do(world, operator, what):
    """One step of somebody."""
    match what:
        case "kuberay":
            world.kuberay_step()
        case "driver":
            world.driver_step()
        case "operator":
            operator.step()
        case "whole look":
            operator.turn()
        case "wait":
            world.pass_time(15)
        case "long wait":
            world.pass_time(700)
        case "hour":
            world.pass_time(3600)
        case "crash":
            operator.crash()
        case "delete the RayJob":
            world.delete_job_by_hand()
        case "lose the head":
            world.lose_head()
        case "lose the cluster":
            world.lose_cluster()
        case "lose the head's node":
            world.lose_node()
        case "wake the drivers":
            world.wake()
        case "stall the driver":
            world.stall()
        case "kill the driver":
            world.kill_driver()
        case "transient end":
            world.end_driver(TRANSIENT[len(world.done) % len(TRANSIENT)])
        case "fatal end":
            world.end_driver(FATAL[len(world.done) % len(FATAL)])
        case "store down" | "store up":
            world.store_up = what == "store up"
        case "no machines" | "machines":
            world.machines = what == "machines"
        case "KubeRay down" | "KubeRay up":
            world.kuberay_up = what == "KubeRay up"
        case "operator's role taken" | "operator's role given":
            world.may_write = what.endswith("given")
        case "pods lack a role":
            world.lacks = ("input", "output")[len(world.done) % 2]
        case "pods lack none":
            world.lacks = None
        case "suspend" | "resume":
            world.change(suspend=what == "suspend")
        case "more workers":
            compute = world.run.spec.compute
            workers = compute.workers.model_copy(update={"desired": 3})
            world.change(compute=compute.model_copy(update={"workers": workers}))
        case "later deadline":
            world.change(schedule=world.run.spec.schedule.model_copy(update={"deadline": "20000h"}))
        case "more time for machines":
            longer = {"provisioning_timeout": "90m"}
            world.change(schedule=world.run.spec.schedule.model_copy(update=longer))
        case "schedule as at first":
            world.change(schedule=world.first_schedule)
        case "more generations":
            world.ask_for(min(world.run.spec.population.generations + 1, 6))
        case "delete":
            world.delete()


def do_all(simulator, world, operator, chosen):
    """One step after the other, none of which may break what always holds."""
    for what in chosen:
        do(world, operator, what)
        simulator.check(world)


# Hypothesis draws lists of five from an empty least size; it takes more than that to get anywhere.
LEAST, MOST = 40, 200


def steps(*kinds):
    return st.lists(st.sampled_from(kinds), min_size=LEAST, max_size=MOST)


def finish(simulator, world, operator):
    """Lets a run go on, again if there were no machines for too long, until it has ended."""
    for _ in range(2):
        world.change(suspend=False)
        simulator.settle(world, operator)
        if world.status.phase is not Phase.SUSPENDED:
            return
        assert world.status.message.startswith(("wanted machines within 45m", "wanted machines within 90m"))


@pytest.fixture(scope="module", autouse=True)
def _quick_yaml():
    """The text of run.yaml is another test's business, and most of the time of a plan."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(configmap, "dump_run", lambda run: run.metadata.name)
        yield


@pytest.fixture(scope="module")
def patient(make_run):
    """A run that faults of machines do not exhaust."""
    return make_run(retry={"maxAttempts": 100}, schedule={"deadline": "10000h"})


UNHURRIED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@UNHURRIED
@given(chosen=steps(*WORK, *WORK, *FAULTS, *WISHES))
def test_any_faults_end_in_a_complete_run(simulator, patient, terms, chosen):
    world = simulator.World(patient, terms)
    operator = simulator.Operator(world)

    do_all(simulator, world, operator, chosen)
    finish(simulator, world, operator)

    assert world.status.phase is Phase.SUCCEEDED, world.status
    asked = world.run.spec.population.generations
    assert len(world.folder.manifest.generations) == asked
    assert world.status.progress.summary == f"{asked}/{asked}"
    before = len(world.done)
    operator.turn()
    assert world.done[before:] == []


TRAINS = ("whole look", "kuberay", "kuberay", "kuberay", "driver", "whole look", "driver")
ASTRAY = ("lose the head's node", "stall the driver", "delete the RayJob", "wake the drivers")


@UNHURRIED
@example(
    chosen=[*TRAINS, "lose the head's node", *["kuberay"] * 2, *["driver"] * 2, "wake the drivers", "driver"]
)
@example(
    chosen=[*TRAINS, "stall the driver", "delete the RayJob", *TRAINS, *TRAINS, "wake the drivers", "driver"]
)
@given(chosen=steps(*WORK, *ASTRAY, "whole look", "crash"))
def test_a_driver_that_wakes_when_another_has_taken_its_place_does_nothing(simulator, patient, terms, chosen):
    world = simulator.World(patient, terms, generations=100)
    operator = simulator.Operator(world)

    do_all(simulator, world, operator, chosen)
    finish(simulator, world, operator)
    world.wake()
    world.driver_step()
    simulator.check(world)

    assert world.status.phase is Phase.SUCCEEDED
    assert len(world.folder.manifest.generations) == 100


# KubeRay's own deadline, 45 minutes after ours at first, comes while the run goes on.
RAISED = (
    *TRAINS,
    "later deadline",
    *("hour", "driver", "kuberay", "whole look") * 4,
)


@UNHURRIED
@example(chosen=[*RAISED])
@example(chosen=[*RAISED, "schedule as at first", "whole look"])
@given(chosen=steps(*WORK, *WORK, *FAULTS, *WISHES, "hour", "hour"))
def test_no_deadline_ends_anything_before_it_has_passed(simulator, make_run, terms, chosen):
    run = make_run(retry={"maxAttempts": 100}, schedule={"deadline": "2h"})
    world = simulator.World(run, terms, generations=100)
    operator = simulator.Operator(world)

    do_all(simulator, world, operator, chosen)
    finish(simulator, world, operator)

    if world.status.phase is not Phase.SUCCEEDED:
        failed = next(c for c in world.status.conditions if c.type == "Failed")
        assert (failed.status, failed.reason) == ("True", "DeadlineExceeded")


@UNHURRIED
@given(chosen=steps(*WORK, *WORK, *FAULTS, *WISHES, "fatal end", "delete"), forced=st.booleans())
def test_deletion_always_ends_and_leaves_nothing_but_results(simulator, patient, terms, chosen, forced):
    world = simulator.World(patient, terms)
    operator = simulator.Operator(world)

    do_all(simulator, world, operator, chosen)
    committed = list(world.commits)
    world.delete()
    if forced:
        world.annotations["autolfads.dev/force-delete"] = "true"
    simulator.settle(world, operator)

    assert world.gone
    assert world.jobs == {}
    assert world.commits[: len(committed)] == committed


@UNHURRIED
@given(chosen=steps(*WORK, "crash", "store down", "KubeRay down", "no machines", "delete", "long wait"))
def test_deletion_ends_even_when_nothing_else_works(simulator, patient, terms, chosen):
    world = simulator.World(patient, terms)
    operator = simulator.Operator(world)
    for what in chosen:
        do(world, operator, what)
    world.store_up = world.machines = world.kuberay_up = False

    world.delete()
    for _ in range(100):
        operator.turn()
        world.pass_time(15)

    assert world.gone


@UNHURRIED
@given(chosen=steps(*WORK, *WORK, *FAULTS, "fatal end", "suspend", "resume"))
def test_a_paused_run_has_no_machines_and_goes_on_afterwards(simulator, patient, terms, chosen):
    world = simulator.World(patient, terms)
    operator = simulator.Operator(world)
    do_all(simulator, world, operator, chosen)

    world.change(suspend=True)
    simulator.settle(world, operator)

    assert world.status.phase in (Phase.SUSPENDED, Phase.SUCCEEDED, Phase.FAILED)
    if world.status.phase is Phase.SUSPENDED:
        assert world.jobs == {}
        finish(simulator, world, operator)
        assert world.status.phase in (Phase.SUCCEEDED, Phase.FAILED)


@UNHURRIED
@given(
    chosen=st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from((*WORK, *WORK, *FAULTS, *WISHES))),
        min_size=LEAST,
        max_size=MOST,
    )
)
def test_two_operators_at_once_come_to_the_same_end(simulator, patient, terms, chosen):
    world = simulator.World(patient, terms)
    operators = (simulator.Operator(world), simulator.Operator(world))

    for which, what in chosen:
        do(world, operators[which], what)
        simulator.check(world, operators=2)
    world.change(suspend=False)
    for _ in range(100):  # each acts on what it saw before the other one moved
        for operator in operators:
            operator.step()
            simulator.check(world, operators=2)
        world.kuberay_step()
        world.driver_step()
        world.pass_time(5)
    operators[1].crash()
    world.created.clear()
    world.best_seen = 0
    finish(simulator, world, operators[0])

    assert world.status.phase is Phase.SUCCEEDED
    assert len(world.folder.manifest.generations) == world.run.spec.population.generations


# The first dies after its lease, is suspended, and goes on while the second means to take the lease.
RESUMED = (
    *[(0, "operator")] * 4,
    (0, "crash"),
    (0, "suspend"),
    *[(0, "operator")] * 4,
    (0, "resume"),
    (0, "operator"),
    (1, "operator"),
    (0, "operator"),
    (1, "operator"),
)


@UNHURRIED
@example(chosen=[*RESUMED, (1, "operator")])
@example(chosen=[*RESUMED, *[(0, "kuberay")] * 3, (1, "operator"), (0, "driver")])
@given(
    chosen=st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from((*WORK, *WORK, "crash", "suspend", "resume"))),
        min_size=LEAST,
        max_size=MOST,
    )
)
def test_two_runs_in_one_folder_take_turns_and_neither_drives_the_other_out(
    simulator, patient, make_run, terms, chosen
):
    other = make_run("other", retry={"maxAttempts": 100}, schedule={"deadline": "10000h"})
    worlds = (simulator.World(patient, terms), simulator.World(other, terms))
    first, second = worlds
    first.other, second.other, second.uid = second, first, "other-uid"
    second.folder, second.commits = first.folder, first.commits
    operators = tuple(map(simulator.Operator, worlds))

    def watch(world):
        simulator.check(world)
        live = [job.name for each in worlds for job in each.jobs.values() if simulator.is_live(job)]
        assert len(live) <= 1, live

    for which, what in chosen:
        do(worlds[which], operators[which], what)
        second.now = first.now = max(first.now, second.now)
        watch(worlds[which])
    for world in worlds:
        world.change(suspend=False)
    for _ in range(300):
        for world, operator in zip(worlds, operators, strict=True):
            operator.turn()
            world.kuberay_step()
            world.driver_step()
            world.pass_time(20)
            watch(world)
        second.now = first.now = max(first.now, second.now)
        if all(world.status.phase is Phase.SUCCEEDED for world in worlds):
            break

    assert [world.status.phase for world in worlds] == [Phase.SUCCEEDED, Phase.SUCCEEDED]
    assert [world.status.failed_attempts for world in worlds] == [0, 0]


@pytest.mark.parametrize("lacks", ["input", "output"])
def test_a_role_that_is_missing_for_hours_costs_no_attempt(simulator, make_run, terms, lacks):
    world = simulator.World(make_run(retry={"maxAttempts": 1}), terms)
    operator = simulator.Operator(world)
    world.lacks = lacks
    for _ in range(600):
        operator.turn()
        simulator.check(world)
        world.kuberay_step()
        world.driver_step()
        world.pass_time(10)

    kind = "DataReady" if lacks == "input" else "StorageWritable"
    told = next(c for c in world.status.conditions if c.type == kind)
    assert (told.status, told.reason) == ("False", "StorageDenied")
    assert told.message == world.status.message
    assert world.status.failed_attempts == 0
    tried = len(world.created)
    assert 100 * 60 / 300 / 2 < tried < 40  # at most every five minutes, after the first ones

    simulator.settle(world, operator)
    assert world.status.phase is Phase.SUCCEEDED
    told = next(c for c in world.status.conditions if c.type == kind)
    assert told.status == "True"


@UNHURRIED
@given(chosen=steps(*WORK, *WORK, *FAULTS), end=st.sampled_from(FATAL))
def test_what_the_user_must_mend_is_not_tried_again(simulator, patient, terms, chosen, end):
    world = simulator.World(patient, terms)
    operator = simulator.Operator(world)
    do_all(simulator, world, operator, chosen)
    world.store_up, world.lacks = True, None
    if world.folder.results:
        return

    world.data_problem = end
    world.kill_driver()
    simulator.settle(world, operator)
    if world.status.phase is Phase.SUSPENDED:  # machines had not come in time: nobody looked at the data
        return

    assert world.status.phase is Phase.FAILED
    assert world.status.message == f"said {end}"
    attempts = len(world.created)
    world.pass_time(100_000)
    simulator.settle(world, operator, rounds=5)
    assert len(world.created) == attempts


@pytest.mark.parametrize("allowed", [1, 2, 5])
@pytest.mark.parametrize("end", TRANSIENT)
def test_failures_of_machines_are_tried_again_so_often_and_no_more(simulator, make_run, terms, allowed, end):
    world = simulator.World(make_run(retry={"maxAttempts": allowed}), terms)
    operator = simulator.Operator(world)

    for _ in range(400):
        operator.turn()
        simulator.check(world)
        world.kuberay_step()
        world.end_driver(end)
        if world.jobs and all(job.driver for job in world.jobs.values()):
            for driver in world._drivers():
                driver.exit_status = 1
        world.pass_time(30)

    assert world.status.phase is Phase.FAILED
    assert len({attempt for attempt, _ in world.created}) == allowed
    assert world.status.failed_attempts == allowed
