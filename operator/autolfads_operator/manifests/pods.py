"""Pod templates of the head, which drives, and of the workers, which train; pure.

KubeRay completes them: it writes `ray start` into the command, sets the probes, the variables of Ray's
token and address, and an init container `wait-gcs-ready` with the worker's security context, variables
and mounts. What it finds set it leaves alone. So everything that Ray writes to must be mounted here,
because the root file system is read-only.
"""

from decimal import Decimal
from typing import Any

from autolfads_operator import pools
from autolfads_operator.manifests import names
from autolfads_operator.observed import CustomResource
from autolfads_operator.terms import Terms
from autolfads_spec.compute import Accelerator, ComputeSpec
from autolfads_spec.run import AutoLFADSRun

GPU = "nvidia.com/gpu"
SPOT = "cloud.google.com/gke-spot"
FLEX_START = "cloud.google.com/gke-flex-start"
ACCELERATOR = "cloud.google.com/gke-accelerator"
NODE_POOL = "cloud.google.com/gke-nodepool"
MACHINE_TYPE = "node.kubernetes.io/instance-type"
SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"

USER = 1000  # of Ray's images and of ours
# A spot node leaves its pods about this long; nothing that matters is written in it.
WORKER_GRACE_SECONDS = 15
# For the driver to say why it ended.
HEAD_GRACE_SECONDS = 30
# Ray's default of 10000 job events is the best-known way to fill a head's memory; nobody reads them here.
EVENTS_IN_MEMORY = "100"
GCS_PORT, DASHBOARD_PORT = 6379, 8265
# It reads the logs ten times a second for drivers that print what their workers do; ours does not. Not
# "false", which KubeRay takes for a switch to be left out.
_WITHOUT_LOG_MONITOR = {"include-log-monitor": "no"}

Template = dict[str, Any]


def head(resource: CustomResource, run: AutoLFADSRun, attempt: int, terms: Terms) -> Template:
    """The head: on a machine that nobody takes away, without an accelerator, run.yaml in it."""
    size = {"cpu": run.spec.compute.head.cpu, "memory": run.spec.compute.head.memory}
    container = _container(run, terms, {"RAY_DASHBOARD_MAX_EVENTS_TO_CACHE": EVENTS_IN_MEMORY})
    container["resources"] = {"requests": size, "limits": {"memory": size["memory"]}}
    # Naming these keeps KubeRay from opening the port of Ray's client, which nobody uses.
    container["ports"] = [
        {"name": "gcs-server", "containerPort": GCS_PORT},
        {"name": "dashboard", "containerPort": DASHBOARD_PORT},
    ]
    container["volumeMounts"].append({"name": "config", "mountPath": names.CONFIG_FOLDER, "readOnly": True})
    template = _template(resource, run, attempt, terms, container, size["memory"])
    spec = template["spec"]
    spec["terminationGracePeriodSeconds"] = HEAD_GRACE_SECONDS
    spec["affinity"] = _not_on_spot()
    spec["volumes"].append(
        {"name": "config", "configMap": {"name": names.attempt_name(resource.name, attempt)}}
    )
    return template


def worker(resource: CustomResource, run: AutoLFADSRun, attempt: int, terms: Terms) -> Template:
    """A worker: its accelerators, or a share of a CPU node when there are none."""
    compute = run.spec.compute
    accelerator = _accelerator(compute)
    requests = {
        "cpu": times(terms.worker_cpu, accelerator.count_per_worker),
        "memory": times(terms.worker_memory, accelerator.count_per_worker),
    }
    container = _container(run, terms, {})
    container["resources"] = {"requests": requests}
    if has_gpus(compute):
        count = str(accelerator.count_per_worker)
        container["resources"] = {"requests": requests | {GPU: count}, "limits": {GPU: count}}
    template = _template(resource, run, attempt, terms, container, requests["memory"])
    spec = template["spec"]
    spec["terminationGracePeriodSeconds"] = WORKER_GRACE_SECONDS
    _place(spec, compute, accelerator, tuple(pool.name for pool in pools.wanted(run, resource, terms)))
    return template


def has_gpus(compute: ComputeSpec) -> bool:
    """Whether the workers compute on GPUs; accelerator None means CPU nodes."""
    return _accelerator(compute).type != "None"


def head_start_parameters() -> dict[str, str]:
    """`ray start` of the head: nothing trains there, and Ray's own autoscaler has nothing to watch."""
    return {"num-cpus": "0", "no-monitor": "true", **_WITHOUT_LOG_MONITOR}


def worker_start_parameters(compute: ComputeSpec) -> dict[str, str]:
    """`ray start` of a worker: one CPU slot for each accelerator, since a cohort takes one of each."""
    return {"num-cpus": str(_accelerator(compute).count_per_worker), **_WITHOUT_LOG_MONITOR}


def times(quantity: str, count: int) -> str:
    """A Kubernetes quantity such as 500m or 8Gi, so many times."""
    number = quantity.rstrip("mkKMGTi")
    return f"{Decimal(number) * count:f}{quantity.removeprefix(number)}"


def _accelerator(compute: ComputeSpec) -> Accelerator:
    return compute.accelerator or Accelerator(type="None")


def _container(run: AutoLFADSRun, terms: Terms, variables: dict[str, str]) -> dict[str, Any]:
    # Libraries keep caches under HOME, and /tmp is all that can be written to.
    env = {"HOME": "/tmp", "RAY_USAGE_STATS_ENABLED": "0"} | variables | dict(terms.worker_env)
    return {
        "name": names.RAY_CONTAINER,
        "image": run.spec.compute.image or terms.worker_image,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": name, "value": value} for name, value in env.items()],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "shared-memory", "mountPath": "/dev/shm"},
        ],
    }


def _template(
    resource: CustomResource,
    run: AutoLFADSRun,
    attempt: int,
    terms: Terms,
    container: dict[str, Any],
    memory: str,
) -> Template:
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "tmp", "emptyDir": {}},
            # Ray's object store; counts as the pod's memory.
            {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": memory}},
        ],
    }
    account = run.spec.compute.service_account_name or terms.worker_service_account
    if account:
        spec["serviceAccountName"] = account
    metadata = {
        "labels": names.labels(resource.name, resource.uid, attempt),
        "annotations": {SAFE_TO_EVICT: "false"},
    }
    return {"metadata": metadata, "spec": spec}


def _place(
    spec: dict[str, Any], compute: ComputeSpec, accelerator: Accelerator, made: tuple[str, ...]
) -> None:
    """On which nodes workers may run, said so that schedulers and Kueue see it before GKE adds anything.

    Args:
      spec: of the pod; it is changed.
      compute: what the run asks for.
      accelerator: of a worker.
      made: names of the node pools that the operator makes for the run.
    """
    selector: dict[str, str] = {}
    tolerations: list[dict[str, str]] = []
    if has_gpus(compute):
        selector[ACCELERATOR] = accelerator.type
        tolerations.append({"key": GPU, "operator": "Exists", "effect": "NoSchedule"})
    if accelerator.machine_type is not None:
        selector[MACHINE_TYPE] = accelerator.machine_type
    if compute.node_pool is not None and compute.node_pool.name is not None:
        selector[NODE_POOL] = compute.node_pool.name
    if len(made) == 1:
        selector[NODE_POOL] = made[0]
    if compute.provisioning in ("Spot", "SpotThenOnDemand"):
        tolerations.append({"key": SPOT, "operator": "Equal", "value": "true", "effect": "NoSchedule"})
    if compute.provisioning == "Spot":
        selector[SPOT] = "true"
    if compute.provisioning == "FlexStart":
        selector[FLEX_START] = "true"
    if compute.provisioning == "OnDemand":
        spec["affinity"] = _not_on_spot()
    if compute.provisioning == "SpotThenOnDemand":
        spec["affinity"] = _rather_on_spot()
        if made:
            spec["affinity"]["nodeAffinity"] |= _only_in(made)
    if selector:
        spec["nodeSelector"] = selector
    if tolerations:
        spec["tolerations"] = tolerations


def _not_on_spot() -> dict[str, Any]:
    return {"nodeAffinity": _required({"key": SPOT, "operator": "NotIn", "values": ["true"]})}


def _only_in(made: tuple[str, ...]) -> dict[str, Any]:
    return _required({"key": NODE_POOL, "operator": "In", "values": list(made)})


def _required(expression: dict[str, Any]) -> dict[str, Any]:
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    return {"requiredDuringSchedulingIgnoredDuringExecution": terms}


def _rather_on_spot() -> dict[str, Any]:
    expression = {"key": SPOT, "operator": "In", "values": ["true"]}
    preference = {"weight": 100, "preference": {"matchExpressions": [expression]}}
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preference]}}
