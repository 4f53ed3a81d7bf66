"""What whoever installs the chart may choose: one source of values.yaml and of values.schema.json.

Every field has its default, and its description becomes the comment in values.yaml. What the operator
itself can be told is not repeated here: `settings` takes the fields of `OperatorSettings`, in camelCase, but
for those that follow from other values. Knows neither templates nor helm; generate.py writes the files.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

# Settings that templates/_names.tpl derives from values of their own, or that only tests have a use for.
FROM_OTHER_VALUES = frozenset(
    {
        "cluster",
        "cluster_manager_endpoint",
        "compute_endpoint",
        "health_host",
        "health_port",
        "identity",
        "install_id",
        "kubeconfig",
        "leader_election",
        "lease_name",
        "lease_namespace",
        "namespaces",
        "price_table",
        "worker_image",
        "worker_service_account",
    }
)
_NAME = r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$"
Names = list[str]
Texts = dict[str, str]
Anything = dict[str, Any]


class _Block(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


def _block(kind: type[_Block], description: str) -> Any:
    return Field(default_factory=kind, description=description)


class Image(_Block):
    repository: str = Field(
        "autolfads-operator", min_length=1, description="Where the image lies, registry and all."
    )
    tag: str = Field("", max_length=128, description="Its tag; by default the version of the chart.")
    digest: str = Field(
        "",
        pattern="^(sha256:[0-9a-f]{64})?$",
        description="sha256:...; wins over the tag, and is what to use: a tag can be moved.",
    )
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        "IfNotPresent", description="When the node asks for the image again."
    )


class WorkerImage(_Block):
    repository: str = Field("autolfads-worker", min_length=1, description="Where the image lies.")
    tag: str = Field("", max_length=128, description="Its tag; by default the version of the chart.")
    digest: str = Field("", pattern="^(sha256:[0-9a-f]{64})?$", description="sha256:...; wins over the tag.")


class WorkerServiceAccount(_Block):
    name: str = Field(
        "",
        pattern=_NAME,
        description="Service account of runs that name none (spec.compute.serviceAccountName); empty: the "
        "namespace's `default`. It is who may read recordings and write results.",
    )
    create: bool = Field(False, description="Make it, in each of `namespaces`.")
    namespaces: Names = Field(
        default_factory=list,
        description="Where to make it; by default watchNamespaces, or the release's own namespace.",
    )
    annotations: Texts = Field(
        default_factory=dict,
        description="For example iam.gke.io/gcp-service-account: NAME@PROJECT.iam.gserviceaccount.com. Not "
        "needed when the bucket's role is granted to the Kubernetes service account directly.",
    )


class Worker(_Block):
    image: WorkerImage = _block(WorkerImage, "Image of head and workers, for runs that name none.")
    service_account: WorkerServiceAccount = _block(
        WorkerServiceAccount,
        "Who the pods of runs are, for Cloud Storage. They have no rights in Kubernetes.",
    )


class ServiceAccount(_Block):
    create: bool = Field(True, description="Make it.")
    name: str = Field("", pattern=_NAME, description="Its name; by default that of the release.")
    annotations: Texts = Field(
        default_factory=dict,
        description="For example iam.gke.io/gcp-service-account, when the roles were granted to a Google "
        "service account and not to this one directly.",
    )


class Rbac(_Block):
    create: bool = Field(True, description="Make the operator's roles; false: they are there already.")
    user_roles: bool = Field(
        True,
        description="Make ClusterRoles for people, which Kubernetes adds to its `view`, `edit` and `admin`. "
        "One installation a cluster is enough.",
    )


class Crds(_Block):
    install: bool = Field(
        True,
        description="Install and upgrade the kind AutoLFADSRun with the chart; it stays when the chart goes, "
        "and with it all runs. One installation a cluster is enough.",
    )


class Gke(_Block):
    cluster: str = Field(
        "",
        pattern="^(projects/[^/]+/locations/[^/]+/clusters/[^/]+)?$",
        description="projects/PROJECT/locations/LOCATION/clusters/CLUSTER: the cluster this is installed in.",
    )
    manage_pools: bool = Field(
        False,
        description="Let the operator make GPU node pools for runs with nodePool.mode Shared or Dedicated, "
        "and remove them. Needs `cluster`, and the rights of docs/node-pools.md.",
    )
    install_id: str = Field(
        "",
        pattern=r"^[a-z0-9-]{0,63}$",
        description="Label by which the operator knows its own node pools; by default the uid of namespace "
        "kube-system. Wanted in namespaced mode, where that may not be read.",
    )


class Drain(_Block):
    enabled: bool = Field(
        True, description="Before uninstalling, give back what runs hold and take our finalizers off them."
    )
    pause_seconds: int = Field(
        120,
        ge=0,
        le=86400,
        description="How long drivers may take to commit their generation before their machines go.",
    )
    seconds: int = Field(
        240,
        ge=10,
        le=86400,
        description="How long all of it may take. Must be below the --timeout of helm uninstall (5 min by "
        "default); give both more where node pools are managed: removing one takes minutes.",
    )


class Monitor(_Block):
    enabled: bool = Field(False, description="Make it; needs the Prometheus operator's kinds.")
    interval: str = Field("30s", pattern="^[0-9]+(ms|s|m)$", description="Pause between two scrapes.")
    labels: Texts = Field(default_factory=dict, description="Labels that your Prometheus selects by.")


class Rules(_Block):
    enabled: bool = Field(False, description="Make it; needs the Prometheus operator's kinds.")
    labels: Texts = Field(default_factory=dict, description="Labels that your Prometheus selects by.")
    heartbeat_seconds: int = Field(
        900, ge=60, description="Age of a driver's sign of life from which on it is an alert."
    )
    stalled_for: str = Field(
        "6h",
        pattern="^[0-9]+[mhd]$",
        description="Time without a new generation from which on it is an alert.",
    )


class Metrics(_Block):
    service: bool = Field(True, description="Make a Service of /metrics, with prometheus.io annotations.")
    pod_monitor: Monitor = _block(Monitor, "A PodMonitor.")
    service_monitor: Monitor = _block(Monitor, "A ServiceMonitor, in place of the PodMonitor.")
    rules: Rules = _block(Rules, "A PrometheusRule: alerts, each with what to do.")


class OperatorPolicy(_Block):
    enabled: bool = Field(
        True,
        description="To the operator only health checks and metrics; from it only DNS, the API server, https "
        "and Google's metadata server.",
    )
    api_server_ports: list[int] = Field(
        default_factory=lambda: [443, 6443], description="Ports of the Kubernetes API server."
    )


class RunsPolicy(_Block):
    enabled: bool = Field(
        False,
        description="To the pods of runs only pods of runs and KubeRay; from them only each other, DNS, "
        "https and Google's metadata server. Check `kuberay` below first: without KubeRay no driver starts.",
    )
    namespaces: Names = Field(
        default_factory=list,
        description="Where runs are; by default watchNamespaces, or the release's own namespace.",
    )
    kuberay: Anything = Field(
        default_factory=lambda: {
            "namespaceSelector": {},
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "kuberay-operator"}},
        },
        description="Which pods are KubeRay's, as a peer of a NetworkPolicy.",
    )


class NetworkPolicy(_Block):
    operator: OperatorPolicy = _block(OperatorPolicy, "For the operator's pod.")
    runs: RunsPolicy = _block(RunsPolicy, "For the pods of runs.")
    extra_egress: list[Anything] = Field(
        default_factory=list, description="More egress rules for both, for example to a proxy."
    )


class Test(_Block):
    output_uri: str = Field(
        "gs://autolfads-helm-test/none",
        pattern="^gs://[^/]+/.+$",
        description="Output of the run that `helm test` makes. It is suspended, so nothing is written there.",
    )


class Values(_Block):
    """The whole of values.yaml."""

    image: Image = _block(Image, "Image of the operator.")
    image_pull_secrets: list[Anything] = Field(
        default_factory=list, description="Secrets for pulling it, as [{name: ...}]."
    )
    worker: Worker = _block(Worker, "What the pods of runs are.")
    watch_namespaces: Names = Field(
        default_factory=list,
        description="Namespaces whose runs are served; none means all. With some, the operator gets a Role "
        "in each and no right outside of them.",
    )
    service_account: ServiceAccount = _block(ServiceAccount, "Who the operator is.")
    rbac: Rbac = _block(Rbac, "What it and people may do.")
    crds: Crds = _block(Crds, "The kind AutoLFADSRun.")
    gke: Gke = _block(Gke, "Node pools of Google Kubernetes Engine.")
    price_table: Anything = Field(
        default_factory=dict,
        description="Prices in place of those that come with the operator: the whole table, docs/cost.md.",
    )
    settings: Anything = Field(
        default_factory=dict, description="Settings of the operator; what is not given has the default shown."
    )
    extra_env: list[Anything] = Field(
        default_factory=list, description="More environment variables of the operator, as in a pod."
    )
    resources: Anything = Field(
        default_factory=lambda: {
            "requests": {"cpu": "200m", "memory": "256Mi"},
            "limits": {"memory": "1Gi"},
        },
        description="Of the operator's container. No limit of CPU: a throttled operator loses its Lease.",
    )
    priority_class_name: str = Field(
        "", pattern=r"^[a-z0-9.-]*$", description="PriorityClass of the operator's pod; it must exist."
    )
    pod_annotations: Texts = Field(default_factory=dict, description="Annotations of the operator's pod.")
    node_selector: Texts = Field(default_factory=dict, description="Where the operator's pod may run.")
    affinity: Anything = Field(default_factory=dict, description="The same, as an affinity.")
    tolerations: list[Anything] = Field(default_factory=list, description="Taints its pod stands.")
    topology_spread_constraints: list[Anything] = Field(
        default_factory=list, description="How its pod is spread; there is only one."
    )
    metrics: Metrics = _block(Metrics, "What Prometheus gets.")
    network_policy: NetworkPolicy = _block(
        NetworkPolicy, "Who may speak to whom; needs a network that enforces it."
    )
    drain: Drain = _block(Drain, "What `helm uninstall` does before anything goes.")
    test: Test = _block(Test, "What `helm test` uses.")
    name_override: str = Field("", pattern=_NAME, description="In place of the chart's name in names.")
    fullname_override: str = Field("", pattern=_NAME, description="In place of release and chart in names.")
    global_: Anything = Field(
        default_factory=dict, alias="global", description="Of charts that contain this one; not used here."
    )
