"""Faults 21 to 24: one operator, the fake GKE, and node pools that must be neither lost nor stolen.

No Ray runs here: the driver's part is written by the tests, workers run on KWOK nodes that GKE's
autoscaler, as the fake has it, makes for their pods.
"""

import time
from types import SimpleNamespace

import pytest
from google.cloud import container_v1

from autolfads_operator import pools
from autolfads_spec.run import load_run
from gke.project import reply_lost

pytestmark = [pytest.mark.kube, pytest.mark.timeout(300)]

WRITES = ("CreateNodePool", "SetNodePoolAutoscaling", "DeleteNodePool")


def compute(mode, **more):
    return {
        "accelerator": {"type": "nvidia-l4"},
        "workers": {"desired": 2},
        "nodePool": {"mode": mode},
        **more,
    }


@pytest.fixture
def begin(run, start, cluster_manager, eventually):
    """begin(mode): an operator, and a run whose recording was found good, so that it wants its nodes."""
    # What other tests have left elsewhere is not to ask this fake for anything.
    cluster_manager.settings |= {"NAMESPACES": run.namespace}

    def with_mode(mode, **more):
        operator = start(**cluster_manager.settings)
        run.apply(compute=compute(mode, **more))
        eventually(lambda: run.clusters(), seconds=60)
        run.drive()
        return operator

    return with_mode


def replicas(run):
    return [group["replicas"] for thing in run.clusters() for group in thing["spec"]["workerGroupSpecs"]]


def made(project):
    return project.asked("CreateNodePool").count("OK")


@pytest.mark.parametrize("is_killed", [False, True], ids=["operator lives", "operator killed"])
def test_fault_22_a_run_deleted_while_its_pool_is_made_leaves_no_pool(
    run, begin, cluster_manager, eventually, is_killed
):
    cluster_manager.operation_seconds = 600
    operator = begin("Dedicated")
    eventually(lambda: cluster_manager.pools, seconds=60)
    if is_killed:
        operator.kill()
    run.delete()
    if is_killed:
        operator.start()
    eventually(lambda: not run.ray_jobs(), seconds=90)
    time.sleep(1)
    assert run.read() is not None  # its pool is still being made
    assert [pool.status.name for pool in cluster_manager.pools.values()] == ["PROVISIONING"]
    cluster_manager.operation_seconds = 2
    cluster_manager.finish()
    eventually(lambda: run.read() is None, seconds=120)

    assert cluster_manager.pools == {}  # before the run went, not some time after
    assert cluster_manager.asked("DeleteNodePool").count("OK") == 1
    assert made(cluster_manager) == 1
    assert cluster_manager.bill() == {}
    eventually(lambda: not run.left(), seconds=60)


@pytest.mark.parametrize("mode", ["Shared", "Dedicated"])
def test_fault_23_a_pool_whose_reply_was_lost_is_adopted_and_used(
    run, begin, cluster_manager, autoscaler, eventually, mode
):
    cluster_manager.fault("CreateNodePool", reply_lost())
    begin(mode)
    eventually(lambda: len(cluster_manager.running()) == 2, seconds=90)

    assert cluster_manager.asked("CreateNodePool") == ["UNAVAILABLE"]
    assert len(cluster_manager.pools) == 1
    assert replicas(run) == [2]
    run.delete()
    eventually(lambda: run.read() is None, seconds=120)
    eventually(lambda: not cluster_manager.running(), seconds=60)
    assert len(cluster_manager.pools) == (1 if mode == "Shared" else 0)


def test_fault_23_an_operator_killed_before_it_heard_adopts_the_pool_when_it_is_back(
    run, begin, cluster_manager, eventually
):
    cluster_manager.fault("CreateNodePool", reply_lost())
    cluster_manager.operation_seconds = 600
    operator = begin("Dedicated")
    eventually(lambda: cluster_manager.pools, seconds=60)
    operator.kill()
    operator.start()
    time.sleep(1)
    assert replicas(run) == [0]
    cluster_manager.finish()
    eventually(lambda: replicas(run) == [2], seconds=90)

    assert cluster_manager.asked("CreateNodePool") == ["UNAVAILABLE"]
    assert len(cluster_manager.pools) == 1


def test_fault_24_a_foreign_pool_of_our_name_is_never_touched(run, begin, cluster_manager, eventually):
    document = {
        "apiVersion": "autolfads.dev/v1alpha1",
        "kind": "AutoLFADSRun",
        "metadata": {"name": "reach"},
        "spec": {
            "data": {"uri": "gs://lab/reach.mat"},
            "output": {"uri": "gs://lab/out"},
            "compute": compute("Shared"),
        },
    }
    terms = SimpleNamespace(install_id=cluster_manager.settings["INSTALL_ID"])
    resource = SimpleNamespace(uid="u", name="reach", namespace="n")
    (wanted,) = pools.wanted(load_run(document), resource, terms)
    cluster_manager.put_foreign_pool(wanted.name, team="optics")
    before = container_v1.NodePool.serialize(cluster_manager.pools[wanted.name])
    begin("Shared")
    eventually(lambda: run.condition("Failed").get("status") == "True", seconds=90)

    assert run.condition("Failed")["reason"] == "NodePoolNotOwned"
    assert wanted.name in run.condition("Failed")["message"]
    run.delete()
    eventually(lambda: run.read() is None, seconds=120)
    time.sleep(1)
    assert cluster_manager.asked(*WRITES) == []
    assert list(cluster_manager.pools) == [wanted.name]
    assert container_v1.NodePool.serialize(cluster_manager.pools[wanted.name]) == before


def test_fault_21_without_quota_nothing_is_made_and_the_quota_is_named(
    run, begin, cluster_manager, eventually
):
    cluster_manager.quotas["NVIDIA_L4_GPUS"] = 0
    begin("Shared")
    eventually(lambda: run.condition("QuotaAvailable").get("status") == "False", seconds=60)
    time.sleep(3)

    message = run.condition("QuotaAvailable")["message"]
    assert all(word in message for word in ("NVIDIA_L4_GPUS", "us-central1", "limit of 0"))
    assert cluster_manager.asked(*WRITES) == []
    assert replicas(run) == [0]
    assert run.status["attempt"] == 1


def test_fault_21_a_stockout_is_told_and_the_run_goes_on_by_itself(
    run, begin, cluster_manager, autoscaler, eventually
):
    cluster_manager.stock_out("nvidia-l4")
    begin("Shared")
    eventually(lambda: run.condition("CapacityAvailable").get("reason") == "Stockout", seconds=90)
    message = run.condition("CapacityAvailable")["message"]
    cluster_manager.restock()
    eventually(lambda: len(cluster_manager.running()) == 2, seconds=60)
    eventually(lambda: run.condition("CapacityAvailable")["reason"] != "Stockout")

    assert "GCE_STOCKOUT" in message
    assert made(cluster_manager) == 1
    assert run.status["attempt"] == 1
