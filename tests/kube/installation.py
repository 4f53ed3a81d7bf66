"""KubeRay and its kinds, which come and go under our operator: missing, unusable, older, and as they were."""

import json

import pytest
from kubernetes import client

from kube import ray_kinds


class Installation:
    """KubeRay and its CRDs, which come and go."""

    def __init__(self, cluster):
        self._cluster = cluster

    def remove(self):
        self._cluster.kuberay.kill()
        # Its finalizers would hold up the CRDs, for as long as it asks heads that no longer answer.
        for namespace, name in self._ray_jobs():
            self._cluster.kubectl("create", "namespace", namespace, check=False)  # it may have gone first
            free = ("patch", "rayjob", name, "-n", namespace, "--type=merge")
            self._cluster.kubectl(
                *free, "-p", '{"metadata":{"finalizers":null}}', check=False
            )  # or it is gone
        crds = [f"{kind}.ray.io" for kind in ray_kinds.NAMES]
        self._cluster.kubectl("delete", "crd", "--ignore-not-found", "--timeout=60s", *crds)

    def _ray_jobs(self):
        """Namespace and name of each, other tests' included."""
        left = client.CustomObjectsApi(self._cluster.client()).list_cluster_custom_object(
            "ray.io", "v1", "rayjobs"
        )
        return [(job["metadata"]["namespace"], job["metadata"]["name"]) for job in left["items"]]

    def bring_back(self, *, before=False):
        """The one it was, or an older one; in the place of another, kinds go first."""
        had = self._cluster.kuberay.program
        self._cluster.install_kuberay(before=before)
        if self._cluster.kuberay.program != had:
            self._cluster.kuberay.stop()
        self._cluster.kuberay.start()

    def bring_kinds_of_an_unusable_one(self):
        """Those of 1.5 and older have no field for how long to wait for machines."""
        paths = ray_kinds.files("kuberay")
        crds = {path.stem: json.loads(path.read_text()) for path in paths}
        schema = crds["rayjobs"]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        del schema["properties"]["spec"]["properties"]["preRunningDeadlineSeconds"]
        self._cluster.apply(*crds.values())
        self._cluster.wait_for_kinds()


@pytest.fixture
def installation(cluster):
    """As it was again, once the test is over."""
    installation = Installation(cluster)
    yield installation
    installation.bring_back()
