"""The chart that brings KubeRay along; a stand-in lies where helm would have put KubeRay's own chart."""

import re
import shutil

import pytest
import yaml

from helm.chart import CHART, NAMESPACE, RELEASE, ROOT, helm, render
from helm.program import VERSIONS

BOTH = ROOT / "charts/autolfads"


@pytest.fixture
def fetched(tmp_path):
    """The chart with its dependencies in place, as `helm dependency build` leaves it."""
    chart = tmp_path / "autolfads"
    shutil.copytree(BOTH, chart, ignore=shutil.ignore_patterns("charts"))
    shutil.copytree(CHART, chart / "charts/autolfads-operator")
    stand_in = chart / "charts/kuberay-operator"
    (stand_in / "templates").mkdir(parents=True)
    about = {
        "apiVersion": "v2",
        "name": "kuberay-operator",
        "version": dependency("kuberay-operator")["version"],
    }
    (stand_in / "Chart.yaml").write_text(yaml.safe_dump(about))
    thing = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kuberay", "namespace": NAMESPACE}}
    (stand_in / "templates/thing.yaml").write_text(yaml.safe_dump(thing))
    return chart


def dependency(name):
    found = yaml.safe_load((BOTH / "Chart.yaml").read_text())["dependencies"]
    return next(each for each in found if each["name"] == name)


def rendered(chart, version, **values):
    words = ("template", RELEASE, chart, "--namespace", NAMESPACE)
    printed = helm(*words, version=version, values=values).stdout
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(printed) if each}


@pytest.mark.parametrize("version", VERSIONS)
def test_without_kuberay_it_is_the_operator_alone(fetched, version):
    alone = {(each["kind"], each["metadata"]["name"]): each for each in render(version=version)}

    assert rendered(fetched, version) == alone
    helm("lint", "--strict", fetched, version=version)


@pytest.mark.parametrize("version", VERSIONS)
def test_kuberay_comes_when_it_is_wanted_and_values_reach_the_operator(fetched, version):
    values = {"kuberay": {"enabled": True}, "autolfads-operator": {"rbac": {"userRoles": False}}}

    things = rendered(fetched, version, **values)

    assert ("ConfigMap", "kuberay") in things
    alone = {
        (each["kind"], each["metadata"]["name"])
        for each in render(values["autolfads-operator"], version=version)
    }
    assert things.keys() == alone | {("ConfigMap", "kuberay")}


def test_the_versions_are_those_of_the_operator_and_of_the_documentation():
    ours, about = (yaml.safe_load((chart / "Chart.yaml").read_text()) for chart in (CHART, BOTH))
    kuberay = dependency("kuberay-operator")

    assert (about["version"], about["appVersion"], about["kubeVersion"]) == (
        ours["version"],
        ours["appVersion"],
        ours["kubeVersion"],
    )
    assert dependency("autolfads-operator")["version"] == ours["version"]
    page = (ROOT / "docs/google-cloud.md").read_text()
    assert re.search(rf"helm repo add kuberay {re.escape(kuberay['repository'])}", page)
    assert f"kuberay/kuberay-operator --version {kuberay['version']}" in page
