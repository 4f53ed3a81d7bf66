"""Whatever breaks under a run that really trains, it goes on by itself and ends with the same weights.

One run takes most of it, one fault after the other, in a bucket so slow that it lasts: machines that come and
go take longer than all its training. Each fault is a row of the list of faults in the design, and a subtest
or a test of its name. The oracle is the same run outside of the cluster.
"""

import datetime
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import h5py
import numpy as np
import pytest
from kubernetes import client

from autolfads_spec.cost import CostRecord
from autolfads_spec.store import open_store
from kube.lorenz import LASTING, TWO_WORKERS, Lorenz
from kube.nodes.node import start_node
from kube.operator_process import unable_to_write_status
from kube.storage import RECORD, SOCKETS

pytestmark = [pytest.mark.kube, pytest.mark.gcs, pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(2400)]

# A generation takes so long to commit; the last ones wait for the faults to be over.
SECONDS, LAST = 4, 50


@dataclass
class Trained:
    """A run that really trains, and what each fault finds and leaves.

    Attributes:
      committed: attempt and driver of each generation when the fault came, which stay as they are.
    """

    run: Lorenz
    eventually: Callable
    committed: list

    def look(self):
        self.committed = self.run.drivers() if self.run.read() else []

    @property
    def attempt(self):
        return self.run.status["attempt"]

    def goes_on(self, *attempts):
        """Waits for a generation by another driver; what was committed stays as it was."""
        earlier = set(self.committed)

        def has_gone_on():
            is_further = self.run.generations > len(self.committed)
            return is_further and self.run.drivers()[-1] not in earlier

        self.eventually(has_gone_on, seconds=600, pause=0.5)
        status = self.run.status
        assert status["phase"] != "Failed", status["message"]
        assert status["attempt"] in attempts
        assert self.run.drivers()[: len(self.committed)] == self.committed


def operator_is_killed_once_it_has_made_the_ray_job(trained):
    run = trained.run
    with unable_to_write_status(run.cluster):
        run.apply(population=LASTING, compute=TWO_WORKERS)
        trained.eventually(lambda: "lorenz-a01" in run.ray_jobs(), seconds=60)
        run.operator.kill()
    assert "attempt" not in run.status
    (made,) = run.ray_jobs().values()
    run.operator.start()

    trained.goes_on(1)
    (found,) = run.ray_jobs().values()
    assert found["metadata"]["uid"] == made["metadata"]["uid"]


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


# For a worker's pod: stops what trains there in the middle of a generation, where it stays and costs nothing.
# A process of Ray is called what it is doing, and one that is stopped keeps its name.
STOP_IN_TRAINING = """
import os, pathlib, signal, time

def trains(process):
    try:
        return (process / "cmdline").read_bytes().startswith(b"ray::CohortWorker.train")
    except OSError:
        return False

while True:
    for process in filter(trains, pathlib.Path("/proc").glob("[0-9]*")):
        os.kill(int(process.name), signal.SIGSTOP)
        time.sleep(0.1)
        if trains(process):
            raise SystemExit
        os.kill(int(process.name), signal.SIGCONT)
    time.sleep(0.005)
"""


def inside(run, pod, *words):
    """What a command prints in one of the run's pods."""
    return run.cluster.kubectl("exec", pod, "-n", run.namespace, "--", "timeout", "300", *words).stdout


def a_spot_machine_is_taken_away(trained):
    """It costs no attempt and disturbs nobody else."""
    run = trained.run
    lost, other = run.pods("worker")
    (head,) = run.pods("head")
    before = pods_by_name(run)
    inside(run, lost, "python", "-c", STOP_IN_TRAINING)
    under_way = len(run.drivers())
    # What a kubelet writes when its machine is being taken away; ours then ends the pod's processes.
    told = {"phase": "Failed", "reason": "Terminated", "message": "imminent node shutdown"}
    core = client.CoreV1Api(run.cluster.client())
    core.patch_namespaced_pod_status(lost, run.namespace, {"status": told})

    trained.eventually(lambda: run.status["progress"].get("preemptions") == 1)
    trained.eventually(lambda: "Preempted" in run.events())
    trained.eventually(lambda: run.generations > under_way, seconds=300)  # the one under way is completed
    told = inside(run, head, "bash", "-c", "cat /tmp/ray/session_latest/logs/job-driver-*.log")
    assert re.findall(r"in generation (\d+); it is done again on another one", told) == [str(under_way)]
    trained.eventually(lambda: len(run.pods("worker")) == 2, seconds=60)
    after = pods_by_name(run)
    assert lost not in run.pods("worker")
    assert {name: after[name] for name in (other, head)} == {name: before[name] for name in (other, head)}
    assert (run.status["attempt"], len(set(run.drivers()))) == (1, 1)
    assert run.status["progress"]["preemptions"] == 1


def fewer_workers_are_asked_for(trained):
    """One goes, which is no preemption, and the run goes on with the other."""
    run = trained.run
    run.patch(compute={"workers": {"desired": 1}})
    trained.eventually(lambda: len(run.pods("worker")) == 1, seconds=60)
    before = run.generations

    trained.eventually(lambda: run.generations > before + 1, seconds=300)  # the next one began without it
    assert (run.status["attempt"], len(set(run.drivers()))) == (1, 1)
    assert (len(run.pods("worker")), run.status["progress"]["preemptions"]) == (1, 1)


def the_head_is_killed(trained):
    """It costs at most a generation."""
    run, before = trained.run, trained.attempt
    (head,) = run.pods("head")
    run.cluster.kubectl("delete", "pod", head, "-n", run.namespace, "--force", "--grace-period=0")

    # KubeRay makes another head and submits the driver again, or gives up: then it is another attempt.
    trained.goes_on(before, before + 1)
    assert run.pods("head") != [head]


def the_ray_job_is_deleted_by_hand(trained):
    """Another attempt follows."""
    run, before = trained.run, trained.attempt
    where = ("ray.io", "v1", run.namespace, "rayjobs", f"lorenz-a{before:02d}")
    deleted = run.custom.delete_namespaced_custom_object(*where)["metadata"]["deletionTimestamp"]

    trained.eventually(lambda: run.is_started(before + 1), seconds=300)
    made = run.ray_jobs()[f"lorenz-a{before + 1:02d}"]["metadata"]["creationTimestamp"]
    waited = datetime.datetime.fromisoformat(made) - datetime.datetime.fromisoformat(deleted)
    assert waited.total_seconds() <= 30  # what the design allows
    trained.goes_on(before + 1)
    assert run.status["attempts"][before - 1]["endReason"] == "RayJobDeleted"
    assert "AttemptFailed" in run.events()


def the_ray_cluster_is_deleted_by_hand(trained):
    """It costs at most a generation."""
    run, before = trained.run, trained.attempt
    (ray_cluster,) = run.clusters()
    name = ray_cluster["metadata"]["name"]
    run.cluster.kubectl("delete", "raycluster", name, "-n", run.namespace, "--wait=false")

    # KubeRay makes another cluster of the same attempt and submits the driver again, or gives up.
    trained.goes_on(before, before + 1)


def cost(run):
    """What is kept in the output folder."""
    return CostRecord.model_validate_json(run.store.read("cost.json").content)


def the_run_is_suspended_twice(trained):
    """It gives its machines back, and goes on with others."""
    run, before = trained.run, trained.attempt
    for is_wanted in (True, False, True):  # as fast as kubectl is
        run.patch(suspend=is_wanted)
    trained.eventually(lambda: run.status["phase"] == "Suspended", seconds=300)
    assert run.ray_jobs() == {}
    trained.eventually(lambda: run.pods("worker") + run.pods("head") == [], seconds=60)
    trained.eventually(lambda: not cost(run).present, seconds=60)
    trained.look()
    used = cost(run)
    assert 1 <= len(trained.committed) < LASTING["generations"]

    larger = {"cpu": "150m", "memory": "2100Mi"}
    run.patch(compute={"head": larger})
    time.sleep(10)
    assert (run.status["phase"], run.ray_jobs()) == ("Suspended", {})
    assert used.amount > 0
    # The clock goes on, the cost does not.
    assert (cost(run).amount, cost(run).present) == (used.amount, ())
    run.patch(suspend=False)

    trained.eventually(lambda: run.pods("head"), seconds=120)
    (job,) = run.ray_jobs().values()
    head = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    assert head["resources"]["requests"] == larger
    # The first pause may have been over before it was taken back: then the second one was of an attempt too.
    trained.goes_on(before + 1, before + 2)
    assert "Paused" in run.events()


FAULTS = (
    operator_is_killed_once_it_has_made_the_ray_job,
    a_spot_machine_is_taken_away,
    fewer_workers_are_asked_for,
    the_head_is_killed,
    the_ray_job_is_deleted_by_hand,
    the_ray_cluster_is_deleted_by_hand,
    the_run_is_suspended_twice,
)


@pytest.fixture
def ends_the_same(lorenz, undisturbed, eventually):
    """Waits until the run is complete, and compares; what was committed before a fault was not repeated."""

    def check(population, *attempts, committed):
        eventually(lambda: lorenz.status.get("phase") in ("Succeeded", "Failed"), seconds=900, pause=0.5)
        status = lorenz.status
        assert status["phase"] == "Succeeded", status["message"]
        assert status["attempt"] in attempts
        assert lorenz.differing(undisturbed(**population)) == []
        numbers = [name for name in lorenz.store.names() if re.fullmatch(r"generations/\d+\.json", name)]
        assert len(numbers) == population["generations"]
        assert lorenz.drivers()[: len(committed)] == list(committed)

    return check


@SOCKETS
def test_a_run_takes_one_fault_after_the_other(
    subtests, storage, lorenz, undisturbed, eventually, ends_the_same
):
    undisturbed(**LASTING)
    storage.pace(SECONDS, almost_still_from=LAST)
    trained = Trained(lorenz, eventually, committed=[])
    for fault in FAULTS:
        with subtests.test(fault.__name__):
            trained.look()
            fault(trained)
    storage.hurry()

    ends_the_same(LASTING, trained.attempt, committed=trained.committed)
    # The first one, and one for each fault but three, none of which has cost more; but there were two pauses.
    assert len(set(lorenz.drivers())) in (5, 6)


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
    storage.pace(SECONDS, almost_still_from=LAST)
    lorenz.apply(population=LASTING)
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
    storage.hurry()

    ends_the_same(LASTING, 2, committed=committed)
    assert lorenz.status["attempts"][0]["endReason"] == "DriverStalled"
    assert "attempts/01/end.json" not in lorenz.store.names()  # nor has it had a last word
    subnet = doomed_node.address.rpartition(".")[0] + "."
    old = [write for write in storage.writes if write.client.startswith(subnet)]
    refused = [write for write in old if write.status == 412 and write.name.endswith("manifest.json")]
    assert refused
    # The one request that was on its way beside the heartbeat may arrive long after its process has ended. If
    # it is not refused too, it is for a file to which no manifest points.
    late = [write.name for write in old if write.at >= refused[0].at and write.status != 412]
    assert len(late) <= 1, late
    assert all("attempt_01-" in name or RECORD.search(name) for name in late if name), late
