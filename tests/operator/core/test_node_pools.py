"""Which node pools a run wants, and what is done about them in each situation, one by one."""

import dataclasses
import re

import pytest

from autolfads_operator import acceptance, capacity, pools, provisioning
from autolfads_operator.actions import CreateNodePool, DeleteNodePool, ResizeNodePool, ScaleWorkers
from autolfads_operator.manifests import pods
from autolfads_operator.observed import Cloud, CloudProblem, CustomResource, NodePool, Quota
from autolfads_operator.plan import plan
from autolfads_operator.situation import Situation
from autolfads_spec.status import ConditionType, NodePoolStatus, Phase, Reason


def compute(mode="Dedicated", **more):
    return {
        "accelerator": {"type": "nvidia-l4"},
        "workers": {"desired": 2},
        "nodePool": {"mode": mode},
        **more,
    }


def resource(simulator, run, uid="uid-1", **more):
    return CustomResource("reach", "lab", uid, 1, simulator.START, run, **more)


@pytest.fixture
def wanted(simulator, make_run, cloud_terms):
    """The pools of a run with this compute block."""

    def ask(uid="uid-1", terms=cloud_terms, **block):
        run = make_run(compute=compute(**block))
        return pools.wanted(run, resource(simulator, run, uid), terms)

    return ask


@pytest.fixture
def managed(simulator, simulated_cloud, make_run, cloud_terms):
    """A world whose run has its recording checked and wants a pool, and its operator; keywords: compute."""

    def make(mode="Dedicated", **more):
        world = simulated_cloud.CloudWorld(make_run(compute=compute(mode, **more)), cloud_terms)
        operator = simulator.Operator(world)
        while world.folder.manifest is None:
            operator.turn()
            world.kuberay_step()
            world.driver_step()
            world.pass_time(5)
        operator.turn()
        return world, operator

    return make


@pytest.fixture
def decided(cloud_terms):
    """Actions about machines, and the status."""

    def decide(world, **cloud):
        observed = world.observed()
        if cloud:
            observed = dataclasses.replace(observed, cloud=dataclasses.replace(observed.cloud, **cloud))
        found = plan(observed, cloud_terms)
        kinds = (CreateNodePool, ResizeNodePool, DeleteNodePool, ScaleWorkers)
        return [action for action in found.actions if isinstance(action, kinds)], found.status

    return decide


# Which.


def test_a_shared_pool_is_the_same_for_every_run_of_its_kind(wanted):
    (one,) = wanted(uid="uid-1", mode="Shared")
    (other,) = wanted(uid="uid-2", mode="Shared", workers={"desired": 4})

    assert one.name == other.name
    assert re.fullmatch("alr-nvidia-l4-[0-9a-f]{8}", one.name)
    assert (one.max_nodes, other.max_nodes, one.run_uid, one.labels) == (2, 4, None, {})
    assert (one.machine_type, one.accelerator, one.accelerators_per_node) == ("g2-standard-8", "nvidia-l4", 1)


def test_a_dedicated_pool_is_one_runs_and_says_so(wanted):
    (one,), (other,) = wanted(uid="uid-1"), wanted(uid="uid-2")

    assert one.name != other.name
    assert (one.run_uid, one.labels["autolfads-name"]) == ("uid-1", "reach")


@pytest.mark.parametrize(
    "difference",
    [
        pytest.param({"accelerator": {"type": "nvidia-tesla-t4"}}, id="accelerator"),
        pytest.param({"accelerator": {"type": "nvidia-l4", "machineType": "g2-standard-16"}}, id="machine"),
        pytest.param({"accelerator": {"type": "nvidia-l4", "countPerWorker": 2}}, id="count"),
        pytest.param({"provisioning": "Spot"}, id="provisioning"),
        pytest.param({"nodePool": {"mode": "Shared", "zones": ["us-central1-b"]}}, id="zones"),
        pytest.param({"nodePool": {"mode": "Shared", "driverVersion": "Latest"}}, id="driver"),
    ],
)
def test_whatever_cannot_be_changed_later_makes_another_pool(wanted, difference):
    (one,), (other,) = wanted(mode="Shared"), wanted(mode="Shared", **difference)

    assert one.name != other.name
    assert one.spec_hash != other.spec_hash


def test_two_installations_never_meet_in_a_name(wanted, cloud_terms):
    (one,) = wanted(mode="Shared")
    (other,) = wanted(mode="Shared", terms=cloud_terms.model_copy(update={"install_id": "another"}))

    assert one.name != other.name


def test_spot_then_on_demand_is_two_pools_the_cheap_one_first(wanted):
    found = wanted(provisioning="SpotThenOnDemand")

    assert [pool.provisioning for pool in found] == ["Spot", "OnDemand"]
    assert found[0].name != found[1].name


def test_a_pool_has_a_name_that_gke_takes_whatever_the_accelerator_is_called(wanted):
    (found,) = wanted(accelerator={"type": "X" * 60, "machineType": "g9-standard-8"})

    assert re.fullmatch("[a-z][a-z0-9-]{0,38}[a-z0-9]", found.name)


@pytest.mark.parametrize("mode", ["Existing", "Auto"])
def test_other_modes_want_no_pool(simulator, make_run, cloud_terms, mode):
    block = {"mode": mode} | ({"name": "gpus"} if mode == "Existing" else {})
    run = make_run(compute=compute(nodePool=block))

    assert pools.wanted(run, resource(simulator, run), cloud_terms) == ()


@pytest.mark.parametrize(
    ("kind", "count", "machine"),
    [
        ("nvidia-l4", 1, "g2-standard-8"),
        ("nvidia-l4", 4, "g2-standard-48"),
        ("nvidia-tesla-t4", 2, "n1-standard-8"),
        ("nvidia-a100-80gb", 8, "a2-ultragpu-8g"),
        ("None", 1, "n2-standard-8"),
    ],
)
def test_a_machine_holds_the_accelerators_of_a_worker(wanted, kind, count, machine):
    (found,) = wanted(accelerator={"type": kind, "countPerWorker": count})

    assert found.machine_type == machine
    assert found.accelerators_per_node == (0 if kind == "None" else count)


def test_workers_run_on_the_pools_of_their_run_and_nowhere_else(simulator, make_run, cloud_terms, wanted):
    for way in ("OnDemand", "SpotThenOnDemand"):
        run = make_run(compute=compute(provisioning=way))
        spec = pods.worker(resource(simulator, run), run, 1, cloud_terms)["spec"]
        names = [pool.name for pool in wanted(provisioning=way)]
        if way == "OnDemand":
            assert spec["nodeSelector"]["cloud.google.com/gke-nodepool"] == names[0]
            continue
        affinity = spec["affinity"]["nodeAffinity"]
        required = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        expression = {"key": "cloud.google.com/gke-nodepool", "operator": "In", "values": names}
        assert required == [{"matchExpressions": [expression]}]
        assert "preferredDuringSchedulingIgnoredDuringExecution" in affinity


# Whether at all.


@pytest.mark.parametrize(
    ("block", "has_cluster", "field"),
    [
        (compute("Shared"), False, "spec.compute.nodePool.mode"),
        (compute("Dedicated", queueName="lab"), True, "spec.compute.queueName"),
        (compute("Dedicated"), True, None),
        (compute("Auto"), False, None),
    ],
    ids=["no cluster is set", "Kueue", "fine", "Auto"],
)
def test_a_pool_that_cannot_be_made_is_told_at_once(
    simulator, make_run, terms, cloud_terms, make_world, block, has_cluster, field
):
    run = make_run(compute=block)
    observed = dataclasses.replace(make_world().observed(), custom_resource=resource(simulator, run))

    found = acceptance.problems(observed, cloud_terms if has_cluster else terms)

    assert [sentence.partition(":")[0] for sentence in found] == ([field] if field else [])


# Before the workers.


def test_the_pool_is_asked_for_after_it_was_written_down_that_the_recording_is_good(managed, decided):
    world, _ = managed()
    status = world.status
    assert next(c for c in status.conditions if c.type == "DataReady").status == "True"
    assert world.google.writes == []

    (action,), status = decided(world)

    assert isinstance(action, CreateNodePool)
    assert str(action) == f"create node pool {action.pool.name} of at most 2 g2-standard-8"
    assert status.phase is Phase.PROVISIONING


def test_workers_are_asked_for_when_the_pool_is_there_and_not_before(managed, decided):
    world, operator = managed()
    operator.turn()
    doings, status = decided(world)
    assert doings == []
    assert (status.node_pool.status, status.node_pool.operation) == ("PROVISIONING", "create")
    assert "is being made" in status.message

    world.pass_time(100)
    (action,), status = decided(world)

    assert action == ScaleWorkers("reach-a01-x", "workers", 2)
    assert status.node_pool.status == "RUNNING"


def test_a_shared_pool_grows_for_a_larger_run_and_never_shrinks(managed, decided):
    world, _ = managed("Shared", workers={"desired": 3})
    (wanted,) = pools.wanted(world.run, world.observed().custom_resource, world.terms)
    pool = NodePool(wanted.name, "RUNNING", True, wanted.spec_hash, max_nodes=1, etag="7")

    doings, _ = decided(world, pools=(pool,))
    assert doings[0] == ResizeNodePool(wanted.name, 3, "7")
    doings, _ = decided(world, pools=(dataclasses.replace(pool, max_nodes=9),))
    assert [type(action) for action in doings] == [ScaleWorkers]


def test_nothing_is_done_while_the_cluster_is_busy(managed, decided):
    world, _ = managed()

    doings, status = decided(world, problem=CloudProblem.BUSY, message="another operation")

    assert doings == []
    assert status.message.endswith("another operation: another operation")
    assert status.phase is Phase.PROVISIONING


def test_workers_that_train_are_left_alone_when_google_does_not_answer(managed, decided):
    world, operator = managed()
    for _ in range(8):
        operator.turn()
        world.pass_time(30)
    assert world.status.phase is Phase.RUNNING

    doings, status = decided(world, problem=CloudProblem.UNAVAILABLE, message="503", pools=None)

    assert doings == []
    assert status.phase is Phase.RUNNING
    assert status.node_pool.status == "RUNNING"
    assert status.node_pool.last_error == "503"


# Quota.


def quota(limit, usage=0.0):
    return (Quota("NVIDIA_L4_GPUS", limit, usage, "us-central1"), Quota("GPUS_ALL_REGIONS", 32.0, 0.0))


@pytest.mark.parametrize(
    ("limit", "desired", "least", "status", "is_held", "words"),
    [
        (8.0, 4, 1, "True", False, "quota NVIDIA_L4_GPUS in us-central1 is 8, of which 0 are in use"),
        (2.0, 4, 1, "False", False, "wanted 4 of quota NVIDIA_L4_GPUS in us-central1, found a limit of 2"),
        (
            2.0,
            4,
            3,
            "False",
            True,
            "wanted at least 3 of quota NVIDIA_L4_GPUS in us-central1, found a limit of 2",
        ),
    ],
    ids=["enough", "for some", "too little"],
)
def test_quota_is_told_with_its_name_limit_and_need(
    managed, decided, limit, desired, least, status, is_held, words
):
    world, _ = managed(workers={"desired": desired, "min": least})
    (wanted,) = pools.wanted(world.run, world.observed().custom_resource, world.terms)

    doings, found = decided(world, quotas={wanted.name: quota(limit)})

    condition = next(c for c in found.conditions if c.type is ConditionType.QUOTA_AVAILABLE)
    assert condition.status == status
    assert condition.message.startswith(words)
    assert (doings == []) == is_held
    if is_held:
        assert found.phase is Phase.PROVISIONING
        assert "docs/node-pools.md" in condition.message


def test_a_quota_that_cannot_be_read_keeps_nobody_from_going_on(managed, decided):
    world, _ = managed()
    (wanted,) = pools.wanted(world.run, world.observed().custom_resource, world.terms)
    unread = (Quota("NVIDIA_L4_GPUS", None, None, "us-central1", "grant compute.regions.get"),)

    doings, status = decided(world, quotas={wanted.name: unread})

    condition = next(c for c in status.conditions if c.type is ConditionType.QUOTA_AVAILABLE)
    assert (condition.status, condition.message) == ("Unknown", "grant compute.regions.get")
    assert [type(action) for action in doings] == [CreateNodePool]


def test_a_spot_pool_without_quota_is_passed_over(managed, decided):
    world, _ = managed(provisioning="SpotThenOnDemand")
    spot, on_demand = pools.wanted(world.run, world.observed().custom_resource, world.terms)

    doings, _ = decided(world, quotas={spot.name: quota(0.0), on_demand.name: quota(8.0)})

    assert [action.pool.name for action in doings] == [on_demand.name]


# The ladder.


def run_dry(world, *ways):
    world.google.dry |= set(ways)


def test_on_demand_machines_are_bought_when_spot_has_run_out_and_workers_wait(managed, decided):
    world, operator = managed(provisioning="SpotThenOnDemand")
    run_dry(world, "Spot")
    for _ in range(6):
        operator.turn()
        world.pass_time(30)
    made = {pool.provisioning: pool.status for pool in world.google.pools.values()}

    assert made == {"Spot": "RUNNING", "OnDemand": "PROVISIONING"}
    told = next(c for c in world.status.conditions if c.type is ConditionType.CAPACITY_AVAILABLE)
    assert (told.status, told.reason) == ("False", Reason.STOCKOUT)
    assert "0 of 2 workers are ready" in told.message


def test_workers_that_wait_for_long_are_a_stockout_although_the_pool_says_nothing(managed, cloud_terms):
    world, operator = managed(provisioning="SpotThenOnDemand")
    for _ in range(6):
        operator.turn()
        world.pass_time(20)
    world.machines = False
    operator.turn()
    observed = world.observed()
    spot, on_demand = pools.wanted(world.run, observed.custom_resource, cloud_terms)

    early = Situation(observed, world.run, cloud_terms)
    assert capacity.rungs(early) == (spot,)
    world.pass_time(capacity.PATIENCE_SECONDS + 1)
    late = Situation(world.observed(), world.run, cloud_terms)
    assert capacity.rungs(late) == (spot, on_demand)


@pytest.mark.parametrize(
    ("cloud", "reason", "outcome"),
    [
        pytest.param({"foreign": True}, Reason.NODE_POOL_NOT_OWNED, Phase.FAILED, id="somebody else's"),
        pytest.param({"status": "ERROR"}, Reason.NODE_POOL_FAILED, Phase.PAUSING, id="cannot be used"),
        pytest.param({"refused": True}, Reason.NODE_POOL_FAILED, Phase.PAUSING, id="refused"),
    ],
)
def test_a_pool_that_is_not_to_be_had_ends_the_attempt_without_a_retry(
    managed, decided, cloud, reason, outcome
):
    world, _ = managed()
    (wanted,) = pools.wanted(world.run, world.observed().custom_resource, world.terms)
    found = {}
    if "refused" in cloud:
        found = {"refused": {wanted.name: (Reason.NODE_POOL_FAILED, "no such machine")}}
    else:
        pool = NodePool(wanted.name, cloud.get("status", ""), "foreign" not in cloud, wanted.spec_hash)
        found = {"pools": (pool,)}

    _, status = decided(world, **found)

    assert status.phase is outcome
    assert status.attempts[0].end_reason is reason
    assert not status.failed_attempts


# Giving back.


def own(name="alr-l4-own", status="RUNNING", **more):
    return NodePool(name, status, True, run_uid="run-uid", etag="3", **more)


@pytest.mark.parametrize(
    ("pool", "actions"),
    [
        pytest.param(own(), [DeleteNodePool("alr-l4-own", "3", "over")], id="there"),
        pytest.param(own(status="ERROR"), [DeleteNodePool("alr-l4-own", "3", "over")], id="broken"),
        pytest.param(own(status="PROVISIONING", operation="o-1"), [], id="being made"),
        pytest.param(own(operation="o-2"), [], id="being changed"),
        pytest.param(own(status="STOPPING"), [], id="going"),
    ],
)
def test_a_pool_goes_when_gke_is_done_with_it_and_is_waited_for(make_world, pool, actions):
    observed = dataclasses.replace(make_world().observed(), cloud=Cloud(pools=(pool,)))

    found = provisioning.release(observed, "over")

    assert list(found.actions) == actions
    assert found.left == "node pool alr-l4-own"


@pytest.mark.parametrize(
    "pool",
    [
        pytest.param(dataclasses.replace(own(), is_ours=False), id="without our label"),
        pytest.param(dataclasses.replace(own(), run_uid=None), id="shared"),
        pytest.param(dataclasses.replace(own(), run_uid="another"), id="another run's"),
    ],
)
def test_nothing_but_its_own_pool_is_ever_taken_away(make_world, pool):
    observed = dataclasses.replace(make_world().observed(), cloud=Cloud(pools=(pool,)))

    assert provisioning.release(observed, "over") == provisioning.Release()


def test_a_deleted_run_whose_cloud_does_not_answer_is_kept_and_says_so(managed, cloud_terms):
    world, operator = managed()
    for _ in range(4):
        operator.turn()
        world.pass_time(60)
    world.delete()
    world.google.is_up = False
    for _ in range(80):
        operator.turn()
        world.kuberay_step()
        world.driver_step()
        world.pass_time(15)

    assert not world.gone
    told = next(c for c in world.status.conditions if c.type is ConditionType.PROGRESSING)
    assert (told.status, told.reason) == ("False", Reason.CLEANUP_BLOCKED)
    assert 'autolfads.dev/force-delete: "true"' in told.message
    events = [a for a in world.done if type(a).__name__ == "PostEvent" and a.reason == "CleanupBlocked"]
    assert len({event.name for event in events}) == 1

    world.google.is_up = True
    for _ in range(12):
        operator.turn()
        world.pass_time(30)
    assert world.gone
    assert world.google.pools == {}


def test_a_pool_that_this_operator_was_told_nothing_about_keeps_its_run(make_world, terms):
    """The setting `cluster` was taken away while the run still had a pool."""
    world = make_world()
    status = NodePoolStatus(name="alr-l4-own", managed=True, status="RUNNING")
    world.status = world.status.model_copy(update={"node_pool": status})
    world.delete()

    found = plan(world.observed(), terms)

    assert not [action for action in found.actions if type(action).__name__ == "RemoveFinalizer"]
    assert "alr-l4-own" in found.status.message


def test_a_run_that_has_ended_keeps_its_pool_while_its_machines_are_still_there(managed, decided):
    world, operator = managed()
    for _ in range(40):
        operator.turn()
        world.kuberay_step()
        world.driver_step()
        world.pass_time(10)
        if world.status.phase is Phase.SUCCEEDED:
            break
    operator.turn()
    assert world.status.node_pool.status == "RUNNING"
    assert decided(world)[0] == []

    world.pass_time(130)  # spec.ttl.clusterAfterFinished
    world.kuberay_step()
    doings, _ = decided(world)

    assert [type(action) for action in doings] == [DeleteNodePool]
