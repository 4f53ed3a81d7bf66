"""Everything that is known about one run at one moment: what `plan` decides from, and nothing else.

    from autolfads_operator.observed import Observed
    Observed(custom_resource, ray_jobs, ray_clusters, pods, config_maps, kuberay, folder, now)

Plain frozen values, made by the edges from Kubernetes objects and the output folder and read by the
pure core. They hold what is there, never what it means: judging is `plan`'s business. Nothing here
knows how an object is fetched. All times are UTC with a time zone; `now` is the only clock of the core.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import Literal

from autolfads_spec.attempt import AttemptEnd, Wish
from autolfads_spec.cost import CostRecord
from autolfads_spec.manifest import Lease, Manifest
from autolfads_spec.run import AutoLFADSRun
from autolfads_spec.status import Reason, RunStatus


@dataclass(frozen=True)
class CustomResource:
    """The AutoLFADSRun object.

    Attributes:
      name: of the run.
      namespace: of the run and of everything made for it.
      uid: tells it from an earlier run of the same name.
      resource_generation: metadata.generation; counts changes of the spec.
      created: metadata.creationTimestamp.
      run: the spec with every default filled in; None when it is not valid.
      problems: one sentence for each thing that is wrong with the spec, from `SpecError.sentences`.
      status: as it was written last; an empty one when there is none or it cannot be understood.
      annotations: metadata.annotations.
      finalizers: metadata.finalizers.
      deleted_at: metadata.deletionTimestamp: since when the user wants it gone.
    """

    name: str
    namespace: str
    uid: str
    resource_generation: int
    created: datetime
    run: AutoLFADSRun | None
    problems: tuple[str, ...] = ()
    status: RunStatus = field(default_factory=RunStatus)
    annotations: Mapping[str, str] = field(default_factory=dict)
    finalizers: frozenset[str] = frozenset()
    deleted_at: datetime | None = None


@dataclass(frozen=True)
class RayJob:
    """A RayJob of this run; its words are KubeRay's, see `JobStatus` in its rayjob_types.go.

    Attributes:
      attempt: from its label.
      job_status: "", PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED: what Ray says of the driver.
      deployment_status: "", Initializing, Running, Complete, Failed, ValidationFailed, Suspended, ….
      reason: why it failed, such as AppFailed or PreRunningDeadlineExceeded; "" when it did not.
      message: KubeRay's or Ray's sentence.
      cluster_name: status.rayClusterName, once it is chosen.
      created: metadata.creationTimestamp.
      started: status.startTime: since when KubeRay makes its cluster, and counts for its deadlines.
      job_started: status.rayJobInfo.startTime: since when Ray runs the driver.
      ended: status.endTime.
      spec_hash: from its annotation `names.SPEC_HASH`.
      deleted_at: metadata.deletionTimestamp.
    """

    name: str
    uid: str
    attempt: int
    created: datetime
    job_status: str = ""
    deployment_status: str = ""
    reason: str = ""
    message: str = ""
    cluster_name: str | None = None
    started: datetime | None = None
    job_started: datetime | None = None
    ended: datetime | None = None
    spec_hash: str = ""
    deleted_at: datetime | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether KubeRay will do nothing more with it than clean up."""
        return self.deployment_status in ("Complete", "Failed", "ValidationFailed")

    @property
    def is_live(self) -> bool:
        """Whether a driver of it may be at work or may yet start."""
        return not self.is_terminal and self.deleted_at is None


@dataclass(frozen=True)
class RayCluster:
    """A RayCluster that KubeRay made for one of the RayJobs.

    Attributes:
      attempt: from its label.
      state: status.state, such as ready; "" before that.
      replicas: spec.workerGroupSpecs[0].replicas: workers asked for.
      max_replicas: spec.workerGroupSpecs[0].maxReplicas.
      ready_workers: status.readyWorkerReplicas.
      head_service: status.head.serviceName: where Ray's dashboard is.
      deleted_at: metadata.deletionTimestamp.
    """

    name: str
    attempt: int
    state: str = ""
    replicas: int = 0
    max_replicas: int = 0
    ready_workers: int = 0
    head_service: str | None = None
    deleted_at: datetime | None = None


class PodRole(StrEnum):
    """What a pod of a Ray cluster is for; the values of KubeRay's label ray.io/node-type."""

    HEAD = "head"
    WORKER = "worker"


@dataclass(frozen=True)
class Pod:
    """A pod of one of the Ray clusters.

    Attributes:
      attempt: from its label.
      phase: Pending, Running, Succeeded, Failed or Unknown.
      is_ready: its condition Ready.
      unready_since: since when it is not, where Kubernetes says.
      reason: of the pod or of its Ray container, the more telling one: OOMKilled, ImagePullBackOff,
        ErrImagePull, InvalidImageName, CreateContainerConfigError, Evicted, Preempted, Terminated, …; ""
        for none. An OOMKilled of the last termination counts although the container runs again.
      message: the sentence beside it.
      exit_code: of the Ray container, present or last termination.
      unschedulable: the scheduler's sentence while it finds no node, else None.
      node: where it runs, once that is known.
      placed_at: since when it has its node.
      gpus: that it holds.
      image_digest: imageID of its Ray container, once that is known.
      deleted_at: metadata.deletionTimestamp.
    """

    name: str
    role: PodRole
    attempt: int
    phase: str
    is_ready: bool = False
    unready_since: datetime | None = None
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    unschedulable: str | None = None
    node: str | None = None
    placed_at: datetime | None = None
    gpus: int = 0
    image_digest: str | None = None
    deleted_at: datetime | None = None

    @property
    def was_taken_away(self) -> bool:
        """Whether its machine was: a spot node that ended, a drained node, a pod of higher priority."""
        return self.reason in ("Preempted", "Terminated", "NodeShutdown")


@dataclass(frozen=True)
class Machine:
    """What a node says of itself.

    Attributes:
      machine_type: such as g2-standard-8; None when it does not say.
      provisioning: how it was bought.
      accelerator: in GKE's words, such as nvidia-l4; None for none.
      count: of accelerators; 0 when it does not say.
      region: where it is, such as us-central1.
    """

    machine_type: str | None
    provisioning: Literal["OnDemand", "Spot", "FlexStart"] = "OnDemand"
    accelerator: str | None = None
    count: int = 0
    region: str | None = None


class KubeRay(Enum):
    """What is known of KubeRay from its CRD."""

    FINE = "1.7.0 or newer"
    TOO_OLD = "1.6"  # does not notice a lost head
    UNUSABLE = "older than 1.6"  # does not know all that our RayJobs have
    MISSING = "missing"


class FolderProblem(Enum):
    """Why the output folder cannot be read or written."""

    DENIED = "denied"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True)
class OutputFolder:
    """What is in the run's output folder.

    Attributes:
      problem: None when everything below was read; else nothing below is known.
      message: the store's sentence beside it.
      lease: lease.json; None when there is none or it is damaged.
      lease_version: its version; None when there is no such file.
      manifest: manifest.json; None when there is none or it is damaged.
      manifest_version: its version.
      silence_seconds: for how long this operator has watched the manifest without a gap and without seeing
        another version of it; by a clock that nobody sets, unlike the heartbeat's. None: not measured.
      wish: wish.json; None when there is none or it is damaged.
      ends: attempts/NN/end.json by attempt: of the newest attempt (the lease's) and of every attempt
        whose entry in the status has no end yet; more do no harm.
      has_results: whether results.json is there.
      cost: cost.json; None when there is none or it is damaged.
      cost_version: its version; None when there is no such file.
      denied: the store's sentence when it does not let the operator write there, as of the last write;
        "" when it does, or nobody has tried.
      is_due: whether it is time to try such a write again.
    """

    problem: FolderProblem | None = None
    message: str = ""
    lease: Lease | None = None
    lease_version: str | None = None
    manifest: Manifest | None = None
    manifest_version: str | None = None
    silence_seconds: float | None = None
    wish: Wish | None = None
    ends: Mapping[int, AttemptEnd] = field(default_factory=dict)
    has_results: bool = False
    cost: CostRecord | None = None
    cost_version: str | None = None
    denied: str = ""
    is_due: bool = True


@dataclass(frozen=True)
class Rival:
    """Another run of this cluster, to which the lease in the output folder belongs.

    Attributes:
      name: namespace and name.
      is_at_work: whether it has machines, or means to go on by itself.
    """

    name: str
    is_at_work: bool


class CloudProblem(Enum):
    """Why Google Cloud could not be asked, or did not do what was wanted."""

    DENIED = "denied"
    UNAVAILABLE = "unavailable"
    BUSY = "busy"


@dataclass(frozen=True)
class NodePool:
    """A node pool of the GKE cluster; its words are GKE's, see `NodePool` in cluster_service.proto.

    Attributes:
      status: PROVISIONING, RUNNING, RUNNING_WITH_ERROR, RECONCILING, STOPPING, ERROR or
        STATUS_UNSPECIFIED.
      is_ours: whether it carries the label of this installation; if not, it is never touched.
      spec_hash: from our label; "" when there is none.
      run_uid: of the run it is for alone; None for a shared one.
      min_nodes: least size in all zones together that the autoscaler keeps.
      max_nodes: largest size in all zones together that the autoscaler may reach; 0 without autoscaling.
      conditions: code and message of each, such as ("GCE_STOCKOUT", "..."); the newest state, as GKE has it.
      operation: name of the operation that creates, changes or deletes it right now, else None.
      etag: its version; what is done to it names the version that was seen.
    """

    name: str
    status: str
    is_ours: bool
    spec_hash: str = ""
    run_uid: str | None = None
    min_nodes: int = 0
    max_nodes: int = 0
    conditions: tuple[tuple[str, str], ...] = ()
    operation: str | None = None
    etag: str = ""


@dataclass(frozen=True)
class Quota:
    """How many accelerators of a kind the project may have, or None where that cannot be read.

    Attributes:
      name: of the quota in Google's words, such as PREEMPTIBLE_NVIDIA_L4_GPUS or GPUS_ALL_REGIONS.
      limit: what is allowed; None when it cannot be read.
      usage: what the project holds now, ours included; None when it cannot be read.
      region: for which it holds; "" for the whole project.
      message: why it cannot be read and which permission is missing; "" when it was read.
    """

    name: str
    limit: float | None
    usage: float | None
    region: str = ""
    message: str = ""


@dataclass(frozen=True)
class Cloud:
    """What Google Cloud says of the node pools of one run.

    Attributes:
      problem: what keeps the operator from reading, or lately kept it from changing, anything; else None.
      message: the sentence beside it.
      pools: that this run may use, by name as the plan wants them, and those that carry its uid; None when
        they could not be read.
      quotas: by the name of a pool, what its accelerators count against.
      refused: by the name of a pool that GKE lately refused to make, why, and its sentence.
    """

    problem: CloudProblem | None = None
    message: str = ""
    pools: tuple[NodePool, ...] | None = ()
    quotas: Mapping[str, tuple[Quota, ...]] = field(default_factory=dict)
    refused: Mapping[str, tuple[Reason, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Observed:
    """One run at one moment.

    Attributes:
      custom_resource: the run itself.
      ray_jobs: of all its attempts, also those being deleted; found by label, of this uid only.
      ray_clusters: made by KubeRay for them, found by label.
      pods: of those clusters, found by label.
      workers_lost: names of workers whose machines were taken away, of pods that are still there and of some
        that are gone: no name leaves before a status has it.
      config_maps: by name, of which spec (`names.SPEC_HASH`) the ConfigMaps of this run are that exist.
      kuberay: whether there is a KubeRay to make Ray clusters.
      folder: the output folder; None when the spec is not valid, so that nobody knows where it is.
      rival: the run of this cluster that has the output folder's lease, if that is another one.
      cloud: what Google Cloud says; None when the operator makes no nodes for this run.
      machines: by name, the nodes that workers are on, as far as they could be read.
      nodes_denied: whether they may not be read.
      now: UTC.
    """

    custom_resource: CustomResource
    now: datetime
    ray_jobs: tuple[RayJob, ...] = ()
    ray_clusters: tuple[RayCluster, ...] = ()
    pods: tuple[Pod, ...] = ()
    workers_lost: frozenset[str] = frozenset()
    config_maps: Mapping[str, str] = field(default_factory=dict)
    kuberay: KubeRay = KubeRay.FINE
    folder: OutputFolder | None = None
    rival: Rival | None = None
    cloud: Cloud | None = None
    machines: Mapping[str, Machine] = field(default_factory=dict)
    nodes_denied: bool = False
