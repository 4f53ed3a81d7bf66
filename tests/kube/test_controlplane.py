"""The control plane of the tests is real: each part does what the others and our operator need."""

import json
import ssl
import urllib.error
import urllib.request

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

pytestmark = pytest.mark.kube

RUN = {
    "apiVersion": "autolfads.dev/v1alpha1",
    "kind": "AutoLFADSRun",
    "metadata": {"name": "monkey-reach"},
    "spec": {
        "data": {"uri": "gs://my-lab/reach.mat"},
        "output": {"uri": "gs://my-lab/runs/monkey-reach"},
        "compute": {"accelerator": {"type": "nvidia-l4"}},
    },
}
CONTAINER = {"name": "main", "image": "nowhere.example/nothing", "command": ["nothing"]}
ON_KWOK = {"nodeSelector": {"type": "kwok"}}


@pytest.fixture
def core(cluster):
    return client.CoreV1Api(cluster.client())


@pytest.fixture
def custom(cluster):
    return client.CustomObjectsApi(cluster.client())


@pytest.fixture
def node(cluster):
    cluster.add_node("kwok-0", **{"nvidia.com/gpu": "4"})
    yield "kwok-0"
    cluster.start_missing()
    cluster.remove_node("kwok-0")


def ray_cluster(name):
    def template(kind):
        return {"spec": {"containers": [{"name": kind, "image": "nowhere.example/ray:2.60.0"}], **ON_KWOK}}

    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": name},
        "spec": {
            "headGroupSpec": {"rayStartParams": {}, "template": template("ray-head")},
            "workerGroupSpecs": [
                {
                    "groupName": "workers",
                    "replicas": 2,
                    "minReplicas": 0,
                    "maxReplicas": 2,
                    "rayStartParams": {},
                    "template": template("ray-worker"),
                }
            ],
        },
    }


def test_every_part_says_its_version(cluster):
    version = json.loads(cluster.kubectl("version", "--output=json").stdout)

    assert version["serverVersion"]["gitVersion"] == version["clientVersion"]["gitVersion"]
    assert version["serverVersion"]["minor"] == "35"


def test_a_short_run_gets_every_default(cluster, namespace):
    cluster.apply({**RUN, "metadata": {"name": "reach", "namespace": namespace}}, actor="user")

    words = ("get", "alr", "reach", f"--namespace={namespace}", "--output=json")
    spec = json.loads(cluster.kubectl(*words, actor="user").stdout)["spec"]
    assert spec["population"]["size"] == 20
    assert spec["population"]["generations"] == 50
    assert spec["suspend"] is False
    assert spec["deletionPolicy"] == "Stop"


def test_nobody_but_admin_may_do_everything(cluster, namespace):
    def may(actor, *words):
        done = cluster.kubectl("auth", "can-i", *words, f"--namespace={namespace}", actor=actor, check=False)
        return done.stdout.strip() == "yes"

    assert may("admin", "delete", "nodes")
    assert may("user", "create", "autolfadsruns.autolfads.dev")
    assert may("user", "create", "pods")
    assert not may("user", "patch", "autolfadsruns.autolfads.dev", "--subresource=status")
    assert not may("user", "delete", "nodes")
    assert may("kuberay", "create", "pods")
    assert not may("kuberay", "create", "autolfadsruns.autolfads.dev")
    assert not may("operator", "get", "secrets")
    assert not may("kwok", "create", "pods")


def test_a_pod_is_scheduled_and_runs(core, namespace, node, eventually):
    core.create_namespaced_pod(
        namespace,
        {
            "metadata": {"name": "one"},
            "spec": {
                "containers": [{**CONTAINER, "resources": {"limits": {"nvidia.com/gpu": "4"}}}],
                **ON_KWOK,
            },
        },
    )

    def phase():
        return core.read_namespaced_pod("one", namespace).status.phase

    eventually(lambda: phase() == "Running")
    assert core.read_namespaced_pod("one", namespace).spec.node_name == node


def test_a_pod_that_fits_nowhere_waits(core, namespace, node, eventually):
    core.create_namespaced_pod(
        namespace,
        {
            "metadata": {"name": "large"},
            "spec": {
                "containers": [{**CONTAINER, "resources": {"limits": {"nvidia.com/gpu": "5"}}}],
                **ON_KWOK,
            },
        },
    )

    def unschedulable():
        conditions = core.read_namespaced_pod("large", namespace).status.conditions or ()
        return any(c.type == "PodScheduled" and c.reason == "Unschedulable" for c in conditions)

    eventually(unschedulable)


def test_children_of_a_deleted_run_are_collected(custom, core, namespace, eventually):
    place = ("autolfads.dev", "v1alpha1", namespace, "autolfadsruns")
    run = custom.create_namespaced_custom_object(*place, RUN)
    owner = {
        "apiVersion": RUN["apiVersion"],
        "kind": RUN["kind"],
        "name": run["metadata"]["name"],
        "uid": run["metadata"]["uid"],
        "controller": True,
    }
    core.create_namespaced_config_map(
        namespace, {"metadata": {"name": "monkey-reach-a01", "ownerReferences": [owner]}}
    )

    custom.delete_namespaced_custom_object(*place, "monkey-reach")

    def names():
        return [item.metadata.name for item in core.list_namespaced_config_map(namespace).items]

    eventually(lambda: "monkey-reach-a01" not in names())


def test_kuberay_makes_pods_of_a_ray_cluster(custom, core, namespace, node, eventually):
    place = ("ray.io", "v1", namespace, "rayclusters")
    custom.create_namespaced_custom_object(*place, ray_cluster("rays"))

    def state():
        return custom.get_namespaced_custom_object(*place, "rays").get("status", {}).get("state")

    eventually(lambda: state() == "ready", seconds=60)
    pods = core.list_namespaced_pod(namespace).items
    assert sorted(pod.metadata.labels["ray.io/node-type"] for pod in pods) == ["head", "worker", "worker"]
    assert {pod.spec.node_name for pod in pods} == {node}

    custom.delete_namespaced_custom_object(*place, "rays")
    eventually(lambda: not core.list_namespaced_pod(namespace).items)


def test_everything_goes_on_after_the_api_server_was_killed(cluster, core, namespace, node, eventually):
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "before"}})

    cluster.apiserver.kill()
    refused = cluster.kubectl("get", "nodes", check=False)
    cluster.apiserver.start()

    assert refused.returncode != 0
    assert core.read_namespaced_config_map("before", namespace).metadata.name == "before"
    core.create_namespaced_pod(
        namespace, {"metadata": {"name": "after"}, "spec": {"containers": [CONTAINER], **ON_KWOK}}
    )
    eventually(lambda: core.read_namespaced_pod("after", namespace).status.phase == "Running", seconds=60)


def test_nothing_committed_is_lost_when_etcd_is_killed(cluster, core, namespace, eventually):
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "before"}})

    cluster.etcd.kill()
    cluster.etcd.start()

    def kept():
        try:
            return core.read_namespaced_config_map("before", namespace).metadata.name == "before"
        except ApiException:
            return False

    eventually(kept)


def test_the_audit_log_says_who_asked_for_what(cluster, namespace):
    cluster.kubectl("get", "pods", f"--namespace={namespace}", actor="user")

    asked = [
        (event["verb"], event["objectRef"]["resource"], event["responseStatus"]["code"])
        for event in cluster.audited("user")
        if event.get("objectRef", {}).get("namespace") == namespace
    ]
    assert ("list", "pods", 200) in asked


def test_the_audit_log_is_read_though_somebody_unknown_has_asked(cluster):
    before = len(cluster.audited())
    authority = ssl.create_default_context(cafile=cluster.client().configuration.ssl_ca_cert)
    asked = urllib.request.Request(
        f"{cluster.url}/api", headers={"Authorization": "Bearer of-a-pod-long-gone"}
    )
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(asked, context=authority, timeout=30)

    assert [event for event in cluster.audited()[before:] if not event["user"]]
