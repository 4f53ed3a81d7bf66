"""The chart on a real API server: installed by helm, its operator as a process with the rights it gives.

    release = install(**values)          helm install into the test's namespace; chart=... for another chart
    release.upgrade(version, **values)   to another version of the chart; .rollback() and .uninstall()
    release.operator()                   the operator, with the environment and the rights of its Deployment
    release.drain()                      what the pre-delete hook runs, the same way

Its pods run nowhere here, for want of an image; tests/end_to_end has those.
"""

import json
import os
import shutil
import subprocess
import sys

import yaml

from helm.chart import CHART, environment, helm
from kube.operator_process import SETTINGS

NAME = "lfads"
FULL_NAME = f"{NAME}-autolfads-operator"
# Of what the Deployment says, only this is not for a process beside the cluster.
OF_POD = ("AUTOLFADS_HEALTH_PORT",)


class Release:
    """One installation of the chart."""

    def __init__(self, cluster, namespace, start, folder):
        self.cluster, self.namespace, self.folder = cluster, namespace, folder
        self._start, self._values = start, {}

    def _helm(self, *words, values=None):
        admin = self.cluster.kubeconfig("admin")
        return helm(*words, "--namespace", self.namespace, kubeconfig=admin, values=values)

    def install(self, values, chart=CHART):
        # The cluster of the tests has the kind already.
        self._values = {"crds": {"install": False}, **values}
        # Force: of another version of the kind than the one that is there, helm becomes the only owner.
        words = ("install", NAME, chart, "--take-ownership", "--force-conflicts")
        self._helm(*words, values=self._values)
        self.kubeconfig = as_service_account(self.cluster, self.namespace, FULL_NAME, self.folder)
        return self

    def upgrade(self, version, **values):
        """Another version of the chart, made from this one."""
        self._values |= values
        chart = of_version(version, self.folder)
        self._helm("upgrade", NAME, chart, "--take-ownership", values=self._values)

    def rollback(self):
        self._helm("rollback", NAME)

    def uninstall(self):
        """What helm does once the drain has ended."""
        self._helm("uninstall", NAME, "--no-hooks")

    def status(self):
        return json.loads(self._helm("status", NAME, "--output", "json").stdout)

    @property
    def deployment(self):
        words = ("get", "deployment", FULL_NAME, "-n", self.namespace, "-o", "json")
        return json.loads(self.cluster.kubectl(*words).stdout)

    @property
    def hook(self):
        """The Job of the drain, as helm keeps it for the day of the uninstallation."""
        kept = yaml.safe_load_all(self._helm("get", "hooks", NAME).stdout)
        (job,) = [thing for thing in kept if thing and thing["kind"] == "Job"]
        return job

    def chosen(self, thing):
        """The settings that the pods of this object get, for a process; their files lie beside it."""
        files = self._mounted(thing["spec"]["template"]["spec"])
        found = {name: files.get(value, value) for name, value in environment(thing).items()}
        ours = {name: value for name, value in found.items() if name.startswith("AUTOLFADS_")}
        named = {name.removeprefix("AUTOLFADS_"): value for name, value in ours.items() if name not in OF_POD}
        place = {"LEASE_NAMESPACE": self.namespace, "KUBECONFIG": str(self.kubeconfig)}
        return {**named, **place}

    def _mounted(self, spec):
        """Where a file of the pod's ConfigMaps lies here, by its path in the pod."""
        places = {each["name"]: each["mountPath"] for each in spec["containers"][0]["volumeMounts"]}
        found = {}
        for volume in (each for each in spec["volumes"] if "configMap" in each):
            words = ("get", "configmap", volume["configMap"]["name"], "-n", self.namespace, "-o", "json")
            for name, text in json.loads(self.cluster.kubectl(*words).stdout)["data"].items():
                path = self.folder / name
                path.write_text(text)
                found[f"{places[volume['name']]}/{name}"] = str(path)
        return found

    def operator(self, **settings):
        return self._start(**{**self.chosen(self.deployment), **settings})

    def begin_drain(self, *arguments):
        """What the hook runs; the process, not waited for."""
        job = self.hook
        chosen = {**SETTINGS, **self.chosen(job)}
        variables = {f"AUTOLFADS_{name}": value for name, value in chosen.items()}
        (container,) = job["spec"]["template"]["spec"]["containers"]
        words = [sys.executable, *container["command"][1:], *(arguments or container["args"])]
        pipe = subprocess.PIPE
        return subprocess.Popen(words, env={**os.environ, **variables}, stdout=pipe, stderr=pipe, text=True)

    def drain(self, *arguments):
        """The same, to its end; what it said."""
        with self.begin_drain(*arguments) as process:
            told = "".join(process.communicate(timeout=120))
        assert process.returncode == 0, told
        return told

    def asked(self):
        """What its operator asked the API server."""
        user = f"system:serviceaccount:{self.namespace}:{FULL_NAME}"
        return self.cluster.audited(user=user)


def of_version(version, folder):
    """A copy of the chart that says it is of this version."""
    chart = folder / version
    shutil.copytree(CHART, chart)
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    (chart / "Chart.yaml").write_text(yaml.safe_dump({**about, "version": version, "appVersion": version}))
    return chart


def as_service_account(cluster, namespace, name, folder):
    """A kubeconfig with a token of a service account, as its pods have one."""
    token = cluster.kubectl("create", "token", name, "-n", namespace).stdout.strip()
    content = yaml.safe_load(cluster.kubeconfig("admin").read_text())
    content["users"][0]["user"] = {"token": token}
    path = folder / f"{namespace}-{name}.kubeconfig"
    path.write_text(yaml.safe_dump(content))
    return path
