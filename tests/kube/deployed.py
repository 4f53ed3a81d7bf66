"""Our operator as its users have it: the chart, put there by helm, its image running on the test node.

    deployed.start()         wait until its pod is ready
    deployed.test()          `helm test`; what it said
    deployed.uninstall()     `helm uninstall`, hooks and all
    deployed.pods()          its pods, as objects
    deployed.log()           what the operator printed
    deployed.refused()       requests of its that the API server refused

A pod's view differs from that of a process beside the cluster: its token, its root file system, the address
of the API server, the rights and settings that the chart gives. Tests of faults take the process.
"""

import json

from helm.chart import CHART, helm
from kube.nodes.images import OPERATOR, WORKER

NAME, NAMESPACE = "lfads", "autolfads-system"
FULL_NAME = f"{NAME}-autolfads-operator"
# Quick where the chart has time; the node has as many cores as this machine.
QUICK = {
    "pollStartingSeconds": 0.5,
    "pollRunningSeconds": 0.5,
    "statusIntervalSeconds": 0.2,
    "deleteWaitSeconds": 2,
    "leaseSeconds": 15,
    "leaseRenewSeconds": 1,
    "leaseGiveUpSeconds": 12,
    "logLevel": "DEBUG",
}
SMALL = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}


class Deployed:
    """One installation of the chart, its images those of the node."""

    def __init__(self, cluster, storage, worker):
        self.cluster = cluster
        values = {
            "image": _image(OPERATOR),
            "worker": {"image": _image(WORKER)},
            "settings": QUICK | worker,
            "extraEnv": [{"name": "STORAGE_EMULATOR_HOST", "value": storage}],
            "resources": SMALL,
        }
        # The clusters of the tests have the kind, and the chart takes it over.
        words = ("install", NAME, CHART, "--take-ownership", "--force-conflicts")
        self._helm(*words, values=values)

    def _helm(self, *words, **options):
        admin = self.cluster.kubeconfig("admin")
        return helm(*words, "--namespace", NAMESPACE, kubeconfig=admin, **options)

    def start(self):
        words = ("rollout", "status", f"deployment/{FULL_NAME}", "-n", NAMESPACE, "--timeout=150s")
        done = self.cluster.kubectl(*words, check=False)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}{self.log()}"

    def test(self):
        return self._helm("test", NAME, "--logs", "--timeout", "120s").stdout

    def uninstall(self):
        self._helm("uninstall", NAME, "--wait", "--timeout", "180s")

    def pods(self):
        chosen = ("-l", f"app.kubernetes.io/instance={NAME}", "-n", NAMESPACE)
        return json.loads(self.cluster.kubectl("get", "pods", *chosen, "-o", "json").stdout)["items"]

    def log(self):
        return self.cluster.kubectl("logs", f"deployment/{FULL_NAME}", "-n", NAMESPACE, check=False).stdout

    def refused(self):
        user = f"system:serviceaccount:{NAMESPACE}:{FULL_NAME}"
        asked = self.cluster.audited(user=user)
        return [event["requestURI"] for event in asked if event["responseStatus"].get("code") == 403]


def _image(reference):
    repository, _, tag = reference.rpartition(":")
    return {"repository": repository, "tag": tag}
