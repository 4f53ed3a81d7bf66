"""`node`: a real node for the tests of a module, with two GPUs that are not there; `run`: pods on it."""

import json

import pytest

from kube.nodes.node import start_node


@pytest.fixture(scope="module")
def node(_running):
    node = start_node(_running, capacity={"nvidia.com/gpu": "2"})
    yield node
    node.close()


@pytest.fixture
def run(cluster, namespace, node, eventually):
    """Create pods and wait until each is in the phase that is asked for; the last one's status."""

    def status(name):
        found = cluster.kubectl("get", "pod", name, "-n", namespace, "-o", "json")
        return json.loads(found.stdout)["status"]

    def run(*pods, phase="Succeeded"):
        for one in pods:
            one["metadata"]["namespace"] = namespace
        cluster.apply(*pods)
        for one in pods:
            eventually(lambda name=one["metadata"]["name"]: status(name)["phase"] == phase, seconds=120)
        return status(pods[-1]["metadata"]["name"])

    run.status = status
    return run
