"""Whatever Google Cloud does, and whenever the operator is killed: no node pool of a run is left behind.

As in `test_converges`, steps of everybody are drawn; then the faults stop, and everything must come to rest.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autolfads_operator import sweeper
from autolfads_operator.manifests import configmap
from autolfads_spec.status import Phase, Reason

# Mostly everybody does something, else a run of so many steps never gets as far as a pool.
WORK = ("everybody",) * 40 + ("kuberay", "driver", "operator", "operator", "operator", "wait", "wait")
FAULTS = (
    "crash",
    "kill the driver",
    "lose the cluster",
    "delete the RayJob",
    "no machines",
    "machines",
    "long wait",
    "Google down",
    "Google up",
    "somebody else's operation",
    "reply lost",
    "operation fails",
    "pool refused",
    "pool deleted by hand",
    "spot runs dry",
    "all run dry",
    "restocked",
    "quota lowered",
    "quota raised",
)
WISHES = ("suspend", "resume", "resume", "more workers", "sweep")
LEAST, MOST = 40, 160
UNHURRIED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def do(world, operator, what):
    google = world.google
    match what:
        case "everybody":
            operator.turn()
            world.kuberay_step()
            world.driver_step()
            world.pass_time(20)
        case "kuberay":
            world.kuberay_step()
        case "driver":
            world.driver_step()
        case "operator":
            operator.step()
        case "wait":
            world.pass_time(30)
        case "long wait":
            world.pass_time(1000)
        case "crash":
            operator.crash()
        case "kill the driver":
            world.kill_driver()
        case "lose the cluster":
            world.lose_cluster()
        case "delete the RayJob":
            world.delete_job_by_hand()
        case "no machines" | "machines":
            world.machines = what == "machines"
        case "Google down" | "Google up":
            google.is_up = what == "Google up"
        case "somebody else's operation":
            google.meddle()
        case "reply lost":
            google.reply_lost = True
        case "operation fails":
            google.fails_late = True
        case "pool refused":
            google.refuses = True
        case "pool deleted by hand":
            google.delete_by_hand()
        case "spot runs dry":
            google.dry |= {"Spot"}
        case "all run dry":
            google.dry |= {"Spot", "OnDemand"}
        case "restocked":
            google.dry.clear()
        case "quota lowered" | "quota raised":
            google.limit = 0.0 if what == "quota lowered" else 100.0
        case "suspend" | "resume":
            world.change(suspend=what == "suspend")
        case "more workers":
            compute = world.run.spec.compute
            workers = compute.workers.model_copy(update={"desired": 3})
            world.change(compute=compute.model_copy(update={"workers": workers}))
        case "sweep":
            world.sweep()
        case "delete":
            world.delete()


def steps(*kinds):
    return st.lists(st.sampled_from(kinds), min_size=LEAST, max_size=MOST)


@pytest.fixture(scope="module", autouse=True)
def _quick_yaml():
    """The text of run.yaml is another test's business, and most of the time of a plan."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(configmap, "dump_run", lambda run: run.metadata.name)
        yield


@pytest.fixture(scope="module")
def worlds(simulator, simulated_cloud, make_run, cloud_terms):
    """Makes a world whose run wants a pool, and its operator."""

    def make(mode, provisioning):
        compute = {
            "accelerator": {"type": "nvidia-l4"},
            "workers": {"desired": 2},
            "nodePool": {"mode": mode},
            "provisioning": provisioning,
        }
        run = make_run(retry={"maxAttempts": 100}, schedule={"deadline": "10000h"}, compute=compute)
        world = simulated_cloud.CloudWorld(run, cloud_terms)
        world.put_foreign("alr-l4-somebody")
        return world, simulator.Operator(world)

    return make


MODES = st.sampled_from(("Dedicated", "Shared"))
WAYS = st.sampled_from(("OnDemand", "Spot", "SpotThenOnDemand"))


def finish(simulated_cloud, world, operator):
    """Lets a run go on, again when it had been given up for lack of machines, until it has ended."""
    for _ in range(4):
        world.change(suspend=False)
        simulated_cloud.settle(world, operator)
        if world.status.phase is not Phase.SUSPENDED:
            return
        for _ in range(4):  # a shared pool that is broken goes before the run is resumed
            world.sweep()
            world.pass_time(100)


def sweep_all(world):
    """The sweeper, for long enough; then no pool of ours is left."""
    for _ in range(60):
        world.sweep()
        world.pass_time(300)


@UNHURRIED
@given(mode=MODES, way=WAYS, chosen=steps(*WORK, *FAULTS, *WISHES))
def test_any_faults_end_in_a_complete_run_without_a_pool(simulated_cloud, worlds, mode, way, chosen):
    world, operator = worlds(mode, way)
    for what in chosen:
        do(world, operator, what)
        simulated_cloud.check(world)
    finish(simulated_cloud, world, operator)

    assert world.status.phase is Phase.SUCCEEDED, world.status.message
    assert world.google.seen(uid="run-uid") == ()
    # All that was paid for is in the record, but for what three workers do while nobody looks.
    unseen_seconds = 60 + 1000 * chosen.count("long wait")
    assert world.folder.cost.gpu_hours >= world.hours["worker"] - 3 * unseen_seconds / 3600
    sweep_all(world)
    assert world.google.seen() == ()
    assert set(world.google.pools) == {"alr-l4-somebody"}


@UNHURRIED
@given(mode=MODES, way=WAYS, chosen=steps(*WORK, *FAULTS, *WISHES))
def test_a_deleted_run_leaves_no_pool(simulated_cloud, worlds, mode, way, chosen):
    world, operator = worlds(mode, way)
    for what in chosen:
        do(world, operator, what)
        simulated_cloud.check(world)
    world.delete()
    for what in reversed(chosen):  # the same faults again, while it is being deleted
        do(world, operator, what)
        simulated_cloud.check(world)
    simulated_cloud.settle(world, operator)

    assert world.gone
    assert world.google.seen(uid="run-uid") == (), "the finalizer stays until the pool is gone"
    sweep_all(world)
    assert world.google.seen() == ()


@UNHURRIED
@given(mode=MODES, way=WAYS, chosen=steps(*WORK, *FAULTS, *WISHES))
def test_a_forced_deletion_leaves_the_pool_to_the_sweeper(simulated_cloud, worlds, mode, way, chosen):
    world, operator = worlds(mode, way)
    for what in chosen:
        do(world, operator, what)
    world.annotations["autolfads.dev/force-delete"] = "true"
    world.google.is_up = False
    world.delete()
    for _ in range(3):
        operator.turn()
        world.kuberay_step()
    assert world.gone

    simulated_cloud.calm(world)
    sweep_all(world)
    assert world.google.seen() == ()


@UNHURRIED
@given(way=WAYS, chosen=steps(*WORK, *FAULTS, "suspend", "resume"))
def test_a_suspended_run_has_no_pool_of_its_own_and_makes_it_again(simulated_cloud, worlds, way, chosen):
    world, operator = worlds("Dedicated", way)
    for what in chosen:
        do(world, operator, what)
        simulated_cloud.check(world)

    world.change(suspend=True)
    simulated_cloud.settle(world, operator)

    assert world.google.seen(uid="run-uid") == ()
    if world.status.phase is Phase.SUSPENDED:
        finish(simulated_cloud, world, operator)
        assert world.status.phase is Phase.SUCCEEDED


@UNHURRIED
@given(
    mode=MODES,
    way=WAYS,
    chosen=st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from((*WORK, *FAULTS, *WISHES))),
        min_size=LEAST,
        max_size=MOST,
    ),
)
def test_two_operators_at_once_leave_no_pool_either(simulator, simulated_cloud, worlds, mode, way, chosen):
    world, operator = worlds(mode, way)
    operators = (operator, simulator.Operator(world))
    for which, what in chosen:
        do(world, operators[which], what)
        simulated_cloud.check(world, operators=2)
    operators[1].crash()
    world.created.clear()
    world.best_seen = 0
    finish(simulated_cloud, world, operators[0])

    assert world.status.phase is Phase.SUCCEEDED, world.status.message
    assert world.google.seen(uid="run-uid") == ()


@pytest.mark.parametrize("fault", ["Google down", "somebody else's operation", "pool refused", "all run dry"])
@pytest.mark.parametrize("way", ["OnDemand", "SpotThenOnDemand"])
def test_a_lasting_fault_of_the_cloud_costs_no_attempt_no_hot_loop_and_no_machine(
    simulated_cloud, worlds, fault, way
):
    world, operator = worlds("Dedicated", way)
    hours = 6
    for _ in range(hours * 120):
        do(world, operator, fault)
        operator.turn()
        simulated_cloud.check(world)
        world.kuberay_step()
        world.driver_step()
        world.pass_time(30)

    assert world.hours["worker"] == 0
    assert world.status.phase in (Phase.SUSPENDED, Phase.PROVISIONING)
    assert not world.status.failed_attempts
    if world.status.phase is Phase.SUSPENDED:
        told = next(c for c in world.status.conditions if c.type == "Suspended")
        assert told.reason is (Reason.STOCKOUT if fault == "all run dry" else Reason.NODE_POOL_FAILED)
    assert len(world.created) <= 1
    assert len(world.google.writes) <= hours * 3600 / 15
    finish(simulated_cloud, world, operator)
    assert world.status.phase is Phase.SUCCEEDED


def test_quota_that_comes_back_lets_the_run_go_on_by_itself(simulated_cloud, worlds):
    world, operator = worlds("Dedicated", "OnDemand")
    world.google.limit = 0.0
    for _ in range(400):
        operator.turn()
        world.kuberay_step()
        world.driver_step()
        world.pass_time(30)
    assert (world.status.phase, world.google.writes) == (Phase.SUSPENDED, [])
    suspended = next(c for c in world.status.conditions if c.type == "Suspended")
    assert suspended.reason is Reason.QUOTA_EXCEEDED

    simulated_cloud.settle(world, operator)
    assert world.status.phase is Phase.SUCCEEDED


def test_a_sweep_takes_one_pool_at_a_time_and_only_ours(simulated_cloud, worlds):
    world, _ = worlds("Dedicated", "OnDemand")
    for name in ("alr-l4-one", "alr-l4-two"):
        world.google.pools[name] = simulated_cloud.Pool(name, "Spot", 2, "uid-gone", status="RUNNING")

    world.sweep()

    assert [pool.status for pool in world.google.seen()] == ["STOPPING", "RUNNING"]
    assert sweeper.PAUSE_SECONDS < simulated_cloud.OPERATION_SECONDS
