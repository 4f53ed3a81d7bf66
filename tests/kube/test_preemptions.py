"""Workers that lose their machines are counted, once each, whoever looks and however short they are seen."""

import pytest
from kubernetes import client

pytestmark = [pytest.mark.kube, pytest.mark.timeout(300)]


@pytest.fixture
def pods(cluster, namespace):
    """Makes and takes away worker pods of a run, as KubeRay and a spot node do."""
    return Pods(client.CoreV1Api(cluster.client()), namespace)


class Pods:
    def __init__(self, core, namespace):
        self.core, self.namespace = core, namespace

    def make(self, name, job):
        labels = {**job["metadata"]["labels"], "ray.io/node-type": "worker"}
        pod = {
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "nodeName": "a-node-that-is-not-there",
                "containers": [{"name": "ray", "image": "none"}],
                "tolerations": [{"operator": "Exists"}],
                "terminationGracePeriodSeconds": 0,
            },
        }
        self.core.create_namespaced_pod(self.namespace, pod)

    def end(self, name):
        """As kubelet does when its node is told to end."""
        told = {"phase": "Failed", "reason": "Terminated", "message": "imminent node shutdown"}
        self.core.patch_namespaced_pod_status(name, self.namespace, {"status": told})

    def remove(self, name):
        self.core.delete_namespaced_pod(name, self.namespace, grace_period_seconds=0)


def preemptions(run):
    return run.status.get("progress", {}).get("preemptions")


def test_lost_workers_are_counted_once_also_by_the_next_operator(run, start, eventually, pods):
    first = start()
    run.apply()
    eventually(run.is_started)
    run.drive()
    eventually(lambda: preemptions(run) == 0)
    (job,) = run.ray_jobs().values()
    for name in ("spot-1", "spot-2", "well"):
        pods.make(name, job)

    pods.end("spot-1")
    pods.remove("spot-1")  # KubeRay does so at once
    eventually(lambda: preemptions(run) == 1)
    eventually(lambda: "workersLost" not in run.status["progress"])
    assert "Preempted" in run.events()
    assert "autolfads_preemptions_total 1.0" in first.ask("/metrics")[1]

    first.stop()
    pods.end("spot-2")
    start()
    eventually(lambda: preemptions(run) == 2)
    assert run.status["progress"]["workersLost"] == ["spot-2"]
    pods.remove("spot-2")
    pods.remove("well")  # by hand: its machine was not taken away
    eventually(lambda: "workersLost" not in run.status["progress"])
    assert preemptions(run) == 2
