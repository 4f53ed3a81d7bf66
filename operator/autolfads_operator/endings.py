"""Why an attempt is over, and what follows from that; a table from what was observed to a `Reason`.

What a driver said itself comes first. Where it could not say anything, KubeRay's reason and the pods
tell. What follows hangs on the Reason alone, because that is what the status keeps of an attempt.
"""

import re
from dataclasses import dataclass
from enum import Enum

from autolfads_operator import capacity, times
from autolfads_operator.observed import FolderProblem, Pod, RayJob
from autolfads_operator.situation import Situation
from autolfads_spec.attempt import AttemptEnd, EndClass
from autolfads_spec.errors import DeniedError
from autolfads_spec.lifecycle import seconds
from autolfads_spec.status import ConditionType, Reason


class Outcome(Enum):
    """What follows from the end of an attempt."""

    SUCCEEDED = "the run is complete"
    PAUSED = "go on when the user wants"
    NO_MACHINES = "stop until the user changes something: waiting longer only costs"
    RETRY = "the same may succeed with other machines, or later"
    DENIED = "the same again for as long as it takes: somebody must give a role, and costs no attempt"
    OVER_BUDGET = "stop until the user allows more, or for good, as the budget says"
    FATAL = "the user must mend something"


@dataclass(frozen=True)
class Ending:
    """That an attempt is over.

    Attributes:
      reason: why.
      message: the same as a sentence for people.
    """

    reason: Reason
    message: str

    @property
    def outcome(self) -> Outcome:
        return outcome(self.reason)


_OUTCOMES = {
    Reason.SUCCEEDED: Outcome.SUCCEEDED,
    Reason.PAUSED_BY_USER: Outcome.PAUSED,
    Reason.DEADLINE_RAISED: Outcome.PAUSED,
    Reason.STOCKOUT: Outcome.NO_MACHINES,
    Reason.QUOTA_EXCEEDED: Outcome.NO_MACHINES,
    Reason.NODE_POOL_FAILED: Outcome.NO_MACHINES,
    Reason.UNSCHEDULABLE: Outcome.NO_MACHINES,
    Reason.IMAGE_PULL: Outcome.NO_MACHINES,
    Reason.STORAGE_DENIED: Outcome.DENIED,
    Reason.BAD_INPUT: Outcome.FATAL,
    Reason.DATA_CHANGED: Outcome.FATAL,
    Reason.INVALID_SPEC: Outcome.FATAL,
    Reason.OUTPUT_TAKEN: Outcome.FATAL,
    Reason.ALL_MEMBERS_DIVERGED: Outcome.FATAL,
    Reason.OUT_OF_MEMORY: Outcome.FATAL,
    Reason.DEADLINE_EXCEEDED: Outcome.FATAL,
    Reason.BUDGET_EXCEEDED: Outcome.OVER_BUDGET,
    Reason.NODE_POOL_NOT_OWNED: Outcome.FATAL,
}

_SAID_BY_DRIVER = {
    EndClass.OK: Reason.SUCCEEDED,
    EndClass.PAUSED: Reason.PAUSED_BY_USER,
    EndClass.BAD_INPUT: Reason.BAD_INPUT,
    EndClass.INPUT_DENIED: Reason.STORAGE_DENIED,
    EndClass.DENIED: Reason.STORAGE_DENIED,
    EndClass.DATA_CHANGED: Reason.DATA_CHANGED,
    EndClass.BAD_CONFIG: Reason.INVALID_SPEC,
    EndClass.OUTPUT_TAKEN: Reason.OUTPUT_TAKEN,
    EndClass.DIVERGED: Reason.ALL_MEMBERS_DIVERGED,
    EndClass.DEVICE_NOT_READY: Reason.GPU_NOT_READY,
    EndClass.OUT_OF_MEMORY: Reason.OUT_OF_MEMORY,
    EndClass.STORE_UNAVAILABLE: Reason.STORAGE_UNAVAILABLE,
    EndClass.INTERRUPTED: Reason.HEAD_LOST,
    EndClass.INTERNAL: Reason.DRIVER_FAILED,
}

_SAID_BY_KUBERAY = {
    "DeadlineExceeded": Reason.DEADLINE_EXCEEDED,
    "PreRunningDeadlineExceeded": Reason.STOCKOUT,
    "JobStatusCheckTimeoutExceeded": Reason.HEAD_LOST,
    "ValidationFailed": Reason.INVALID_SPEC,
}

# Ray's words for a process that it ended because memory was nearly full, and for a driver that got SIGKILL,
# which nobody sends but the kernel when it is full.
_KILLED = re.compile(r"node running low on memory|failed with exit code (-9|137)\b")

# Ray's words for the death of a process of its own that the driver lives under. A kernel whose memory is full
# may choose that one.
_RAY_DIED = "Job supervisor actor died"

# Ray's words for a driver that ended with `autolfads`' exit code for a role or credentials that are missing:
# one that may not write the output folder cannot leave a word there. In the lines of its log that Ray adds,
# who lacks which permission.
_DENIED = re.compile(rf"failed with exit code {DeniedError.exit_code}\b")
_LACKS = re.compile(r"found that ([^\"\\\n]+?) may not \(([^)\"\\\n]+)\)")

IMAGE_PROBLEMS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")


def outcome(reason: Reason) -> Outcome:
    """What follows; whatever is not in the table is worth another attempt."""
    return _OUTCOMES.get(reason, Outcome.RETRY)


def said(end: AttemptEnd | None) -> Reason | None:
    """The Reason of what a driver has written."""
    return _SAID_BY_DRIVER[end.end_class] if end is not None else None


def forgotten(end: AttemptEnd | None) -> Reason:
    """Of an attempt whose end was never written into the status, and which another one has followed."""
    return said(end) or Reason.DRIVER_FAILED


def said_by_driver(situation: Situation) -> Ending | None:
    """The end of the present attempt in its newest driver's own words."""
    end = situation.last_end
    if end is None:
        return None
    reason = _SAID_BY_DRIVER[end.end_class]
    if reason is Reason.STORAGE_DENIED:
        return Ending(reason, f"{end.message} (the pods are {_account(situation)}); {_GOES_ON}")
    return Ending(reason, end.message)


def ended_by_itself(situation: Situation) -> Ending | None:
    """Why the present attempt is over, without our doing; None while it is not, or nobody can tell.

    An attempt is over when KubeRay has given it up, or when its RayJob is gone or going. While the
    output folder cannot be read nobody knows what its driver has said, and nothing is decided.
    """
    if not situation.is_started or situation.is_live or situation.folder is None:
        return None
    job = situation.ray_job
    is_gone = job is None or job.deleted_at is not None
    said = said_by_driver(situation)
    # A head that was taken away is no cause where it is known who took it.
    was_ended = is_gone or (job is not None and job.reason == "DeadlineExceeded")
    if said is not None and not (was_ended and said.reason is Reason.HEAD_LOST):
        return said
    if job is None or is_gone:
        return Ending(Reason.RAYJOB_DELETED, "its RayJob was deleted by somebody else")
    if job.job_status == "SUCCEEDED" and situation.folder.has_results:
        return Ending(Reason.SUCCEEDED, "the results are written")
    return _post_mortem(situation, job)


def _post_mortem(situation: Situation, job: RayJob) -> Ending:
    """Of an attempt whose driver said nothing."""
    reason, message = job.reason, job.message
    raised = _raised(situation, job)
    if raised is not None:
        return Ending(
            Reason.DEADLINE_RAISED,
            f"KubeRay has ended it by the {raised} that it began with; that was raised since, so the run "
            "goes on after the last committed generation, and no attempt is used up",
        )
    told = f"KubeRay says {reason or 'nothing'}" + (f": {message}" if message else "")
    found = _SAID_BY_KUBERAY.get(reason, Reason.DRIVER_FAILED)
    if reason == "PreRunningDeadlineExceeded":
        return no_machines(situation, told)
    if found is Reason.INVALID_SPEC:
        return Ending(
            found,
            f"wanted KubeRay to accept the RayJob, found that it does not ({message}); this is a defect of "
            "the operator or a KubeRay that it does not know",
        )
    is_killed = head_ran_out_of_memory(situation) or _KILLED.search(message) is not None
    if is_killed and found is not Reason.DEADLINE_EXCEEDED:
        return _out_of_memory(situation)
    if _DENIED.search(message.partition("\n")[0]):
        return _denied(situation, message)
    if found is Reason.HEAD_LOST:
        return Ending(found, f"Ray's head did not answer any more ({told})")
    if found is Reason.DRIVER_FAILED and message.startswith(_RAY_DIED):
        return Ending(Reason.HEAD_LOST, f"a process of Ray's died on the head ({told})")
    if found is Reason.DRIVER_FAILED and situation.rival is not None:
        return Ending(found, f"the driver has lost {situation.spec.output.uri} to {situation.rival}")
    storage = situation.condition(ConditionType.STORAGE_WRITABLE)
    is_seen = not is_denied(situation)  # by the operator, not told by a driver before
    if is_seen and found is Reason.DRIVER_FAILED and storage is not None and storage.status == "False":
        return Ending(
            storage.reason,
            f"the driver ended while nobody could reach {situation.spec.output.uri}, and could not say why; "
            "what is committed is safe",
        )
    return Ending(found, f"the driver ended without saying why ({told})")


def _raised(situation: Situation, job: RayJob) -> str | None:
    """The field that has set a deadline of KubeRay's and was raised since: a RayJob keeps its deadlines."""
    schedule = situation.spec.schedule
    if job.reason == "DeadlineExceeded" and situation.seconds_left > 0:
        return "spec.schedule.deadline"
    waited = times.seconds_since(job.started or job.created, job.ended or situation.now)
    if job.reason == "PreRunningDeadlineExceeded" and waited < seconds(schedule.provisioning_timeout):
        return "spec.schedule.provisioningTimeout"
    return None


def is_denied(situation: Situation) -> bool:
    """Whether the newest attempt of which anything is known has ended because a role is missing."""
    ended = [entry for entry in situation.history if entry.end_reason is not None]
    is_known = situation.has_begun and situation.last is not None and situation.last.end_reason is None
    return bool(ended) and not is_known and ended[-1].end_reason is Reason.STORAGE_DENIED


def is_denied_input(situation: Situation) -> bool:
    """Whether the role is missing that lets the present attempt read the recording, says its driver."""
    end = situation.last_end
    return end is not None and end.end_class is EndClass.INPUT_DENIED


_GOES_ON = "new roles take up to seven minutes to hold; the run goes on by itself, and no attempt is used up"


def _denied(situation: Situation, message: str) -> Ending:
    """Of a driver that may not use the output folder."""
    address = situation.spec.output.uri
    bucket, lacks = "/".join(address.split("/")[:3]), _LACKS.search(message)
    found = f"{lacks[1]} may not ({lacks[2]})" if lacks else "Cloud Storage does not let them"
    return Ending(
        Reason.STORAGE_DENIED,
        f"wanted the run's pods to write {address}, found that {found}; give {_account(situation)} the role "
        f"roles/storage.objectUser on {bucket}; {_GOES_ON}",
    )


def _account(situation: Situation) -> str:
    name = situation.spec.compute.service_account_name or situation.terms.worker_service_account or "default"
    return f"Kubernetes service account {name} of namespace {situation.resource.namespace}"


def head_ran_out_of_memory(situation: Situation) -> bool:
    """Whether the kernel has killed a head of the present attempt."""
    return any(pod.reason == "OOMKilled" for pod in situation.pods if pod.role == "head")


def head_trouble(situation: Situation) -> Ending | None:
    """Why the head of an attempt under way will not do, although its machine starts it again and again.

    Whatever it starts anew begins without Ray's state: nothing is lost by giving the attempt up.
    """
    if head_ran_out_of_memory(situation):
        return _out_of_memory(situation)
    for pod in situation.pods:
        if pod.role == "head" and pod.reason == "CrashLoopBackOff":
            return Ending(
                Reason.HEAD_LOST,
                f"wanted pod {pod.name} to run Ray's head, found that it ends at once, again and again (exit "
                f"code {pod.exit_code}); look at its log, and raise spec.compute.head.memory if it is small",
            )
    return None


def _out_of_memory(situation: Situation) -> Ending:
    return Ending(
        Reason.HEAD_OUT_OF_MEMORY,
        f"wanted the head to live within {situation.spec.compute.head.memory}, found that it used more; "
        "raise spec.compute.head.memory",
    )


def no_machines(situation: Situation, told: str) -> Ending:
    """That machines did not come in time, for the reason that the pods give."""
    waited = f"within {situation.spec.schedule.provisioning_timeout} (spec.schedule.provisioningTimeout)"
    cure = "set spec.suspend to true and back to false to try again"
    for pod in situation.pods:
        if pod.reason in IMAGE_PROBLEMS:
            return Ending(
                Reason.IMAGE_PULL,
                f"wanted pod {pod.name} to run {waited}, found {_image(pod)}; mend it and {cure}",
            )
    if situation.wanted_pools and situation.has_begun:
        lacking = _lacking(situation, waited, cure)
        if lacking is not None:
            return lacking
    stuck = next((pod.unschedulable for pod in situation.pods if pod.unschedulable), None)
    found = f"that no node takes them: {stuck}" if stuck else f"too few ({told})"
    return Ending(Reason.STOCKOUT, f"wanted machines {waited}, found {found}; {cure}")


def _lacking(situation: Situation, waited: str, cure: str) -> Ending | None:
    """What the node pools and quotas of a run say about the machines that did not come."""
    held = capacity.tightest(situation) if capacity.is_held(situation) else None
    if held is not None:
        return Ending(
            Reason.QUOTA_EXCEEDED,
            f"wanted machines {waited}, found that quota {held.name} allows {held.limit or 0:g} accelerators "
            f"of the {capacity.least(situation)} needed; the run goes on by itself once Google allows more",
        )
    for code, reason in (
        (capacity.STOCKOUT, Reason.STOCKOUT),
        (capacity.QUOTA_EXCEEDED, Reason.QUOTA_EXCEEDED),
    ):
        told = capacity.any_said(situation, code)
        if told is not None:
            return Ending(reason, f"wanted machines {waited}, found {told}; {cure}")
    if any(capacity.is_usable(pool) for pool in capacity.existing(situation)):
        return None
    before = situation.previous.node_pool
    why = situation.cloud.message if situation.cloud is not None else ""
    why = why or (before.last_error if before is not None and before.last_error else "it was never ready")
    return Ending(Reason.NODE_POOL_FAILED, f"wanted a node pool {waited}, found none: {why}; {cure}")


def _image(pod: Pod) -> str:
    return f"{pod.reason}: {pod.message}" if pod.message else pod.reason


def folder_reason(problem: FolderProblem) -> Reason:
    """The Reason of a problem of the output folder."""
    return Reason.STORAGE_DENIED if problem is FolderProblem.DENIED else Reason.STORAGE_UNAVAILABLE
