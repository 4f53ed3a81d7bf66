"""Every run that breaks a rule, applied to a real API server, and to one whose kind was once less strict.

The first refuses it. The second has stored it, as after an update of the CRD, and the operator has to cope.
"""

import contextlib

import pytest
import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from kube import test_crd
from kube.cluster import ROOT
from kube.stage import another_namespace
from spec import test_bad_specs

# Stored like this, nobody can write their status: the API server cannot even compute its own rules.
NO_STATUS = {"searched-twice", "no-day"}


def wrong_runs_are_applied(stage):
    """Refused; where an older kind has let them in, status and event say which field, and nothing is made."""
    wrong = {f"wrong-{number}": case for number, case in enumerate(test_bad_specs.BROKEN_RULES)}
    api = client.CustomObjectsApi(stage.cluster.client("user"))
    with another_namespace(stage.cluster) as namespace:
        where = ("autolfads.dev", "v1alpha1", namespace, "autolfadsruns")
        runs = [
            {**test_crd.in_a_cluster(case.values[0]), "metadata": {"name": name}}
            for name, case in wrong.items()
            if test_crd.difference(case) is None
        ]
        for run in runs:
            with pytest.raises(ApiException) as refused:
                api.create_namespaced_custom_object(*where, run)
            assert refused.value.status == 422
        with lax_kind(stage):
            for run in runs:
                stage.eventually(lambda run=run: is_created(api, where, run))

        names = {run["metadata"]["name"] for run in runs}
        said = stage.eventually(lambda: rejected(stage, namespace, names), seconds=60)
        assert all("spec" in sentence for sentence in said.values()), said
        tellable = {name for name in names if wrong[name].id not in NO_STATUS}
        assert len(tellable) > 40
        stage.eventually(lambda: not_accepted(api, where) >= tellable, seconds=60)
        kinds = "rayjobs,rayclusters,pods,configmaps"
        made = stage.cluster.kubectl("get", kinds, "-n", namespace, "-o", "name").stdout.split()
        assert set(made) <= {"configmap/kube-root-ca.crt"}
    assert [one.path for one in stage.storage.requests if "/b/lab/" in one.path] == []
    stage.passes(1)


def rejected(stage, namespace, names):
    """The messages of the events, by run, once each has one."""
    events = client.CoreV1Api(stage.cluster.client()).list_namespaced_event(namespace).items
    said = {one.involved_object.name: one.message for one in events if one.reason == "Rejected"}
    return said if said.keys() == names else None


def not_accepted(api, where):
    """Names of the runs whose status says so."""
    return {
        run["metadata"]["name"]
        for run in api.list_namespaced_custom_object(*where)["items"]
        for condition in run.get("status", {}).get("conditions", ())
        if (condition["type"], condition["status"]) == ("Accepted", "False")
        and "spec" in condition["message"]
    }


@contextlib.contextmanager
def lax_kind(stage):
    """Our kind as it might have been: any spec is let in."""
    path = ROOT / "crds/autolfadsruns.yaml"
    crd = yaml.safe_load(path.read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema.pop("x-kubernetes-validations", None)
    schema["properties"]["spec"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    apply = ("apply", "--server-side", "--force-conflicts", "-f")
    stage.cluster.kubectl(*apply, "-", stdin=crd)
    yield
    stage.cluster.kubectl(*apply, str(path))


def is_created(api, where, run):
    """The API server takes a second to know a changed kind."""
    with contextlib.suppress(ApiException):
        return bool(api.create_namespaced_custom_object(*where, run))
    return False
