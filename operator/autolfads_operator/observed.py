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

from autolfads_spec.attempt import AttemptEnd, Wish
from autolfads_spec.manifest import Lease, Manifest
from autolfads_spec.run import AutoLFADSRun
from autolfads_spec.status import RunStatus


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
      reason: of the pod or of its Ray container, the more telling one: OOMKilled, ImagePullBackOff,
        ErrImagePull, InvalidImageName, CreateContainerConfigError, Evicted, Preempted, Terminated, …; ""
        for none. An OOMKilled of the last termination counts although the container runs again.
      message: the sentence beside it.
      exit_code: of the Ray container, present or last termination.
      unschedulable: the scheduler's sentence while it finds no node, else None.
      node: where it runs, once that is known.
      image_digest: imageID of its Ray container, once that is known.
      deleted_at: metadata.deletionTimestamp.
    """

    name: str
    role: PodRole
    attempt: int
    phase: str
    is_ready: bool = False
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    unschedulable: str | None = None
    node: str | None = None
    image_digest: str | None = None
    deleted_at: datetime | None = None


class KubeRay(Enum):
    """What is known of KubeRay from its CRD: too old means below 1.7.0."""

    FINE = "fine"
    TOO_OLD = "too old"
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
      wish: wish.json; None when there is none or it is damaged.
      ends: attempts/NN/end.json by attempt: of the newest attempt (the lease's) and of every attempt
        whose entry in the status has no end yet; more do no harm.
      has_results: whether results.json is there.
    """

    problem: FolderProblem | None = None
    message: str = ""
    lease: Lease | None = None
    lease_version: str | None = None
    manifest: Manifest | None = None
    manifest_version: str | None = None
    wish: Wish | None = None
    ends: Mapping[int, AttemptEnd] = field(default_factory=dict)
    has_results: bool = False


@dataclass(frozen=True)
class Observed:
    """One run at one moment.

    Attributes:
      custom_resource: the run itself.
      ray_jobs: of all its attempts, also those being deleted; found by label, of this uid only.
      ray_clusters: made by KubeRay for them, found by label.
      pods: of those clusters, found by label.
      config_maps: names of the ConfigMaps of this run that exist.
      kuberay: whether there is a KubeRay to make Ray clusters.
      folder: the output folder; None when the spec is not valid, so that nobody knows where it is.
      now: UTC.
    """

    custom_resource: CustomResource
    now: datetime
    ray_jobs: tuple[RayJob, ...] = ()
    ray_clusters: tuple[RayCluster, ...] = ()
    pods: tuple[Pod, ...] = ()
    config_maps: frozenset[str] = frozenset()
    kuberay: KubeRay = KubeRay.FINE
    folder: OutputFolder | None = None
