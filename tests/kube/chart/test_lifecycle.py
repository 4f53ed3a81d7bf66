"""Installed, upgraded, downgraded and uninstalled under a run: nothing is disturbed, nothing hangs."""

import datetime
import functools
import re
import subprocess
import sys
import time

import pytest
import yaml
from kubernetes import client

from autolfads_operator.manifests.names import FINALIZER
from autolfads_operator.prices import OWN_TABLE
from autolfads_spec.attempt import AttemptEnd, Wish
from helm.chart import ROOT, render
from kube.chart.release import as_service_account
from kube.runs import Run

pytestmark = [pytest.mark.kube, pytest.mark.timeout(300)]

IMAGES = {"worker": {"image": {"repository": "localhost/worker", "tag": "1"}}}
OWN_PRICES = {"priceTable": yaml.safe_load(OWN_TABLE.read_text())}
# Pauses are shorter than those of a real installation.
AT_ONCE = ("--pause-seconds", "3", "--seconds", "100")


def made(run):
    """What must not change under a run that is left alone."""
    (job,) = run.ray_jobs().values()
    (ray_cluster,) = run.clusters()
    return (
        job["metadata"]["uid"],
        job["metadata"]["generation"],
        ray_cluster["metadata"]["uid"],
        ray_cluster["metadata"]["generation"],
        run.read()["metadata"]["generation"],
        run.status["attempt"],
    )


def crd_uid(cluster):
    api = client.ApiextensionsV1Api(cluster.client())
    return api.read_custom_resource_definition("autolfadsruns.autolfads.dev").metadata.uid


@pytest.fixture
def begin(run, eventually):
    """begin(release): its operator, which has started the run; the driver has begun."""

    def with_operator(release):
        operator = release.operator()
        run.apply()
        eventually(run.is_started)
        run.drive(generation=0)
        eventually(lambda: run.condition("DataReady").get("status") == "True")
        eventually(lambda: run.clusters())
        return operator

    return with_operator


@pytest.fixture
def trains(install, begin):
    """A release whose operator has started a run; its driver has begun: (release, operator)."""
    release = install(**IMAGES, **OWN_PRICES)
    return release, begin(release)


def test_the_operator_works_with_the_rights_and_settings_of_the_chart(trains, run):
    release, _ = trains

    (job,) = run.ray_jobs().values()
    head = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    assert head["containers"][0]["image"] == "localhost/worker:1"
    refused = [event["requestURI"] for event in release.asked() if event["responseStatus"].get("code") == 403]
    assert refused == []
    assert release.status()["info"]["status"] == "deployed"


def knows_gpu_hours(run):
    """Whether the API server has the kind with spec.budget.maxGpuHours."""
    strictly = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-")
    wanted = run.described(budget={"maxGpuHours": 5})
    done = run.cluster.kubectl(*strictly, stdin=wanted, actor="user", check=False)
    assert done.returncode == 0 or "maxGpuHours" in done.stderr, done.stderr
    return done.returncode == 0


def test_an_upgrade_of_the_kind_and_a_downgrade_leave_a_run_that_trains_alone(
    cluster, install, older_chart, begin, run, eventually
):
    release = install(older_chart, **IMAGES, crds={"install": True})
    eventually(lambda: not knows_gpu_hours(run))
    operator = begin(release)
    before, kind = made(run), crd_uid(cluster)

    upgrade = functools.partial(release.upgrade, "9.0.0", settings={"pollRunningSeconds": 1})
    for step, is_known in ((upgrade, True), (release.rollback, False)):
        step()
        eventually(lambda is_known=is_known: knows_gpu_hours(run) == is_known)
        operator.stop()  # Recreate: the old one first
        operator = release.operator()
        generation = run.status["progress"]["generation"]
        run.drive(generation=generation)
        eventually(lambda generation=generation: run.status["progress"]["generation"] == generation + 1)

    assert made(run) == before
    assert crd_uid(cluster) == kind
    (container,) = release.deployment["spec"]["template"]["spec"]["containers"]
    assert not container["image"].endswith("9.0.0")  # the rollback was one


def test_the_kind_is_taken_over_by_the_chart_and_stays_when_the_chart_goes(cluster, trains, run):
    release, _ = trains
    before, kind = made(run), crd_uid(cluster)

    release.upgrade("9.0.1", crds={"install": True})
    assert annotation(cluster, "meta.helm.sh/release-name") == "lfads"
    release.uninstall()

    assert (made(run), crd_uid(cluster)) == (before, kind)


def annotation(cluster, name):
    api = client.ApiextensionsV1Api(cluster.client())
    return api.read_custom_resource_definition("autolfadsruns.autolfads.dev").metadata.annotations.get(name)


def test_with_some_namespaces_a_run_needs_roles_only(install, run, eventually):
    release = install(**IMAGES, watchNamespaces=[run.namespace], rbac={"userRoles": False})
    release.operator()
    run.apply()
    eventually(run.is_started)
    run.drive(generation=1)
    eventually(lambda: run.status["progress"]["summary"] == "2/4")
    run.delete()
    eventually(lambda: run.read() is None, seconds=90)

    refused = {
        event["objectRef"]["resource"]
        for event in release.asked()
        if event["responseStatus"].get("code") == 403
    }
    # Questions of the whole cluster, which the operator can do without.
    assert refused <= {"customresourcedefinitions", "nodes"}


def test_the_helm_test_finds_an_operator_that_works_and_one_that_does_not(
    cluster, install, namespace, tmp_path
):
    release = install(**IMAGES)
    name = "lfads-autolfads-operator-test"
    cluster.kubectl("create", "serviceaccount", name, "-n", namespace)
    rights = ("create", "role", name, "--verb=get,create,delete", "--resource=autolfadsruns.autolfads.dev")
    cluster.kubectl(*rights, "-n", namespace)
    binding = ("create", "rolebinding", name, f"--role={name}", f"--serviceaccount={namespace}:{name}")
    cluster.kubectl(*binding, "-n", namespace)
    kubeconfig = as_service_account(cluster, namespace, name, tmp_path)
    where = ("--namespace", namespace, "--output", "gs://nowhere-at-all/none")

    def tested(seconds):
        words = (sys.executable, "-m", "autolfads_operator.selftest", *where, "--seconds", str(seconds))
        environment = {"AUTOLFADS_KUBECONFIG": str(kubeconfig), "PATH": "/usr/bin:/bin"}
        return subprocess.run(words, env=environment, capture_output=True, text=True)

    without = tested(2)
    release.operator()
    found = tested(60)

    assert (without.returncode, "no word of any operator" in without.stderr) == (1, True)
    assert (found.returncode, found.stdout) == (0, "accepted: the spec is valid\n"), found.stderr


def test_uninstalling_lets_a_driver_commit_and_gives_its_machines_back(cluster, trains, run, eventually):
    release, operator = trains
    with release.begin_drain("--pause-seconds", "60", "--seconds", "90") as drain:
        eventually(lambda: "wish.json" in run.store.names())
        assert Wish.model_validate_json(run.store.read("wish.json").content).pause
        run.store.write("attempts/01/end.json", ended("paused").to_bytes())
        told = "".join(drain.communicate(timeout=120))

    assert drain.returncode == 0, told
    check_released(run)
    assert run.status["attempts"][0]["endReason"] == "PausedByUser"
    operator.stop()
    release.uninstall()
    results = set(run.store.names())
    cluster.kubectl("delete", "alr", run.name, "-n", run.namespace, "--timeout=30s", actor="user")
    assert set(run.store.names()) == results


def ended(end_class):
    """What a driver says when it ends."""
    now = datetime.datetime.now(datetime.UTC).isoformat()
    return AttemptEnd(
        attempt=1, driver_epoch=1, end_class=end_class, message="as the test says", generation=0, ended_at=now
    )


def test_uninstalling_does_not_wait_for_a_driver_that_does_not_answer(trains, run):
    release, _ = trains
    began = time.monotonic()

    told = release.drain(*AT_ONCE)

    assert time.monotonic() - began < 90
    assert f"{run.namespace}/reach: suspended; set spec.suspend to false to go on" in told
    check_released(run)


def check_released(run):
    """The run is there, suspended, holds nothing, and nothing keeps it."""
    found = run.read()
    assert found["spec"]["suspend"] is True
    assert FINALIZER not in found["metadata"].get("finalizers", ())
    assert (run.ray_jobs(), run.clusters()) == ({}, [])


def test_a_run_goes_on_after_the_chart_was_installed_again(trains, run, install, eventually):
    release, operator = trains
    release.drain(*AT_ONCE)
    operator.stop()
    release.uninstall()

    again = install(**IMAGES)
    again.operator()
    eventually(lambda: run.status.get("phase") == "Suspended", seconds=60)
    assert run.ray_jobs() == {}
    run.patch(suspend=False)

    eventually(lambda: run.is_started(2), seconds=60)


def managed_pools(cluster_manager):
    """Values with which an operator makes node pools in this Google Cloud."""
    google = cluster_manager.settings
    endpoints = {name: google[name] for name in google if name not in ("CLUSTER", "INSTALL_ID")}
    return {
        "gke": {"cluster": google["CLUSTER"], "managePools": True},
        "extraEnv": [{"name": f"AUTOLFADS_{name}", "value": value} for name, value in endpoints.items()],
    }


@pytest.fixture
def gets_gpu_nodes(cluster_manager, autoscaler, eventually):
    """gets_gpu_nodes(run, mode): it is applied, and two nodes of a pool that was made for it run."""

    def until_they_run(run, mode):
        compute = {
            "accelerator": {"type": "nvidia-l4"},
            "workers": {"desired": 2},
            "nodePool": {"mode": mode},
        }
        run.apply(compute=compute)
        eventually(run.clusters, seconds=60)
        run.drive(generation=0)
        eventually(lambda: len(cluster_manager.running()) == 2, seconds=90)
        return run

    return until_they_run


def test_uninstalling_leaves_no_gpu_node(install, run, cluster_manager, gets_gpu_nodes, eventually):
    release = install(**IMAGES, **managed_pools(cluster_manager))
    release.operator()
    gets_gpu_nodes(run, "Shared")

    release.drain("--pause-seconds", "3", "--seconds", "100")

    assert cluster_manager.pools == {}
    eventually(lambda: not cluster_manager.running(), seconds=60)
    check_released(run)


def test_a_run_that_has_ended_goes_when_its_time_is_over(cluster, run, start, eventually):
    start()
    run.apply(ttl={"runAfterFinished": "1s"})
    eventually(run.is_started)
    run.drive()
    run.store.write("attempts/01/end.json", ended("bad-input").to_bytes())
    cluster.kubectl("delete", "rayjob", "reach-a01", "-n", run.namespace, "--wait=false")

    eventually(lambda: run.read() is None, seconds=90)
    assert "manifest.json" in run.store.names()


def test_a_namespace_is_deleted_with_its_runs_and_their_gpu_nodes_while_the_operator_works(
    cluster, another_namespace, bucket, start, cluster_manager, gets_gpu_nodes, eventually
):
    start(**cluster_manager.settings, NAMESPACES=another_namespace.name)
    run = gets_gpu_nodes(Run(cluster, another_namespace.name, bucket), "Dedicated")

    cluster.kubectl("delete", "namespace", run.namespace, "--timeout=90s")

    assert cluster_manager.pools == {}  # before the namespace went
    eventually(lambda: not cluster_manager.running(), seconds=60)
    assert {"lease.json", "manifest.json"} <= set(run.store.names())


def test_a_namespace_is_deleted_at_once_after_the_chart_is_gone(
    cluster, install, another_namespace, bucket, cluster_manager, gets_gpu_nodes
):
    release = install(**IMAGES, **managed_pools(cluster_manager))
    operator = release.operator()
    run = gets_gpu_nodes(Run(cluster, another_namespace.name, bucket), "Dedicated")
    release.drain("--pause-seconds", "3", "--seconds", "100")
    operator.stop()
    release.uninstall()
    assert cluster_manager.pools == {}

    cluster.kubectl("delete", "namespace", run.namespace, "--timeout=60s")


def test_what_an_operator_that_vanished_left_is_freed_by_the_documented_command(
    cluster, another_namespace, bucket, start, eventually, tmp_path
):
    operator = start()
    run = Run(cluster, another_namespace.name, bucket).apply()
    eventually(run.is_started)
    operator.kill()
    cluster.kubectl("delete", "namespace", run.namespace, "--wait=false")
    eventually(lambda: "deletionTimestamp" in run.read()["metadata"], seconds=60)
    time.sleep(1)
    assert run.read() is not None  # its finalizer keeps it

    text = (ROOT / "docs/install.md").read_text().partition("## When a run does not go")[2]
    command = re.search(r"```sh\n(.*?)```", text, re.S)[1].replace("NAMESPACE", run.namespace)
    (tmp_path / "kubectl").symlink_to(cluster.binary("kubectl"))
    admin = str(cluster.kubeconfig("admin"))
    tools = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path), "KUBECONFIG": admin}
    strictly = ("bash", "-euo", "pipefail", "-c")
    done = subprocess.run((*strictly, command), env=tools, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    eventually(lambda: run.read() is None)


def test_the_bound_of_a_drain_is_below_that_of_its_job():
    (job,) = [thing for thing in render() if thing["kind"] == "Job"]
    seconds = int(job["spec"]["template"]["spec"]["containers"][0]["args"][-1])

    assert seconds + 30 < job["spec"]["activeDeadlineSeconds"] <= 300  # helm's own patience
