"""One operator, the fake GKE and its autoscaler: the machines of a run come, and go, and are not to be had.

No Ray runs here: the driver's part is written by the tests, and workers run on KWOK nodes that come for
their pods, with GKE's labels and taints. Faults 10 and 21 of the list in the design.
"""

import pytest
from kubernetes import client

pytestmark = [pytest.mark.kube, pytest.mark.timeout(300)]

HEAD_NODE = "default-pool"


@pytest.fixture
def head_node(cluster):
    """A node for heads, which are never in a pool that the operator makes."""
    cluster.add_node(HEAD_NODE)
    yield
    cluster.remove_node(HEAD_NODE)


@pytest.fixture
def begin(run, start, cluster_manager, head_node, autoscaler, eventually):
    """begin(mode, ...): an operator, and a run whose recording was found good, so that it wants its nodes."""
    cluster_manager.settings |= {"PAUSE_WAIT_SECONDS": "1", "NAMESPACES": run.namespace}

    def with_mode(mode, provisioning="OnDemand", schedule=None, **settings):
        operator = start(**cluster_manager.settings, **settings)
        compute = {
            "accelerator": {"type": "nvidia-l4"},
            "workers": {"desired": 2},
            "provisioning": provisioning,
            "nodePool": {"mode": mode},
        }
        run.apply(compute=compute, **({"schedule": schedule} if schedule else {}))
        eventually(lambda: run.clusters(), seconds=60)
        assert cluster_manager.pools == {}
        run.drive()
        return operator

    return with_mode


@pytest.fixture
def workers(run):
    """Names of nodes by worker pod that runs."""

    def found():
        core = client.CoreV1Api(run.cluster.client())
        pods = core.list_namespaced_pod(run.namespace, label_selector="ray.io/node-type=worker").items
        return {pod.metadata.name: pod.spec.node_name for pod in pods if pod.status.phase == "Running"}

    return found


def is_condition(run, kind, status, reason=None):
    found = run.condition(kind)
    return found.get("status") == status and reason in (None, found.get("reason"))


def test_a_run_gets_its_own_pool_trains_on_its_nodes_and_gives_it_back_when_it_is_suspended(
    run, begin, cluster_manager, workers, eventually
):
    cluster_manager.operation_seconds = 3  # long enough to be seen
    begin("Dedicated")
    eventually(lambda: len(workers()) == 2, seconds=90)

    (pool,) = cluster_manager.pools.values()
    uid = run.read()["metadata"]["uid"]
    assert pool.config.resource_labels["autolfads-run"] == uid
    assert {machine.name for machine in cluster_manager.running()} == set(workers().values())
    core = client.CoreV1Api(run.cluster.client())
    node = core.read_node(next(iter(workers().values())))
    assert [taint.key for taint in node.spec.taints] == ["nvidia.com/gpu"]
    eventually(lambda: run.status["nodePool"].get("status") == "RUNNING")
    assert (run.status["nodePool"]["name"], run.status["nodePool"]["managed"]) == (pool.name, True)
    eventually(lambda: is_condition(run, "CapacityAvailable", "True"))
    assert is_condition(run, "QuotaAvailable", "True")
    assert "NVIDIA_L4_GPUS in us-central1 is 16" in run.condition("QuotaAvailable")["message"]

    run.patch(suspend=True)
    eventually(lambda: run.status.get("phase") == "Suspended", seconds=90)
    eventually(lambda: not cluster_manager.pools, seconds=60)
    assert cluster_manager.running() == []
    eventually(lambda: "status" not in run.status["nodePool"])
    run.delete()
    eventually(lambda: run.read() is None, seconds=90)
    assert cluster_manager.asked("CreateNodePool", "DeleteNodePool") == ["OK", "OK"]
    assert "NodePoolCreating" in run.events()


def test_a_shared_pool_outlives_its_run_and_is_swept_when_nobody_needs_it(
    run, begin, cluster_manager, workers, eventually
):
    begin("Shared", POOL_IDLE_SECONDS="4", SWEEP_SECONDS="1")
    eventually(lambda: len(workers()) == 2, seconds=90)
    run.delete()
    eventually(lambda: run.read() is None, seconds=90)
    assert len(cluster_manager.pools) == 1

    eventually(lambda: not cluster_manager.pools, seconds=60)
    assert cluster_manager.running() == []


def test_fault_10_all_workers_are_preempted_and_none_come_back(
    run, begin, cluster_manager, workers, eventually
):
    begin("Dedicated", "Spot", schedule={"provisioningTimeout": "60s"})
    eventually(lambda: len(workers()) == 2, seconds=50)
    cluster_manager.stock_out()
    for machine in cluster_manager.running():
        cluster_manager.preempt(machine)

    eventually(lambda: is_condition(run, "Suspended", "True", "Stockout"), seconds=300)
    assert is_condition(run, "CapacityAvailable", "False", "Stockout")
    assert (run.status["attempt"], run.status.get("failedAttempts", 0)) == (1, 0)
    eventually(lambda: not cluster_manager.pools, seconds=60)
    bill = cluster_manager.bill()
    assert cluster_manager.running() == []
    assert run.ray_jobs() == {}
    assert cluster_manager.bill() == bill  # the clock goes on, the bill does not


def test_fault_21_too_little_quota_is_explained_and_nothing_is_asked_for(
    run, begin, cluster_manager, workers, eventually
):
    cluster_manager.quotas["NVIDIA_L4_GPUS"] = 0
    operator = begin("Dedicated")
    eventually(lambda: is_condition(run, "QuotaAvailable", "False", "QuotaExceeded"), seconds=60)

    message = run.condition("QuotaAvailable")["message"]
    assert message.startswith("wanted at least 1 of quota NVIDIA_L4_GPUS in us-central1, found a limit of 0")
    eventually(lambda: run.status.get("phase") == "Provisioning")
    assert cluster_manager.asked("CreateNodePool") == []
    assert [group["replicas"] for group in run.clusters()[0]["spec"]["workerGroupSpecs"]] == [0]

    cluster_manager.quotas["NVIDIA_L4_GPUS"] = 8
    operator.kill()  # the next one need not wait the ten minutes for which a quota is believed
    operator.start()
    eventually(lambda: len(workers()) == 2, seconds=90)
    assert run.status["attempt"] == 1


def test_fault_21_a_stockout_is_waited_for_and_the_run_goes_on_by_itself(
    run, begin, cluster_manager, workers, eventually
):
    cluster_manager.stock_out()
    begin("Dedicated")
    eventually(lambda: is_condition(run, "CapacityAvailable", "False", "Stockout"), seconds=90)
    assert (run.status["attempt"], cluster_manager.bill()) == (1, {})

    cluster_manager.restock()
    eventually(lambda: len(workers()) == 2, seconds=90)
    eventually(lambda: is_condition(run, "CapacityAvailable", "True"), seconds=60)
    assert cluster_manager.asked("CreateNodePool") == ["OK"]


def test_a_run_whose_spot_machines_are_not_to_be_had_buys_others(
    run, begin, cluster_manager, workers, eventually
):
    cluster_manager.stock_out(provisioning="Spot")
    begin("Dedicated", "SpotThenOnDemand")
    eventually(lambda: len(workers()) == 2, seconds=120)

    assert sorted(pool.config.spot for pool in cluster_manager.pools.values()) == [False, True]
    assert {machine.provisioning for machine in cluster_manager.running()} == {"OnDemand"}
    run.delete()
    eventually(lambda: run.read() is None, seconds=120)
    assert cluster_manager.pools == {}
