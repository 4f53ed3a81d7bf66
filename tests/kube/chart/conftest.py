"""What tests of the chart in a cluster need: `install`, and the kinds of the Prometheus operator."""

import contextlib
import types

import pytest
import yaml

from helm.chart import CHART
from kube.chart.release import Release, of_version
from kube.cluster import ROOT


@pytest.fixture
def install(cluster, namespace, start, tmp_path):
    """Installs the chart with these values; it goes with the test."""
    releases = []

    def begin(chart=CHART, **values):
        releases.append(Release(cluster, namespace, start, tmp_path))
        return releases[-1].install(values, chart)

    yield begin
    for release in releases:
        with contextlib.suppress(AssertionError):  # a test may have done so
            release.uninstall()


@pytest.fixture
def older_chart(_running, tmp_path):
    """A version from before spec.budget.maxGpuHours; the kind is today's again afterwards."""
    _running.start_missing()
    chart = of_version("0.0.1", tmp_path)
    path = chart / "files/autolfadsruns.yaml"
    kind = yaml.safe_load(path.read_text())
    (version,) = kind["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    del spec["properties"]["budget"]["properties"]["maxGpuHours"]
    path.write_text(yaml.safe_dump(kind, sort_keys=False))
    yield chart
    _running.start_missing()
    _running.kubectl("replace", "-f", str(ROOT / "crds/autolfadsruns.yaml"))


def pytest_collection_modifyitems(items):
    """What is judged by all that the operator did comes last."""
    items.sort(key=lambda item: item.path.name == "test_rights.py")


@pytest.fixture(scope="module")
def monitoring_kinds(_running):
    """Kinds of the Prometheus operator, with the fields that charts must get right."""
    text = {"type": "string"}
    labels = {
        "type": "object",
        "properties": {"matchLabels": {"type": "object", "additionalProperties": text}},
    }
    endpoint = {
        "type": "object",
        "properties": {"port": text, "path": text, "interval": {**text, "pattern": "^[0-9]+(ms|s|m)$"}},
    }
    rule = {
        "type": "object",
        "required": ["alert", "expr"],
        "properties": {
            "alert": text,
            "expr": text,
            "for": text,
            "labels": {"type": "object", "additionalProperties": text},
            "annotations": {"type": "object", "additionalProperties": text},
        },
    }
    rules = {"type": "object", "properties": {"name": text, "rules": {"type": "array", "items": rule}}}
    specs = {
        "PodMonitor": {"selector": labels, "podMetricsEndpoints": {"type": "array", "items": endpoint}},
        "ServiceMonitor": {"selector": labels, "endpoints": {"type": "array", "items": endpoint}},
        "PrometheusRule": {"groups": {"type": "array", "items": rules}},
    }
    crds = [_crd(kind, spec) for kind, spec in specs.items()]
    _running.start_missing()
    _running.apply(*crds)
    names = [crd["metadata"]["name"] for crd in crds]
    _running.wait_for_kinds()
    yield
    _running.kubectl("delete", "crd", *names, "--wait=false")  # it can take minutes, and nobody needs it


def _crd(kind, spec):
    plural, group = f"{kind.lower()}s", "monitoring.coreos.com"
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": spec}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
            ],
        },
    }


@pytest.fixture
def another_namespace(cluster, namespace):
    """One that a test may delete itself: another_namespace.name."""
    name = f"{namespace[:50]}-gone"
    cluster.kubectl("create", "namespace", name)
    yield types.SimpleNamespace(name=name)
    cluster.kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false")
