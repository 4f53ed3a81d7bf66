"""What the operator sees when watches break, kinds come and go, and its rights end at a namespace."""

import base64
import json
import os
import signal
import time
import urllib.request

import pytest
from kubernetes import client

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
