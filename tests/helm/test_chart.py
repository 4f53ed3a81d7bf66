"""The chart, as helm 3 and helm 4 read it: every set of values renders, and mistakes are told in words."""

import re
from pathlib import Path

import pytest
import yaml

from autolfads_operator import drain, prices, selftest
from autolfads_operator.events import EventReason
from autolfads_operator.manifests.names import ALL_RUNS_SELECTOR
from autolfads_operator.metrics import Metrics
from autolfads_operator.settings import OperatorSettings, misspelt
from helm.chart import (
    CHART,
    DIGEST,
    GOLDEN_RIGHTS,
    MATRIX,
    ROOT,
    environment,
    golden_rights,
    helm,
    one,
    render,
    template,
)
from helm.program import VERSIONS

ALL = [pytest.param(values, id=name) for name, values in MATRIX.items()]


def pods(things):
    """Every pod of the chart, by what makes it."""
    return {
        f"{thing['kind']}/{thing['metadata']['name']}": thing["spec"].get("template", thing)["spec"]
        for thing in things
        if thing["kind"] in ("Deployment", "Job", "Pod")
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_helm_has_nothing_to_say_against_it(version):
    helm("lint", "--strict", CHART, version=version)


@pytest.mark.parametrize("values", ALL)
def test_helm_3_and_helm_4_render_the_same(values):
    old, new = (render(values, version=version) for version in VERSIONS)

    assert old == new


@pytest.mark.parametrize("values", ALL)
def test_every_pod_is_nobody_and_can_do_nothing(values):
    for name, spec in pods(render(values)).items():
        (container,) = spec["containers"]
        assert spec["securityContext"]["runAsNonRoot"], name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
        assert container["resources"]["limits"]["memory"], name


@pytest.mark.parametrize("values", ALL)
def test_every_environment_is_one_that_the_operator_takes(values, monkeypatch):
    for spec in pods(render(values)).values():
        found = environment({"spec": {"template": {"spec": spec}}})
        for name, value in found.items():
            monkeypatch.setenv(name, value)
        chosen = OperatorSettings()
        assert misspelt(found) == {}
        asked = {name.removeprefix("AUTOLFADS_").lower() for name in found if name.startswith("AUTOLFADS_")}
        assert asked <= set(OperatorSettings.model_fields)  # nothing that nobody reads
        assert chosen.lease_name


@pytest.mark.parametrize("values", ALL)
def test_every_file_that_a_variable_names_is_in_a_volume_of_its_pod(values):
    for name, spec in pods(render(values)).items():
        (container,) = spec["containers"]
        mounts = [each["mountPath"] for each in container["volumeMounts"]]
        named = [value for value in environment({"spec": spec}).values() if value.startswith("/")]
        assert named, name  # HOME at least
        lost = [path for path in named if not any(Path(path).is_relative_to(mount) for mount in mounts)]
        assert lost == [], name


def test_service_accounts_carry_the_annotations_of_workload_identity():
    account = "iam.gke.io/gcp-service-account"
    given = {name: {account: f"{name}@lab.iam.gserviceaccount.com"} for name in ("operator", "trainer")}
    worker = {"name": "trainer", "create": True, "namespaces": ["lab"], "annotations": given["trainer"]}
    things = render(
        {"serviceAccount": {"annotations": given["operator"]}, "worker": {"serviceAccount": worker}}
    )

    for name, annotations in given.items():
        made = one(things, "ServiceAccount", name)["metadata"]
        assert made["annotations"] == annotations
    # A pod is who its service account is, so it must also be the one that it names.
    operator = pods(things)["Deployment/autolfads-operator"]
    assert operator["serviceAccountName"] == one(things, "ServiceAccount", "operator")["metadata"]["name"]
    found = environment(one(things, "Deployment"))
    assert (
        found["AUTOLFADS_WORKER_SERVICE_ACCOUNT"]
        == one(things, "ServiceAccount", "trainer")["metadata"]["name"]
    )


def test_settings_reach_the_operator_as_they_are():
    found = environment(one(render(MATRIX["everything"]), "Deployment"))

    assert found["AUTOLFADS_WORKER_ENV"] == '{"A":"b"}'
    assert found["AUTOLFADS_POLL_RUNNING_SECONDS"] == "0.5"
    assert found["AUTOLFADS_WORKER_IMAGE"] == f"registry.example/worker@{DIGEST}"
    assert found["AUTOLFADS_PRICE_TABLE"] == "/etc/autolfads/prices.yaml"


def test_prices_reach_the_operator_as_they_are(tmp_path):
    things = render(MATRIX["everything"])
    config = one(things, "ConfigMap")
    path = tmp_path / "prices.yaml"
    path.write_text(config["data"]["prices.yaml"])

    assert prices.load(str(path)) == prices.load("")
    (volume,) = [v for v in pods(things)["Deployment/lfads"]["volumes"] if v["name"] == "prices"]
    assert volume["configMap"]["name"] == config["metadata"]["name"]


def test_node_pools_are_managed_only_when_asked_for():
    assert "AUTOLFADS_CLUSTER" not in environment(one(render(), "Deployment"))
    assert "AUTOLFADS_CLUSTER" in environment(one(render(MATRIX["managed pools"]), "Deployment"))


def test_an_image_without_digest_has_the_version_of_the_chart():
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    project = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.M)[1]

    (container,) = one(render(), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"autolfads-operator:{version}"
    assert version == project


@pytest.mark.parametrize(
    ("values", "told"),
    [
        pytest.param({"watchNamespace": ["a"]}, r"watchNamespace\b", id="misspelt value"),
        pytest.param({"settings": {"pollRunnningSeconds": 5}}, "pollRunnningSeconds", id="misspelt setting"),
        pytest.param(
            {"settings": {"pollRunningSeconds": "soon"}}, "want(ed)? number|Expected: number", id="type"
        ),
        pytest.param({"settings": {"pollRunningSeconds": 0}}, "pollRunningSeconds", id="out of range"),
        pytest.param({"priceTable": {"curency": "USD"}}, "curency", id="misspelt price table"),
        pytest.param({"image": {"digest": "latest"}}, "digest", id="no digest"),
        pytest.param({"gke": {"cluster": "lab"}}, "cluster", id="no path of a cluster"),
        pytest.param(
            {"gke": {"managePools": True}}, "wanted gke.cluster with it, found none", id="no cluster"
        ),
        pytest.param(
            {"gke": MATRIX["managed pools"]["gke"], "watchNamespaces": ["lab"]},
            "wanted gke.installId with it",
            id="no name for pools",
        ),
        pytest.param(
            {"worker": {"serviceAccount": {"create": True}}},
            "wanted worker.serviceAccount.name with it",
            id="nameless service account",
        ),
        pytest.param(
            {"drain": {"pauseSeconds": 900}}, "wanted at most drain.seconds, found 900 and 240", id="no time"
        ),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_mistake_is_told_by_its_name_before_anything_is_installed(values, told, version):
    done = template(values, version=version, check=False)

    assert done.returncode != 0
    assert re.search(told, done.stderr), done.stderr


def test_the_kind_is_the_generated_one_and_stays_when_the_chart_goes():
    expected = yaml.safe_load((ROOT / "crds/autolfadsruns.yaml").read_text())
    expected["metadata"]["annotations"] = {"helm.sh/resource-policy": "keep"}

    assert one(render(), "CustomResourceDefinition") == expected
    kinds = [thing["kind"] for thing in render(MATRIX["without CRD"])]
    assert "CustomResourceDefinition" not in kinds


def test_with_some_namespaces_there_is_no_right_outside_of_them():
    things = render({**MATRIX["namespaced"], "rbac": {"userRoles": False}})

    assert not [thing for thing in things if thing["kind"].startswith("Cluster")]
    roles = {(t["metadata"]["namespace"], t["metadata"]["name"]) for t in things if t["kind"] == "Role"}
    assert roles == {
        ("lab-a", "autolfads-operator"),
        ("lab-b", "autolfads-operator"),
        ("lab-a", "autolfads-operator-test"),  # of `helm test`
        ("autolfads-system", "autolfads-operator-lease"),
    }


def test_rights_name_what_they_are_for():
    rules = [rule for thing in render() if "rules" in thing for rule in thing["rules"]]

    assert rules
    for rule in rules:
        assert "*" not in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]
        assert not {"secrets", "pods/exec", "roles", "clusterroles"} & set(rule["resources"])


def test_test_clusters_give_the_operator_what_the_chart_gives_it():
    assert GOLDEN_RIGHTS.read_text() == golden_rights(), "call `make chart`"


def test_people_get_what_they_need_by_kubernetes_own_roles():
    things = render()
    labels = {kind: one(things, "ClusterRole", kind)["metadata"]["labels"] for kind in ("viewer", "editor")}

    assert labels["viewer"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"
    assert labels["editor"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"


def test_nothing_of_the_chart_is_taken_for_a_part_of_a_run():
    key, _, value = ALL_RUNS_SELECTOR.partition("=")

    for thing in render(MATRIX["everything"]):
        assert thing["metadata"].get("labels", {}).get(key) != value


def test_services_and_policies_select_the_pods_they_are_for():
    things = render(MATRIX["behind policies"])
    operator = one(things, "Deployment")["spec"]["template"]["metadata"]["labels"]
    drains = one(things, "Job")["spec"]["template"]["metadata"]["labels"]
    service = one(things, "Service")["spec"]["selector"]
    policy, runs = (one(things, "NetworkPolicy", end)["spec"] for end in ("operator", "runs"))

    assert service.items() <= operator.items()
    assert not service.items() <= drains.items()
    for labels in (operator, drains):
        assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    key, _, value = ALL_RUNS_SELECTOR.partition("=")
    assert runs["podSelector"]["matchLabels"] == {key: value}


def test_alerts_ask_for_metrics_and_events_that_there_are():
    (group,) = one(render(MATRIX["monitored"]), "PrometheusRule")["spec"]["groups"]
    asked = " ".join(rule["expr"] for rule in group["rules"])
    page = Metrics().page().decode()
    known = set(re.findall(r"^# TYPE (\w+) ", page, re.M))

    assert set(re.findall(r"autolfads_\w+", asked)) <= known
    reasons = re.findall(r'reason="(\w+)"', asked)
    assert reasons
    assert set(reasons) <= set(EventReason)
    for rule in group["rules"]:
        assert len(rule["annotations"]["description"]) > 100  # what to do about it


def test_the_modules_that_hooks_start_are_there():
    things = render()
    commands = {
        name.partition("/")[0]: spec["containers"][0]["command"] for name, spec in pods(things).items()
    }

    assert commands["Job"] == ["python", "-m", drain.__name__]
    assert commands["Pod"] == ["python", "-m", selftest.__name__]
    arguments = one(things, "Job")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert arguments == ["--pause-seconds", "120", "--seconds", "240"]


def test_the_notes_tell_the_first_run_and_how_to_watch_it():
    done = helm("install", "lfads", CHART, "--dry-run=client", "--namespace", "ops", values={})
    notes = done.stdout.partition("NOTES:")[2]

    assert "kubectl get autolfadsruns -n ops -w" in notes
    assert "WANTED: KubeRay" in notes
    text = re.search(r"( +apiVersion: autolfads.*?)\n\n", notes, re.S)[1]
    run = yaml.safe_load(text)
    assert (run["kind"], run["metadata"]["name"]) == ("AutoLFADSRun", "monkey-reach")
