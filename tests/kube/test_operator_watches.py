"""What the operator sees when watches break, kinds come and go, and its rights end at a namespace."""

import base64
import json
import os
import signal
import time
import urllib.request

import pytest
from kubernetes import client

from kube import ray_kinds

pytestmark = [pytest.mark.kube, pytest.mark.timeout(300)]


def ask_etcd(cluster, path, question):
    request = urllib.request.Request(
        f"http://127.0.0.1:{cluster.etcd.port}/v3/{path}", json.dumps(question).encode()
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def compact(cluster):
    """Forget all earlier versions of everything, so that no watch can go on where it was."""
    key = base64.b64encode(b"/").decode()
    revision = ask_etcd(cluster, "kv/range", {"key": key})["header"]["revision"]
    ask_etcd(cluster, "kv/compaction", {"revision": revision, "physical": True})


def test_a_deletion_during_a_lost_watch_is_noticed_after_compaction(cluster, run, start, eventually):
    operator = start(LEADER_ELECTION="false", RESYNC_SECONDS="3")
    run.apply()
    eventually(run.is_started)
    os.kill(operator.pid, signal.SIGSTOP)
    cluster.kubectl("delete", "rayjob", "reach-a01", "-n", run.namespace)
    eventually(lambda: "reach-a01" not in run.ray_jobs())
    compact(cluster)
    cluster.apiserver.restart()  # it forgets what it had kept in memory for watches
    os.kill(operator.pid, signal.SIGCONT)

    eventually(lambda: run.is_started(2), seconds=60)
    assert operator.is_alive


class Installation:
    """KubeRay and its CRDs, which come and go."""

    def __init__(self, cluster):
        self._cluster = cluster

    def remove(self):
        self._cluster.kuberay.kill()
        # Its finalizers would hold up the CRDs, for as long as it asks heads that no longer answer.
        for namespace, name in self._ray_jobs():
            self._cluster.kubectl("create", "namespace", namespace, check=False)  # it may have gone first
            free = ("patch", "rayjob", name, "-n", namespace, "--type=merge")
            self._cluster.kubectl(
                *free, "-p", '{"metadata":{"finalizers":null}}', check=False
            )  # or it is gone
        crds = [f"{kind}.ray.io" for kind in ray_kinds.NAMES]
        self._cluster.kubectl("delete", "crd", "--ignore-not-found", "--timeout=60s", *crds)

    def _ray_jobs(self):
        """Namespace and name of each, other tests' included."""
        left = client.CustomObjectsApi(self._cluster.client()).list_cluster_custom_object(
            "ray.io", "v1", "rayjobs"
        )
        return [(job["metadata"]["namespace"], job["metadata"]["name"]) for job in left["items"]]

    def bring_back(self, *, before=False):
        """The one it was, or an older one; in the place of another, kinds go first."""
        other = self._cluster.kuberay.program
        self._cluster.install_kuberay(before=before)
        if self._cluster.kuberay.program != other:
            self._cluster.kuberay.stop()
        self._cluster.kuberay.start()

    def bring_kinds_of_an_unusable_one(self):
        """Those of 1.5 and older have no field for how long to wait for machines."""
        paths = ray_kinds.files("kuberay")
        crds = {path.stem: json.loads(path.read_text()) for path in paths}
        schema = crds["rayjobs"]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        del schema["properties"]["spec"]["properties"]["preRunningDeadlineSeconds"]
        self._cluster.apply(*crds.values())
        self._cluster.wait_for_kinds()


@pytest.fixture
def installation(cluster):
    installation = Installation(cluster)
    yield installation
    installation.bring_back()


def test_a_run_waits_for_kuberay_and_begins_when_it_is_installed(run, start, eventually, installation):
    operator = start()
    installation.remove()
    eventually(lambda: "kuberay 0.0" in operator.ask("/metrics")[1], seconds=60)
    run.apply()
    eventually(lambda: run.condition("KubeRayCompatible").get("reason") == "KubeRayMissing")
    assert operator.ask("/readyz")[0] == 200
    installation.bring_kinds_of_an_unusable_one()
    eventually(lambda: run.condition("KubeRayCompatible").get("reason") == "TooOld", seconds=60)
    assert run.condition("Progressing")["message"].startswith("waiting for KubeRay 1.6 or newer")
    installation.bring_back()

    eventually(run.is_started, seconds=90)
    assert run.status["attempt"] == 1
    assert operator.is_alive


def test_an_operator_with_rights_in_one_namespace_serves_that_namespace(cluster, run, start, eventually):
    rules = json.loads(cluster.kubectl("get", "clusterrole", "autolfads-operator", "-o=json").stdout)["rules"]
    mine = [rule for rule in rules if rule["apiGroups"] != ["apiextensions.k8s.io"]]
    group, version, user = "rbac.authorization.k8s.io", "rbac.authorization.k8s.io/v1", "operator-of-one"
    leases = {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "verbs": ["get", "create", "update"],
    }
    role = {"apiVersion": version, "kind": "Role", "rules": [*mine, leases]}
    binding = {
        "apiVersion": version,
        "kind": "RoleBinding",
        "roleRef": {"apiGroup": group, "kind": "Role", "name": user},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }
    metadata = {"metadata": {"name": user, "namespace": run.namespace}}
    cluster.apply(role | metadata, binding | metadata)
    kubeconfig = str(cluster.add_actor(user, user=user))
    settings = {"NAMESPACES": run.namespace, "KUBECONFIG": kubeconfig, "LEASE_NAMESPACE": run.namespace}
    operator = start(user, **settings)
    run.apply()
    eventually(run.is_started)

    run.delete()
    eventually(lambda: not run.left(), seconds=90)
    assert "ERROR" not in operator.log.read_text()
    events = cluster.audited(user=user)
    assert [event["requestURI"] for event in events if event["responseStatus"].get("code") == 403] == [
        event["requestURI"] for event in events if "customresourcedefinitions" in event["requestURI"]
    ]


def test_runs_of_a_namespace_that_is_deleted_hold_it_up_for_no_longer_than_they_must(
    cluster, run, start, eventually
):
    start()
    run.apply()
    eventually(run.is_started)
    core = client.CoreV1Api(cluster.client())
    began = time.monotonic()
    core.delete_namespace(run.namespace)

    def is_gone():
        return run.namespace not in [space.metadata.name for space in core.list_namespace().items]

    eventually(is_gone, seconds=120)
    assert time.monotonic() - began < 90
    core.create_namespace({"metadata": {"name": run.namespace}})  # which the fixture expects to delete
