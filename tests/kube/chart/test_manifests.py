"""Every manifest of the chart, as a real API server sees it: without a field that it does not know."""

import pytest
from kubernetes import client

from helm.chart import MATRIX, one, render

pytestmark = [pytest.mark.kube, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def places(_running):
    """The namespaces that the sets of values name."""
    _running.start_missing()
    names = ("lab-a", "lab-b")
    for name in names:
        _running.kubectl("create", "namespace", name)
    yield
    for name in names:
        _running.kubectl("delete", "namespace", name, "--wait=false")


@pytest.mark.parametrize("values", [pytest.param(values, id=name) for name, values in MATRIX.items()])
def test_the_api_server_accepts_every_manifest(cluster, places, monitoring_kinds, values):
    things = render(values)
    one(things, "Pod")["spec"]["serviceAccountName"] = "default"  # its own is only said to be made

    strictly = ("--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict")
    done = cluster.kubectl("apply", *strictly, "-f", "-", stdin=things)

    assert len(done.stdout.splitlines()) == len(things)
    assert done.stderr == ""  # no warnings either


def test_its_pods_are_allowed_where_pods_are_restricted(cluster, namespace):
    core = client.CoreV1Api(cluster.client())
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    core.patch_namespace(namespace, {"metadata": {"labels": labels}})
    things = render()
    specs = [one(things, kind)["spec"]["template"]["spec"] for kind in ("Deployment", "Job")]
    specs.append(one(things, "Pod")["spec"])

    for number, spec in enumerate(specs):
        pod = {"metadata": {"name": f"pod-{number}"}, "spec": {**spec, "serviceAccountName": "default"}}
        core.create_namespaced_pod(namespace, pod, dry_run="All")


def test_people_with_kubernetes_own_roles_may_use_runs(cluster, namespace, install, eventually):
    install()
    for user, role in {"looks": "view", "works": "edit"}.items():
        cluster.add_actor(user, user=user)
        words = ("create", "rolebinding", user, f"--clusterrole={role}", f"--user={user}", "-n", namespace)
        cluster.kubectl(*words)

    def may(user, verb):
        question = ("auth", "can-i", verb, "autolfadsruns", "-n", namespace)
        done = cluster.kubectl(*question, actor=user, check=False)
        return done.stdout.strip() == "yes"

    eventually(
        lambda: may("looks", "list") and may("works", "create")
    )  # Kubernetes adds it up in its own time
    assert not may("looks", "create")
    assert may("works", "list")
