"""Whatever breaks under a run that really trains, it goes on by itself and ends with the same weights.

Each test is a row of the list of faults in the design. The oracle is the same run outside of the cluster.
"""

import json
import re
import time

import h5py
import numpy as np
import pytest
from kubernetes import client

from autolfads_spec.cost import CostRecord
from autolfads_spec.store import open_store
from kube.nodes.node import start_node
from kube.storage import SOCKETS

pytestmark = [pytest.mark.kube, pytest.mark.gcs, pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1200)]

# Long enough to be hit in the middle.
LONG = {"generations": 8}


@pytest.fixture
def ends_the_same(lorenz, undisturbed, eventually):
    """Waits until the run is complete, and compares; what was committed before the fault was not repeated."""

    def check(*attempts, committed=()):
        eventually(lambda: lorenz.status.get("phase") in ("Succeeded", "Failed"), seconds=900, pause=0.5)
        status = lorenz.status
        assert status["phase"] == "Succeeded", status["message"]
        assert status["attempt"] in attempts
        assert lorenz.differing(undisturbed(**LONG)) == []
        numbers = [name for name in lorenz.store.names() if re.fullmatch(r"generations/\d+\.json", name)]
        assert len(numbers) == LONG["generations"]
        assert lorenz.drivers()[: len(committed)] == list(committed)

    return check


@pytest.fixture
def trains(lorenz, eventually):
    """The run has committed a generation and is in the middle of another."""
    lorenz.apply(population=LONG)
    eventually(lambda: lorenz.generations >= 1, seconds=600)
    assert lorenz.generations < LONG["generations"]
    return lorenz


def delete_pod(run, name):
    run.cluster.kubectl("delete", "pod", name, "-n", run.namespace, "--force", "--grace-period=0")


def test_a_recording_that_cannot_be_used_fails_the_run_before_any_worker_is_asked_for(
    cluster, lorenz, bucket, tmp_path, eventually
):
    with h5py.File(tmp_path / "bad.h5", "w") as file:
        file["firing"] = np.zeros((4, 5, 6))
    open_store(bucket).write_file("lorenz.h5", tmp_path / "bad.h5")

    lorenz.apply()
    eventually(lambda: lorenz.status.get("phase") == "Failed", seconds=300)

    failed = lorenz.condition("Failed")
    assert (failed["status"], failed["reason"]) == ("True", "BadInput")
    assert "firing" in failed["message"]  # what was found
    assert (lorenz.status["attempt"], lorenz.condition("DataReady")["status"]) == (1, "False")
    asked = [(event["verb"], event.get("objectRef", {})) for event in cluster.audited("kuberay")]
    made = [
        thing
        for verb, thing in asked
        if verb == "create" and (thing.get("resource"), thing.get("namespace")) == ("pods", lorenz.namespace)
    ]
    assert len(made) == 1  # the head


def test_a_head_that_is_killed_costs_at_most_a_generation(trains, ends_the_same):
    (head,) = trains.pods("head")
    committed = trains.drivers()
    delete_pod(trains, head)

    # KubeRay makes another head and submits the driver again, or gives up: then it is another attempt.
    ends_the_same(1, 2, committed=committed)
    assert trains.pods("head") != [head]


def pods_by_name(run):
    """Uid and restarts of each pod of the run."""
    found = client.CoreV1Api(run.cluster.client()).list_namespaced_pod(run.namespace).items
    return {
        pod.metadata.name: (
            pod.metadata.uid,
            [one.restart_count for one in pod.status.container_statuses or ()],
        )
        for pod in found
    }


def test_a_worker_whose_spot_machine_is_taken_away_costs_no_attempt_and_disturbs_nobody_else(
    trains, eventually, ends_the_same
):
    lost, other = trains.pods("worker")
    (head,) = trains.pods("head")
    before, committed = pods_by_name(trains), trains.generations
    # What a kubelet writes when its machine is being taken away; ours then ends the pod's processes.
    told = {"phase": "Failed", "reason": "Terminated", "message": "imminent node shutdown"}
    core = client.CoreV1Api(trains.cluster.client())
    core.patch_namespaced_pod_status(lost, trains.namespace, {"status": told})

    eventually(lambda: trains.status["progress"].get("preemptions") == 1)
    eventually(lambda: "Preempted" in trains.events())
    eventually(lambda: trains.generations > committed, seconds=300)  # the one under way is completed
    after = pods_by_name(trains)
    assert lost not in trains.pods("worker")
    assert {name: after[name] for name in (other, head)} == {name: before[name] for name in (other, head)}
    ends_the_same(1)
    assert len(set(trains.drivers())) == 1
    assert trains.status["progress"]["preemptions"] == 1


def test_a_ray_job_that_is_deleted_by_hand_is_followed_by_another_attempt(trains, eventually, ends_the_same):
    committed = trains.drivers()
    trains.cluster.kubectl("delete", "rayjob", "lorenz-a01", "-n", trains.namespace, "--wait=false")

    eventually(lambda: trains.is_started(2), seconds=30)  # what the design allows
    ends_the_same(2, committed=committed)
    assert trains.status["attempts"][0]["endReason"] == "RayJobDeleted"
    assert "AttemptFailed" in trains.events()


def test_a_ray_cluster_that_is_deleted_by_hand_costs_at_most_a_generation(trains, ends_the_same):
    (ray_cluster,) = trains.clusters()
    name, committed = ray_cluster["metadata"]["name"], trains.drivers()
    trains.cluster.kubectl("delete", "raycluster", name, "-n", trains.namespace, "--wait=false")

    # KubeRay makes another cluster of the same attempt and submits the driver again, or gives up.
    ends_the_same(1, 2, committed=committed)
    assert len(set(trains.drivers())) == 2


@pytest.fixture
def doomed_node(cluster, worker_node):
    """A second node, which gets the pods of the next run: the first one takes none meanwhile."""
    node = start_node(cluster, "doomed")
    cluster.kubectl("cordon", worker_node.name)
    yield node
    cluster.kubectl("uncordon", worker_node.name)
    there = f"--field-selector=spec.nodeName={node.name}"
    cluster.kubectl("delete", "pods", "--all-namespaces", there, "--force", "--grace-period=0")
    node.close()


def cut_off(cluster, node, other):
    """Everything on `node` goes on, and nobody reaches it or hears of it; new pods go to the other one."""
    cluster.kubectl("cordon", node.name)
    cluster.kubectl("uncordon", other.name)
    node.stop_kubelet()  # else it would end its pods as soon as it is back
    node.disconnect()


@SOCKETS
def test_a_head_that_lives_on_unreachable_writes_nothing_more_once_it_is_refused(
    cluster, storage, lorenz, worker_node, doomed_node, eventually, ends_the_same
):
    lorenz.operator.stop()
    # A driver is heard every 30 s, however long its generations are.
    patience = {"AUTOLFADS_HEARTBEAT_STALE_SECONDS": "50", "AUTOLFADS_HEARTBEAT_GENERATIONS": "0"}
    lorenz.operator.environment |= patience
    lorenz.operator.start()
    lorenz.apply(population=LONG)
    eventually(lambda: lorenz.generations >= 1, seconds=600)
    committed = lorenz.drivers()
    cut_off(cluster, doomed_node, worker_node)
    eventually(lambda: "deletionTimestamp" in lorenz.ray_jobs()["lorenz-a01"]["metadata"], seconds=120)
    # Here KubeRay asks heads through the API server, which waits for minutes where a connection was cut. In a
    # cluster it asks them itself, for 2 s.
    cluster.kuberay.restart()
    eventually(lambda: lorenz.manifest().attempt == 2, seconds=300)

    def old_drives():
        return any("lfads_worker run" in line for line in doomed_node.processes())

    assert old_drives()
    doomed_node.connect()
    eventually(lambda: not old_drives(), seconds=180)

    ends_the_same(2, committed=committed)
    assert lorenz.status["attempts"][0]["endReason"] == "DriverStalled"
    assert "attempts/01/end.json" not in lorenz.store.names()  # nor has it had a last word
    subnet = doomed_node.address.rpartition(".")[0] + "."
    old = [write for write in storage.writes if write.client.startswith(subnet)]
    refused = [write for write in old if write.status == 412 and write.name.endswith("manifest.json")]
    assert refused
    # One that was on its way when the answer came is not after it.
    assert [write for write in old if write.at > refused[0].at + 1] == []


def test_an_operator_that_is_killed_finds_the_ray_job_it_has_made(lorenz, eventually, ends_the_same):
    lorenz.apply(population=LONG)
    eventually(lambda: "lorenz-a01" in lorenz.ray_jobs(), seconds=60, pause=0)
    lorenz.operator.kill()
    (made,) = lorenz.ray_jobs().values()
    lorenz.operator.start()

    ends_the_same(1)
    (found,) = lorenz.ray_jobs().values()
    assert found["metadata"]["uid"] == made["metadata"]["uid"]


def cost(run):
    """What is kept in the output folder."""
    return CostRecord.model_validate_json(run.store.read("cost.json").content)


def suspend(run, is_wanted):
    run.cluster.kubectl(*patch(run, suspend=is_wanted), actor="user")


def test_a_run_that_is_suspended_twice_gives_its_machines_back_and_goes_on_with_others(
    trains, eventually, ends_the_same
):
    for is_wanted in (True, False, True):  # as fast as kubectl is
        suspend(trains, is_wanted)
    eventually(lambda: trains.status["phase"] == "Suspended", seconds=300)
    assert trains.ray_jobs() == {}
    eventually(lambda: trains.pods("worker") + trains.pods("head") == [], seconds=60)
    eventually(lambda: not cost(trains).present, seconds=60)
    used, before, drivers = cost(trains), trains.generations, trains.drivers()
    assert 1 <= before < LONG["generations"]

    larger = {"cpu": "150m", "memory": "2100Mi"}
    trains.cluster.kubectl(*patch(trains, compute={"head": larger}), actor="user")
    time.sleep(10)
    assert (trains.status["phase"], trains.ray_jobs()) == ("Suspended", {})
    assert used.amount > 0
    assert (cost(trains).amount, cost(trains).present) == (
        used.amount,
        (),
    )  # the clock goes on, the cost does not
    suspend(trains, False)

    eventually(lambda: trains.pods("head"), seconds=120)
    (job,) = trains.ray_jobs().values()
    head = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    assert head["resources"]["requests"] == larger
    # The first pause may have been over before it was taken back: then the second one was of an attempt too.
    ends_the_same(2, 3, committed=drivers)
    assert "Paused" in trains.events()


def patch(run, **spec):
    return (
        "patch",
        "alr",
        run.name,
        "-n",
        run.namespace,
        "--type=merge",
        "-p",
        json.dumps({"spec": spec}),
    )
