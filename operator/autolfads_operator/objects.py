"""Kubernetes objects as they come over the wire, turned into the values of `observed`.

Tolerant on purpose: another version of KubeRay, or a status from a later version of ours, must not make an
object unreadable. What is missing is the default, what cannot be understood is left out.
"""

import datetime
import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ValidationError

from autolfads_operator.manifests import names
from autolfads_operator.manifests.pods import ACCELERATOR, FLEX_START, GPU, MACHINE_TYPE, SPOT
from autolfads_operator.observed import CustomResource, Machine, Pod, PodRole, RayCluster, RayJob
from autolfads_operator.times import parsed_or_none
from autolfads_spec import AutoLFADSRun, SpecError, load_run
from autolfads_spec.run import API_VERSION, KIND, cluster_problems
from autolfads_spec.status import RunStatus

Object = Mapping[str, Any]
ROLE_LABEL = "ray.io/node-type"
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_REGION = "topology.kubernetes.io/region"
# Of a container that waits: the everyday ones, which say nothing.
_USUAL_WAITING = ("", "ContainerCreating", "PodInitializing")


def labels_of(thing: Object) -> Mapping[str, str]:
    """metadata.labels."""
    found: Mapping[str, str] = thing.get("metadata", {}).get("labels") or {}
    return found


def run_uid_of(thing: Object) -> str | None:
    """The uid of the run that an object of ours was made for."""
    return labels_of(thing).get(names.UID_LABEL)


def spec_hash_of(thing: Object) -> str:
    """Of which spec an object of ours was made; "" when it does not say."""
    found: str = (thing["metadata"].get("annotations") or {}).get(names.SPEC_HASH, "")
    return found


Spec = tuple[AutoLFADSRun | None, tuple[str, ...]]


def custom_resource_of(thing: Object, spec: Spec) -> CustomResource:
    """The run; `spec` is what `spec_of` said of it."""
    metadata = thing["metadata"]
    run, problems = spec
    return CustomResource(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        resource_generation=int(metadata.get("generation", 1)),
        created=parsed_or_none(metadata.get("creationTimestamp")) or _EPOCH,
        run=run,
        problems=problems,
        status=status_of(thing.get("status") or {}),
        annotations=metadata.get("annotations") or {},
        finalizers=frozenset(metadata.get("finalizers") or ()),
        deleted_at=parsed_or_none(metadata.get("deletionTimestamp")),
    )


def spec_of(thing: Object) -> Spec:
    """What is asked for, checked again: a CRD of another version may have let something through.

    Returns:
      The run and no sentence, or none and a sentence for every problem.
    """
    content = {
        "apiVersion": thing.get("apiVersion", API_VERSION),
        "kind": thing.get("kind", KIND),
        # Labels and annotations are anybody's, and no part of what is asked for.
        "metadata": {key: thing["metadata"].get(key) for key in ("name", "namespace")},
        "spec": thing.get("spec") or {},
    }
    try:
        run = load_run(content)
    except SpecError as error:
        return None, error.sentences
    problems = cluster_problems(run)
    return (None if problems else run), problems


def own_status(thing: Object) -> dict[str, Any]:
    """The parts of a run's status that are as we wrote them.

    The status is also what the operator remembers. What somebody else has written over belongs to them,
    says the server, until we write it again; it must not be taken for a memory of ours.
    """
    status = thing.get("status") or {}
    managed = thing["metadata"].get("managedFields")
    if managed is None:
        return dict(status)
    for entry in managed:
        if entry.get("manager") == names.FIELD_MANAGER and entry.get("subresource") == "status":
            return dict(_owned(status, entry.get("fieldsV1", {}).get("f:status") or {"f:": {}}))
    return {}


def _owned(value: Any, fields: Mapping[str, Any]) -> Any:
    """The part of a value that a set of fields names, in the server's notation; a leaf is all of it."""
    if not any(step.startswith(("f:", "k:")) for step in fields):
        return value
    if isinstance(value, Mapping):
        return {
            key: _owned(inner, fields[f"f:{key}"]) for key, inner in value.items() if f"f:{key}" in fields
        }
    keyed = [(json.loads(step[2:]), inner) for step, inner in fields.items() if step.startswith("k:")]
    return [_owned(entry, inner) for entry in value for key, inner in keyed if key.items() <= entry.items()]


def status_of(written: Object) -> RunStatus:
    """The status that was written last; parts that this version cannot understand are left out."""
    content: Any = _copy(written)
    for _ in range(20):
        try:
            return RunStatus.model_validate(content, by_alias=True, by_name=False)
        except ValidationError as error:
            for problem in reversed(error.errors()):  # from the end: a list loses entries
                _remove(content, problem["loc"])
    return RunStatus()


def _copy(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _copy(value) for key, value in content.items()}
    return [_copy(value) for value in content] if isinstance(content, list) else content


def _remove(content: Any, place: tuple[int | str, ...]) -> None:
    """Take away what is at `place`, or the innermost thing around it that is there."""
    around: list[tuple[Any, int | str]] = []
    here = content
    for step in place:
        is_entry = isinstance(here, list) and isinstance(step, int) and step < len(here)
        if not is_entry and not (isinstance(here, dict) and step in here):
            break
        around.append((here, step))
        here = here[step]
    if around:
        holder, step = around[-1]
        del holder[step]


def ray_job_of(thing: Object) -> RayJob | None:
    """A RayJob of ours; None without the label that says of which attempt."""
    attempt = names.attempt_of(labels_of(thing))
    if attempt is None:
        return None
    metadata, status = thing["metadata"], thing.get("status") or {}
    return RayJob(
        name=metadata["name"],
        uid=metadata["uid"],
        attempt=attempt,
        created=parsed_or_none(metadata.get("creationTimestamp")) or _EPOCH,
        job_status=status.get("jobStatus") or "",
        deployment_status=status.get("jobDeploymentStatus") or "",
        reason=status.get("reason") or "",
        message=status.get("message") or "",
        cluster_name=status.get("rayClusterName") or None,
        started=parsed_or_none(status.get("startTime")),
        job_started=parsed_or_none((status.get("rayJobInfo") or {}).get("startTime")),
        ended=parsed_or_none(status.get("endTime")),
        spec_hash=spec_hash_of(thing),
        deleted_at=parsed_or_none(metadata.get("deletionTimestamp")),
    )


def ray_cluster_of(thing: Object) -> RayCluster | None:
    """A RayCluster that was made for a RayJob of ours."""
    attempt = names.attempt_of(labels_of(thing))
    if attempt is None:
        return None
    metadata, status = thing["metadata"], thing.get("status") or {}
    groups = (thing.get("spec") or {}).get("workerGroupSpecs") or [{}]
    return RayCluster(
        name=metadata["name"],
        attempt=attempt,
        state=status.get("state") or "",
        replicas=int(groups[0].get("replicas") or 0),
        max_replicas=int(groups[0].get("maxReplicas") or 0),
        ready_workers=int(status.get("readyWorkerReplicas") or 0),
        head_service=(status.get("head") or {}).get("serviceName") or None,
        deleted_at=parsed_or_none(metadata.get("deletionTimestamp")),
    )


def pod_of(thing: Object) -> Pod | None:
    """A head or worker of ours."""
    attempt = names.attempt_of(labels_of(thing))
    role = labels_of(thing).get(ROLE_LABEL)
    if attempt is None or role not in (PodRole.HEAD, PodRole.WORKER):
        return None
    metadata, status = thing["metadata"], thing.get("status") or {}
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    reason, message, exit_code = _why(status, conditions)
    ready = conditions.get("Ready", {})
    scheduled = conditions.get("PodScheduled", {})
    unschedulable = scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable"
    return Pod(
        name=metadata["name"],
        role=PodRole(role),
        attempt=attempt,
        phase=status.get("phase") or "Unknown",
        is_ready=ready.get("status") == "True",
        unready_since=parsed_or_none(ready.get("lastTransitionTime"))
        if ready.get("status") == "False"
        else None,
        reason=reason,
        message=message,
        exit_code=exit_code,
        unschedulable=(scheduled.get("message") or "no node") if unschedulable else None,
        node=(thing.get("spec") or {}).get("nodeName") or None,
        placed_at=_placed_at(thing, scheduled),
        gpus=_gpus(thing),
        image_digest=_ray_container(status).get("imageID") or None,
        deleted_at=parsed_or_none(metadata.get("deletionTimestamp")),
    )


def machine_of(node: Object) -> Machine:
    """What a node is."""
    labels = labels_of(node)
    provisioning: Literal["OnDemand", "Spot", "FlexStart"] = "OnDemand"
    if labels.get(SPOT) == "true":
        provisioning = "Spot"
    elif labels.get(FLEX_START) == "true":
        provisioning = "FlexStart"
    return Machine(
        machine_type=labels.get(MACHINE_TYPE) or None,
        provisioning=provisioning,
        accelerator=labels.get(ACCELERATOR) or None,
        count=_count(((node.get("status") or {}).get("capacity") or {}).get(GPU)),
        region=labels.get(_REGION) or None,
    )


def _placed_at(pod: Object, scheduled: Object) -> datetime.datetime | None:
    """Since when a pod has its node; rather too early than too late."""
    found = scheduled.get("lastTransitionTime") if scheduled.get("status") == "True" else None
    return parsed_or_none(found) or parsed_or_none(pod["metadata"].get("creationTimestamp"))


def _gpus(pod: Object) -> int:
    containers = (pod.get("spec") or {}).get("containers") or ()
    limits = ((container.get("resources") or {}).get("limits") or {} for container in containers)
    return sum(_count(limit.get(GPU)) for limit in limits)


def _count(quantity: object) -> int:
    return int(str(quantity)) if str(quantity).isdigit() else 0


def _why(status: Object, conditions: Mapping[str, Object]) -> tuple[str, str, int | None]:
    """The most telling reason why a pod does not do well, its sentence, and the exit code beside it."""
    container = _ray_container(status)
    now, before = container.get("state") or {}, container.get("lastState") or {}
    ended = now.get("terminated") or before.get("terminated") or {}
    waiting = now.get("waiting") or {}
    exit_code = ended.get("exitCode")
    if ended.get("reason") == "OOMKilled":
        return "OOMKilled", ended.get("message") or "", exit_code
    disruption = conditions.get("DisruptionTarget", {})
    if status.get("reason"):
        return status["reason"], status.get("message") or "", exit_code
    if disruption.get("status") == "True":
        return "Preempted", disruption.get("message") or disruption.get("reason") or "", exit_code
    if (waiting.get("reason") or "") not in _USUAL_WAITING:
        return waiting["reason"], waiting.get("message") or "", exit_code
    return ended.get("reason") or "", ended.get("message") or "", exit_code


def _ray_container(status: Object) -> Object:
    """The container that runs Ray, or, while an init container is at fault, that one."""
    for container in status.get("initContainerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting") or {}
        if (waiting.get("reason") or "") not in _USUAL_WAITING:
            return dict(container)
    containers = status.get("containerStatuses") or ()
    for container in containers:
        if container.get("name") == names.RAY_CONTAINER:
            return dict(container)
    return dict(containers[0]) if containers else {}
