"""The chart as helm renders it: `render(**values)` and the sets of values that the tests go through.

python -m helm.chart        writes tests/kube/operator-rbac.yaml: the operator's rights in test clusters
"""

import functools
import json
import os
import subprocess
import tempfile
from pathlib import Path

import yaml

from autolfads_operator.prices import OWN_TABLE
from helm.program import NEWEST, program

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/autolfads-operator"
RELEASE, NAMESPACE = "autolfads-operator", "autolfads-system"
GOLDEN_RIGHTS = ROOT / "tests/kube/operator-rbac.yaml"
GOLDEN_HEAD = (
    "# What the chart gives an operator that manages node pools: its rights in the clusters of the tests.\n"
    "# Generated from charts/autolfads-operator/templates/rbac.yaml; edit that, then run `make chart`.\n"
)

CLUSTER = "projects/lab/locations/europe-west4/clusters/lab"
DIGEST = "sha256:" + "a" * 64
MATRIX = {
    "default": {},
    "namespaced": {
        "watchNamespaces": ["lab-a", "lab-b"],
        "worker": {"serviceAccount": {"name": "trainer", "create": True}},
    },
    "managed pools": {
        "gke": {"cluster": CLUSTER, "managePools": True},
        "settings": {"poolIdleSeconds": 600},
        "serviceAccount": {
            "annotations": {"iam.gke.io/gcp-service-account": "op@lab.iam.gserviceaccount.com"}
        },
    },
    "monitored": {
        "metrics": {
            "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
            "serviceMonitor": {"enabled": True},
            "rules": {"enabled": True, "labels": {"release": "prometheus"}},
        }
    },
    "without CRD": {"crds": {"install": False}, "rbac": {"userRoles": False}},
    "without rights": {
        "rbac": {"create": False, "userRoles": False},
        "serviceAccount": {"create": False, "name": "of-the-admin"},
    },
    "behind policies": {
        "networkPolicy": {
            "runs": {"enabled": True, "namespaces": ["lab-a"]},
            "extraEgress": [{"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}],
        }
    },
    "everything": {
        "image": {"digest": DIGEST},
        "imagePullSecrets": [{"name": "pull"}],
        "worker": {"image": {"repository": "registry.example/worker", "digest": DIGEST}},
        "priceTable": yaml.safe_load(OWN_TABLE.read_text()),
        "settings": {"workerEnv": {"A": "b"}, "pollRunningSeconds": 0.5, "logLevel": "DEBUG"},
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"}],
        "priorityClassName": "system-cluster-critical",
        "podAnnotations": {"a": "b"},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "autolfads-operator"}},
            }
        ],
        "fullnameOverride": "lfads",
    },
}


def helm(*words, version=NEWEST, check=True, kubeconfig=None, values=None):
    """A finished helm; `values` are given as a file."""
    with tempfile.TemporaryDirectory() as home:
        if values is not None:
            path = Path(home) / "values.yaml"
            path.write_text(json.dumps(values))
            words = (*words, "--values", str(path))
        environment = {"PATH": os.environ["PATH"], "HOME": home}
        if kubeconfig is not None:
            environment["KUBECONFIG"] = str(kubeconfig)
        done = subprocess.run(
            [str(program(version)), *map(str, words)], env=environment, capture_output=True, text=True
        )
    if check and done.returncode:
        raise AssertionError(f"helm {' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    return done


def template(values=None, *more, version=NEWEST, check=True, namespace=NAMESPACE):
    """A finished `helm template`, as a user would install the chart."""
    words = ("template", RELEASE, CHART, "--namespace", namespace, *more)
    return helm(*words, version=version, check=check, values=values or {})


def render(values=None, *more, version=NEWEST):
    """All objects of the chart, hooks and tests included."""
    found = yaml.safe_load_all(_rendered(json.dumps(values or {}), more, version))
    return [thing for thing in found if thing]


@functools.cache
def _rendered(values, more, version):
    """Many tests look at the same."""
    return template(json.loads(values), *more, version=version).stdout


def one(things, kind, ending=""):
    """The one object of that kind whose name ends so."""
    found = [t for t in things if t["kind"] == kind and t["metadata"]["name"].endswith(ending)]
    assert len(found) == 1, [t["metadata"]["name"] for t in found]
    return found[0]


def environment(pod):
    """Variables of the first container of a pod or of what makes pods; those from fields are left out."""
    spec = pod["spec"]["template"]["spec"] if "template" in pod["spec"] else pod["spec"]
    return {each["name"]: each["value"] for each in spec["containers"][0]["env"] if "value" in each}


def golden_rights():
    """What stands in tests/kube/operator-rbac.yaml."""
    things = render(MATRIX["managed pools"], "--show-only", "templates/rbac.yaml")
    for thing in things:
        del thing["metadata"]["labels"]  # the version of the chart is no right
    return GOLDEN_HEAD + yaml.safe_dump_all(things, sort_keys=False, default_flow_style=None, width=110)


if __name__ == "__main__":
    GOLDEN_RIGHTS.write_text(golden_rights())
