"""`status` of a run: what users see in kubectl, written by the operator alone.

Conditions are the interface for programs; `phase` is derived from them for people. Only the last attempts and
the best member are here: the whole population is in the output folder.
Numbers that people read and money are text, because Kubernetes advises against floating point in objects.
"""

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from autolfads_spec.block import Block, list_keyed_by, wanted

_TIME: dict[str, Any] = wanted("a time such as 2030-01-31T18:00:00Z")


def _text(description: str, longest: int = 1024) -> Any:
    return Field(None, max_length=longest, description=description)


def _time(description: str) -> Any:
    return Field(None, max_length=40, json_schema_extra=_TIME, description=description)


def _count(description: str) -> Any:
    return Field(None, ge=0, description=description)


class Phase(StrEnum):
    """Where a run stands, for people; derived from the conditions."""

    PENDING = "Pending"
    VALIDATING = "Validating"
    QUEUED = "Queued"
    PROVISIONING = "Provisioning"
    STARTING = "Starting"
    RUNNING = "Running"
    PAUSING = "Pausing"
    SUSPENDED = "Suspended"
    FINALIZING = "Finalizing"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    DELETING = "Deleting"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing happens any more without the user."""
        return self in (Phase.SUCCEEDED, Phase.FAILED)


class ConditionType(StrEnum):
    """What can be true or false about a run; the last two are kstatus' pair, which tools look for."""

    ACCEPTED = "Accepted"
    DATA_READY = "DataReady"
    STORAGE_WRITABLE = "StorageWritable"
    KUBERAY_COMPATIBLE = "KubeRayCompatible"
    QUOTA_AVAILABLE = "QuotaAvailable"
    CAPACITY_AVAILABLE = "CapacityAvailable"
    CLUSTER_READY = "ClusterReady"
    PROGRESSING = "Progressing"
    BUDGET_OK = "BudgetOK"
    SUSPENDED = "Suspended"
    COMPLETE = "Complete"
    FAILED = "Failed"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"


class Reason(StrEnum):
    """Why a condition is as it is; a closed list, so that programs can rely on it."""

    AS_EXPECTED = "AsExpected"
    UNKNOWN = "Unknown"
    WAITING = "Waiting"
    INVALID_SPEC = "InvalidSpec"
    CHANGE_NOT_ALLOWED = "ChangeNotAllowed"
    BAD_INPUT = "BadInput"
    DATA_CHANGED = "DataChanged"
    OUTPUT_TAKEN = "OutputTaken"
    STORAGE_UNAVAILABLE = "StorageUnavailable"
    STORAGE_DENIED = "StorageDenied"
    KUBERAY_MISSING = "KubeRayMissing"
    KUBERAY_TOO_OLD = "TooOld"
    QUOTA_EXCEEDED = "QuotaExceeded"
    STOCKOUT = "Stockout"
    UNSCHEDULABLE = "Unschedulable"
    NODE_POOL_NOT_OWNED = "NodePoolNotOwned"
    NODE_POOL_FAILED = "NodePoolFailed"
    IMAGE_PULL = "ImagePull"
    QUEUED = "Queued"
    PROVISIONING = "Provisioning"
    STARTING = "Starting"
    VALIDATING = "Validating"
    TRAINING = "Training"
    FINALIZING = "Finalizing"
    PAUSED_BY_USER = "PausedByUser"
    PREEMPTED = "Preempted"
    HEAD_LOST = "HeadLost"
    HEAD_OUT_OF_MEMORY = "HeadOutOfMemory"
    OUT_OF_MEMORY = "OutOfMemory"
    DRIVER_STALLED = "DriverStalled"
    DRIVER_FAILED = "DriverFailed"
    RAYJOB_DELETED = "RayJobDeleted"
    GPU_NOT_READY = "GPUNotReady"
    ATTEMPTS_EXHAUSTED = "AttemptsExhausted"
    ALL_MEMBERS_DIVERGED = "AllMembersDiverged"
    BUDGET_EXCEEDED = "BudgetExceeded"
    PRICE_MISSING = "PriceMissing"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    DEADLINE_RAISED = "DeadlineRaised"
    SUCCEEDED = "Succeeded"
    CLEANUP_BLOCKED = "CleanupBlocked"


class Condition(Block):
    """One condition, in the form of the Kubernetes API conventions."""

    type: ConditionType = Field(strict=False, description="What is true or false.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it is.")
    reason: Reason = Field(strict=False, description="Why, in one word.")
    message: str = Field("", max_length=4096, description="Why, in a sentence for people.")
    last_transition_time: str | None = _time("When `status` last changed.")
    observed_generation: int | None = _count("metadata.generation of the object this is about.")


class Attempt(Block):
    """One try to run the population: one RayJob."""

    number: int = Field(ge=1, description="Number of the attempt, from 1.")
    ray_job: str | None = _text("Name of its RayJob.", 63)
    start_time: str | None = _time("When it started.")
    end_time: str | None = _time("When it ended.")
    end_reason: Reason | None = Field(None, strict=False, description="Why it ended.")
    generation: int | None = _count("Last generation it committed.")
    gpu_hours: str | None = _text("GPU-hours it used, a decimal number.", 16)


class Progress(Block):
    """How far the run is."""

    generation: int | None = _count("Generations committed.")
    of: int | None = _count("Generations asked for.")
    summary: str | None = _text("Both in one, such as 12/50.", 16)
    percent: int | None = Field(None, ge=0, le=100, description="Share of the generations, in percent.")
    epoch: int | None = _count("Epochs trained.")
    members_running: int | None = _count(
        "Members that are training: those of as many cohorts as accelerators are ready."
    )
    members_failed: int | None = _count("Members that diverged in the last generation.")
    preemptions: int | None = _count("Workers lost to preemption so far.")
    workers_lost: tuple[str, ...] | None = Field(
        None,
        strict=False,
        max_length=64,
        json_schema_extra={"x-item-max-length": 253},
        description="The last of these, by name, as long as their pods can be seen: each is counted once.",
    )
    workers_ready: str | None = _text("Workers ready and desired, such as 4/4.", 16)
    eta_seconds: int | None = _count("Estimated seconds to the end.")
    updated_at: str | None = _time("When this was last read from the output folder.")
    manifest_generation: str | None = _text(
        "Generation number of the manifest object this was read from.", 32
    )


class Best(Block):
    """The best member so far."""

    member: int | None = _count("Its number in the population.")
    generation: int | None = _count("The generation in which it was best.")
    metric: str | None = _text("Its smoothed validation loss, a decimal number.", 32)
    hyperparameters: dict[str, str] | None = Field(
        None, max_length=32, description="Its hyperparameters, decimal numbers by name."
    )
    checkpoint_uri: str | None = _text("Where its weights are.")


class StatusPaths(Block):
    """Where the run's files are."""

    root: str | None = _text("The output folder.")
    manifest: str | None = _text("The manifest.")
    best_model: str | None = _text("Weights of the best member.")
    rates: str | None = _text("Rates and factors, once the run is complete.")
    report: str | None = _text("The report, once the run is complete.")
    logs: str | None = _text("Training logs.")
    tensorboard: str | None = _text("TensorBoard logs.")


class NodePoolStatus(Block):
    """The node pool of the workers."""

    name: str | None = _text("Its name.", 63)
    managed: bool | None = Field(None, description="Whether the operator made it.")
    status: str | None = _text("Its status in GKE.", 63)
    operation: str | None = _text("The operation that is under way.", 253)
    last_error: str | None = _text("The last error, a sentence.")


class Cost(Block):
    """What the run has cost so far, an estimate."""

    estimate: str | None = _text("Amount, a decimal number.", 16)
    currency: str | None = _text("Its currency.", 8)
    gpu_hours: str | None = _text("GPU-hours used, a decimal number.", 16)
    rate: str | None = _text("Amount an hour at present, a decimal number.", 16)
    as_of: str | None = _time("When this was computed.")
    price_table: str | None = _text(
        "Name, region and date of the price table, and what is to be known about it.", 256
    )
    whole_run: str | None = _text(
        "Estimate of the whole run, a decimal number, from the measured time of its generations; absent "
        "before the first one.",
        16,
    )
    summary: str | None = _text("Both estimates in one, such as 1.27 of ~4.10 USD.", 48)


class RunStatus(Block):
    """What the operator observed; never written by anyone else."""

    observed_generation: int | None = _count("metadata.generation of the spec this status is about.")
    phase: Phase | None = Field(None, strict=False, description="Where the run stands, for people.")
    conditions: tuple[Condition, ...] | None = Field(
        None,
        strict=False,
        max_length=32,
        json_schema_extra=list_keyed_by("type"),
        description="What is true or false about the run, for programs.",
    )
    attempt: int | None = _count("Number of the present attempt.")
    attempts: tuple[Attempt, ...] | None = Field(
        None, strict=False, max_length=10, description="The last attempts, oldest first."
    )
    failed_attempts: int | None = _count(
        "Attempts that failed so far, of which `retry.maxAttempts` allows some."
    )
    paused_seconds: int | None = _count(
        "Seconds of all pauses that are over, and of those in which a run was complete that has gone further "
        "since; the deadline leaves them out."
    )
    progress: Progress | None = Field(None, description="How far the run is.")
    best: Best | None = Field(None, description="The best member so far.")
    paths: StatusPaths | None = Field(None, description="Where the run's files are.")
    ray_job_name: str | None = _text("Name of the present RayJob.", 63)
    ray_cluster_name: str | None = _text("Name of the present RayCluster.", 63)
    dashboard_service: str | None = _text("Name of the service of Ray's dashboard, inside the cluster.", 63)
    node_pool: NodePoolStatus | None = Field(None, description="The node pool of the workers.")
    cost: Cost | None = Field(None, description="What the run has cost so far, an estimate.")
    data_fingerprint: str | None = _text("Checksum of the recording that is trained on.", 128)
    image_digest: str | None = _text("Digest of the image that runs.", 512)
    spec_hash: str | None = _text("Hash of the spec that runs.", 128)
    start_time: str | None = _time("When the run first started.")
    completion_time: str | None = _time("When the run ended.")
    message: str | None = _text("The most important thing to know, a sentence.", 4096)
