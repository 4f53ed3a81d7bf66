"""An AutoLFADSRun in the test cluster and its folder in the emulator, as a user sees both."""

import datetime
import json

import pytest
from kubernetes import client

from autolfads_spec.manifest import Manifest
from autolfads_spec.store import open_store

GENERATIONS = 4


class Run:
    """An AutoLFADSRun in the cluster, and its folder."""

    def __init__(self, cluster, namespace, bucket, name="reach"):
        self.cluster, self.namespace, self.name = cluster, namespace, name
        self.address = f"{bucket}/runs/{namespace}/{name}"
        self.store = open_store(self.address)
        self.custom = client.CustomObjectsApi(cluster.client())
        self.where = ("autolfads.dev", "v1alpha1", namespace, "autolfadsruns")

    def described(self, **spec):
        """The object that a user applies."""
        return {
            "apiVersion": "autolfads.dev/v1alpha1",
            "kind": "AutoLFADSRun",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {
                "data": {"uri": "gs://elsewhere/reach.mat"},
                "output": {"uri": self.address},
                "compute": {"accelerator": {"type": "None"}, "workers": {"desired": 2}},
                "population": {"size": 4, "generations": GENERATIONS},
                **spec,
            },
        }

    def apply(self, **spec):
        self.cluster.apply(self.described(**spec), actor="user")
        return self

    def patch(self, **spec):
        """The user changes fields of the spec; those inside of a field that are not named stay."""
        words = ("patch", "alr", self.name, "-n", self.namespace, "--type=merge", "-p")
        self.cluster.kubectl(*words, json.dumps({"spec": spec}), actor="user")

    def read(self):
        try:
            return self.custom.get_namespaced_custom_object(*self.where, self.name)
        except client.ApiException as error:
            if error.status == 404:
                return None
            raise

    @property
    def status(self):
        return (self.read() or {}).get("status", {})

    def condition(self, kind):
        return next((c for c in self.status.get("conditions", ()) if c["type"] == kind), {})

    def ray_jobs(self):
        where = ("ray.io", "v1", self.namespace, "rayjobs")
        return {
            job["metadata"]["name"]: job for job in self.custom.list_namespaced_custom_object(*where)["items"]
        }

    def clusters(self):
        where = ("ray.io", "v1", self.namespace, "rayclusters")
        return self.custom.list_namespaced_custom_object(*where)["items"]

    def is_started(self, attempt=1):
        return self.status.get("attempt") == attempt and f"{self.name}-a{attempt:02d}" in self.ray_jobs()

    def delete(self):
        self.cluster.kubectl("delete", "alr", self.name, "-n", self.namespace, "--wait=false", actor="user")

    def drive(self, generation=None):
        """What a driver of attempt 1 commits."""
        manifest = Manifest(
            run=self.name,
            fingerprint="f" * 64,
            cohorts=((0, 1), (2, 3)),
            generations_asked=GENERATIONS,
            attempt=1,
            driver_epoch=1,
            driver="head:1",
            heartbeat=datetime.datetime.now(datetime.UTC).isoformat(),
            versions={},
            generation=generation,
        )
        self.store.write("manifest.json", manifest.to_bytes())

    def left(self):
        """Everything of the run in its namespace, by name."""
        core = client.CoreV1Api(self.cluster.client())
        maps = [thing.metadata.name for thing in core.list_namespaced_config_map(self.namespace).items]
        return [
            *([self.name] if self.read() else []),
            *self.ray_jobs(),
            *(thing["metadata"]["name"] for thing in self.clusters()),
            *(name for name in maps if name.startswith(self.name)),
            *(thing.metadata.name for thing in core.list_namespaced_pod(self.namespace).items),
        ]

    def events(self):
        """Reasons of its events."""
        core = client.CoreV1Api(self.cluster.client())
        return [event.reason for event in core.list_namespaced_event(self.namespace).items]


@pytest.fixture
def run(cluster, namespace, bucket):
    """A run named reach, not applied yet: run.apply(**spec)."""
    return Run(cluster, namespace, bucket)
