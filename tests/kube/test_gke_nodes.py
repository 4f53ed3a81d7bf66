"""Nodes that come with pending pods and go when idle, as GKE's autoscaler does; see gke/autoscaler.py."""

import pytest
from google.cloud import container_v1
from kubernetes import client

from autolfads_operator.manifests.node_pool import node_pool
from autolfads_operator.pools import WantedPool
from gke.project import CLUSTER

pytestmark = pytest.mark.kube

POOL = WantedPool(
    name="alr-l4-0123abcd",
    machine_type="g2-standard-8",
    accelerator="nvidia-l4",
    accelerators_per_node=1,
    provisioning="Spot",
    zones=(),
    max_nodes=2,
    driver_version="Default",
    labels={},
    spec_hash="0123abcd",
)


@pytest.fixture
def pool(cluster_manager):
    """A running pool of at most two spot nodes with an L4."""
    request = container_v1.CreateNodePoolRequest(parent=CLUSTER, node_pool=node_pool("lab-install", POOL))
    cluster_manager.answer("CreateNodePool", request)
    cluster_manager.finish()
    return POOL.name


class Pods:
    def __init__(self, cluster, namespace):
        self.core, self.namespace = client.CoreV1Api(cluster.client()), namespace

    def add(self, name):
        """One that wants an L4, as the operator's workers do."""
        resources = {"requests": {"cpu": "4", "memory": "16Gi"}, "limits": {"nvidia.com/gpu": "1"}}
        spec = {
            "containers": [{"name": "ray", "image": "none", "resources": resources}],
            "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        }
        self.core.create_namespaced_pod(self.namespace, {"metadata": {"name": name}, "spec": spec})

    def remove(self, name):
        self.core.delete_namespaced_pod(name, self.namespace, grace_period_seconds=0)

    def nodes(self):
        """Where the running ones run, by their names."""
        found = self.core.list_namespaced_pod(self.namespace).items
        return {pod.metadata.name: pod.spec.node_name for pod in found if pod.status.phase == "Running"}

    def failures(self):
        events = self.core.list_namespaced_event(self.namespace, field_selector="reason=FailedScaleUp").items
        return [event.message for event in events]


@pytest.fixture
def pods(cluster, namespace):
    return Pods(cluster, namespace)


def test_nodes_come_with_pending_pods_and_go_when_idle(cluster_manager, autoscaler, pool, pods, eventually):
    for name in ("a", "b", "c"):
        pods.add(name)
    eventually(lambda: len(pods.nodes()) == 2, seconds=60)
    machines = cluster_manager.running(pool)
    placed = pods.nodes()
    node = pods.core.read_node(next(iter(placed.values())))
    for name in ("a", "b", "c"):
        pods.remove(name)
    eventually(lambda: not cluster_manager.running(), seconds=60)
    eventually(lambda: not pods.core.list_node(label_selector=f"cloud.google.com/gke-nodepool={pool}").items)

    assert set(placed.values()) == {machine.name for machine in machines}
    assert node.metadata.labels["cloud.google.com/gke-spot"] == "true"
    assert node.metadata.labels["topology.kubernetes.io/zone"].startswith("us-central1-")
    assert [taint.key for taint in node.spec.taints] == ["nvidia.com/gpu"]
    began = min(machine.began for machine in machines)
    assert 0 < cluster_manager.bill()[pool] < 2 * (cluster_manager.now() - began)


def test_a_stockout_is_told_and_ends_with_the_next_machine(
    cluster_manager, autoscaler, pool, pods, eventually
):
    cluster_manager.stock_out("nvidia-l4")
    pods.add("a")
    (message,) = eventually(pods.failures, seconds=60)
    (condition,) = cluster_manager.pools[pool].conditions
    cluster_manager.restock()
    eventually(pods.nodes, seconds=60)

    assert "GCE out of resources" in message
    assert condition.code.name == "GCE_STOCKOUT"
    assert not cluster_manager.pools[pool].conditions


def test_a_preempted_machine_takes_its_pods_along(cluster_manager, autoscaler, pool, pods, eventually):
    pods.add("a")
    eventually(pods.nodes, seconds=60)
    (machine,) = cluster_manager.running(pool)
    cluster_manager.preempt(machine)

    eventually(lambda: not pods.nodes())
    assert pods.core.read_namespaced_pod("a", pods.namespace).status.reason == "Terminated"


def test_a_deleted_pool_takes_its_nodes_along(cluster_manager, autoscaler, pool, pods, eventually):
    pods.add("a")
    eventually(pods.nodes, seconds=60)
    request = container_v1.DeleteNodePoolRequest(name=f"{CLUSTER}/nodePools/{pool}")
    cluster_manager.answer("DeleteNodePool", request)

    eventually(
        lambda: not pods.core.list_node(label_selector="cloud.google.com/gke-nodepool").items, seconds=60
    )
    assert cluster_manager.running() == []
