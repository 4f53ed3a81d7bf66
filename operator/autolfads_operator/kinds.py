"""The kinds of Kubernetes objects that the operator touches, and where the API server has them."""

from typing import Any, NamedTuple

from autolfads_spec.run import GROUP, VERSION

Object = dict[str, Any]


class Kind(NamedTuple):
    """Where a kind of object is found."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As it stands in an object."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """Path of its API group."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """Path of one object, or of all in a namespace, or of all."""
        within = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{self.root}{within}/{self.plural}{tail}"


RUNS = Kind(GROUP, VERSION, "AutoLFADSRun", "autolfadsruns")
RAY_JOBS = Kind("ray.io", "v1", "RayJob", "rayjobs")
RAY_CLUSTERS = Kind("ray.io", "v1", "RayCluster", "rayclusters")
PODS = Kind("", "v1", "Pod", "pods")
CONFIG_MAPS = Kind("", "v1", "ConfigMap", "configmaps")
NODES = Kind("", "v1", "Node", "nodes", False)
EVENTS = Kind("", "v1", "Event", "events")
LEASES = Kind("coordination.k8s.io", "v1", "Lease", "leases")
NAMESPACES = Kind("", "v1", "Namespace", "namespaces", False)
CRDS = Kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False)
