"""Conditions and phase: the facts of an observation, one by one, and how they are written down.

A condition that only says what was observed is made here; what was decided (Progressing, Suspended,
Complete, Failed) comes with the verdict. `lastTransitionTime` moves only when `status` does, so it tells
since when something is so, and the operator itself relies on that.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NamedTuple

from autolfads_operator import budget, capacity, endings, times
from autolfads_operator.endings import Ending, Outcome
from autolfads_operator.observed import KubeRay, Pod
from autolfads_operator.situation import Situation
from autolfads_spec.status import Condition, ConditionType, Phase, Reason, RunStatus

LONGEST_MESSAGE = 1024


class Told(NamedTuple):
    """What a condition says."""

    status: Literal["True", "False", "Unknown"]
    reason: Reason
    message: str = ""


NOT_SO = Told("False", Reason.AS_EXPECTED)
OF_DATA = (Reason.BAD_INPUT, Reason.DATA_CHANGED)


def facts(situation: Situation) -> dict[ConditionType, Told]:
    """What the observation itself says, of a run with a valid spec."""
    return {
        ConditionType.ACCEPTED: Told("True", Reason.AS_EXPECTED, "the spec is valid"),
        ConditionType.DATA_READY: _data(situation),
        ConditionType.STORAGE_WRITABLE: _storage(situation),
        ConditionType.KUBERAY_COMPATIBLE: _kuberay(situation),
        ConditionType.QUOTA_AVAILABLE: quota(situation),
        ConditionType.BUDGET_OK: _budget(situation),
        ConditionType.CLUSTER_READY: cluster(situation),
        ConditionType.CAPACITY_AVAILABLE: _capacity(situation),
    }


def bad_data(reason: Reason) -> Told:
    """DataReady of a run whose attempt has ended for a reason in `OF_DATA`."""
    return Told("False", reason, "the recording cannot be used as it is")


def of_ending(situation: Situation, ending: Ending | None) -> dict[ConditionType, Told]:
    """What the end of an attempt says that has just turned out, against what the observation says."""
    if ending is None:
        return {}
    if ending.reason in OF_DATA:
        return {ConditionType.DATA_READY: bad_data(ending.reason)}
    if ending.reason is not Reason.STORAGE_DENIED:
        return {}
    is_input = endings.is_denied_input(situation)
    kind = ConditionType.DATA_READY if is_input else ConditionType.STORAGE_WRITABLE
    return {kind: Told("False", ending.reason, ending.message)}


def _is_still_denied(situation: Situation, kind: ConditionType) -> bool:
    """Whether a role is missing that an attempt has asked for, as far as later ones have come."""
    before = situation.condition(kind)
    is_told = before is not None and (before.status, before.reason) == ("False", Reason.STORAGE_DENIED)
    return is_told and endings.is_denied(situation)


def _data(situation: Situation) -> Told:
    reason = situation.last.end_reason if situation.last is not None else None
    if reason in OF_DATA:
        return bad_data(reason)
    if situation.folder is None or _is_still_denied(situation, ConditionType.DATA_READY):
        return _as_before(situation, ConditionType.DATA_READY)
    if situation.has_begun:
        return Told("True", Reason.AS_EXPECTED, "the driver has read and checked the recording")
    return Told("Unknown", Reason.WAITING, "the recording is checked before any worker is asked for")


def _storage(situation: Situation) -> Told:
    folder = situation.observed.folder
    if folder is not None and folder.problem is not None:
        return Told("False", endings.folder_reason(folder.problem), folder.message)
    if folder is not None and folder.denied:
        return Told("False", Reason.STORAGE_DENIED, f"{folder.denied}; the run goes on by itself")
    if _is_still_denied(situation, ConditionType.STORAGE_WRITABLE):
        return _as_before(situation, ConditionType.STORAGE_WRITABLE)
    if situation.lease is not None:
        return Told("True", Reason.AS_EXPECTED, f"the lease is written in {situation.spec.output.uri}")
    return Told("Unknown", Reason.WAITING, "nothing was written yet")


def _kuberay(situation: Situation) -> Told:
    if situation.observed.kuberay is KubeRay.MISSING:
        return Told(
            "False",
            Reason.KUBERAY_MISSING,
            "wanted KubeRay 1.7.0 or newer in the cluster, found none; install it, then the run goes on",
        )
    if situation.observed.kuberay is KubeRay.UNUSABLE:
        return Told(
            "False",
            Reason.KUBERAY_TOO_OLD,
            "wanted KubeRay 1.7.0 or newer in the cluster, 1.6 at least, found an older one, which cannot "
            "start a run; upgrade KubeRay and its CRDs, then the run goes on",
        )
    if situation.observed.kuberay is KubeRay.TOO_OLD:
        return Told(
            "False",
            Reason.KUBERAY_TOO_OLD,
            "wanted KubeRay 1.7.0 or newer, found an older one, which does not notice a lost head; the "
            "operator's own watchdog does; upgrade KubeRay",
        )
    return Told("True", Reason.AS_EXPECTED, "KubeRay 1.7.0 or newer")


def _budget(situation: Situation) -> Told:
    asked = situation.spec.budget
    lacking = budget.lacks_price(situation)
    if lacking is not None:
        return Told("False", Reason.PRICE_MISSING, lacking)
    if not budget.is_limited(asked):
        return Told("True", Reason.AS_EXPECTED, "no budget is set")
    if situation.cost is None:
        return _as_before(situation, ConditionType.BUDGET_OK)
    over = budget.excess(situation)
    if over is not None:
        return Told("False", Reason.BUDGET_EXCEEDED, over)
    if budget.has_ended_training(situation):
        return _as_before(situation, ConditionType.BUDGET_OK)
    return Told("True", Reason.AS_EXPECTED, "the run keeps to its budget")


def quota(situation: Situation) -> Told:
    """Whether the project may have as many accelerators as the run wants, as far as Google tells."""
    if not situation.wanted_pools:
        return Told("Unknown", Reason.UNKNOWN, "not checked: the operator does not make this run's nodes")
    said = capacity.any_said(situation, capacity.QUOTA_EXCEEDED)
    found = capacity.tightest(situation)
    cure = "ask Google for more under IAM & Admin, Quotas (docs/node-pools.md)"
    if found is None or found.limit is None:
        if said is not None:
            return Told("False", Reason.QUOTA_EXCEEDED, f"{said}; {cure}")
        unread = (each for wanted in situation.wanted_pools for each in capacity.of(situation, wanted))
        why = next((each.message for each in unread if each.message), "no quota of these nodes is known")
        return Told("Unknown", Reason.UNKNOWN, why)
    name = f"quota {found.name}{f' in {found.region}' if found.region else ''}"
    used = "" if found.usage is None else f", of which {found.usage:g} are in use"
    least, most = capacity.least(situation), capacity.most(situation)
    if found.limit < least:
        return Told(
            "False",
            Reason.QUOTA_EXCEEDED,
            f"wanted at least {least} of {name}, found a limit of {found.limit:g}; {cure}, and the run goes "
            "on by itself; no GPU machine is made or paid for meanwhile",
        )
    if found.limit < most:
        message = f"wanted {most} of {name}, found a limit of {found.limit:g}"
        return Told(
            "False", Reason.QUOTA_EXCEEDED, f"{message}; the run goes on with fewer workers, or {cure}"
        )
    if said is not None:
        return Told("False", Reason.QUOTA_EXCEEDED, f"{said}; {name} is {found.limit:g}{used}; {cure}")
    return Told("True", Reason.AS_EXPECTED, f"{name} is {found.limit:g}{used}; the run needs {most}")


def cluster(situation: Situation) -> Told:
    """Whether the present attempt has its head and enough workers."""
    if not situation.is_live:
        return Told("False", Reason.WAITING, "no attempt is under way")
    for pod in situation.pods:
        if pod.reason in endings.IMAGE_PROBLEMS:
            return Told("False", Reason.IMAGE_PULL, f"pod {pod.name}: {pod.reason} {pod.message}".rstrip())
    if situation.head is None and situation.has_begun:
        return Told("False", Reason.HEAD_LOST, "the head pod is missing")
    if situation.head is None or not situation.head.is_ready:
        return _missing(situation, "the head is not ready")
    if not situation.has_begun:
        return Told("False", Reason.VALIDATING, "workers are asked for once the recording is checked")
    if situation.ready_workers < _enough(situation):
        return _missing(situation, _ready(situation))
    return Told("True", Reason.AS_EXPECTED, _ready(situation))


def _ready(situation: Situation) -> str:
    wanted, desired = situation.most_workers, situation.spec.compute.workers.desired
    ready = f"{situation.ready_workers} of {wanted} workers are ready"
    if wanted == desired:
        return ready
    return f"{ready}; there are cohorts for no more, so of the {desired} desired none else is asked for"


def _missing(situation: Situation, what: str) -> Told:
    stuck = _unschedulable(situation)
    if stuck is None:
        return Told("False", Reason.PROVISIONING, what)
    return Told("False", Reason.UNSCHEDULABLE, f"{what}; pod {stuck.name}: {stuck.unschedulable}")


def _enough(situation: Situation) -> int:
    """Workers without which nothing goes on: `workers.min` to start with, then any."""
    was_ready = situation.since(ConditionType.CLUSTER_READY, "True") is not None
    return 1 if was_ready or _has_committed(situation) else situation.least_workers


def _has_committed(situation: Situation) -> bool:
    """Whether the present attempt has committed a generation already."""
    began = situation.since(ConditionType.DATA_READY, "True")
    manifest = situation.manifest
    if began is None or manifest is None or not manifest.generations:
        return False
    committed = times.parsed_or_none(manifest.generations[-1].committed_at)
    return committed is not None and committed > began


def _unschedulable(situation: Situation) -> Pod | None:
    return next((pod for pod in situation.pods if pod.unschedulable and pod.deleted_at is None), None)


def _capacity(situation: Situation) -> Told:
    pools = _pools(situation) if situation.is_live and situation.has_begun else None
    if pools is not None:
        return pools
    reason = situation.last.end_reason if situation.last is not None else None
    if not situation.is_live and reason is not None and endings.outcome(reason) is Outcome.NO_MACHINES:
        return Told("False", reason, "machines did not come in time")
    stuck = _unschedulable(situation)
    if stuck is not None:
        return Told("False", Reason.UNSCHEDULABLE, f"pod {stuck.name}: {stuck.unschedulable}")
    if cluster(situation).status == "True":
        return Told("True", Reason.AS_EXPECTED, "the machines are there")
    return Told("Unknown", Reason.UNKNOWN, "nothing is known yet")


def _pools(situation: Situation) -> Told | None:
    """What the node pools of a run say against it; None when that is nothing."""
    for wanted in capacity.rungs(situation):
        not_ours = capacity.foreign(situation, wanted)
        if not_ours is not None:
            return Told("False", Reason.NODE_POOL_NOT_OWNED, not_ours)
        broken = capacity.broken(situation, wanted)
        if broken is not None:
            return Told("False", *broken)
    if situation.ready_workers >= situation.most_workers:
        return None
    dry = capacity.any_said(situation, capacity.STOCKOUT)
    if dry is None:
        return None
    return Told(
        "False",
        Reason.STOCKOUT,
        f"wanted more machines, found that Google has none to give ({dry}); {_ready(situation)}; GKE keeps "
        "asking, and nothing is paid for machines that are not there",
    )


def _as_before(situation: Situation, kind: ConditionType) -> Told:
    found = situation.condition(kind)
    return Told(found.status, found.reason, found.message) if found else Told("Unknown", Reason.UNKNOWN)


def written(
    told: Mapping[ConditionType, Told], previous: RunStatus, resource_generation: int, now: datetime
) -> tuple[Condition, ...]:
    """All conditions, in the order of `ConditionType`; one that nothing was told about stays as it was."""
    before = {condition.type: condition for condition in previous.conditions or ()}
    result = []
    for kind in ConditionType:
        found, old = told.get(kind), before.get(kind)
        if found is None:
            result += [old] if old is not None else []
            continue
        moved = old is None or old.status != found.status or old.last_transition_time is None
        result.append(
            Condition(
                type=kind,
                status=found.status,
                reason=found.reason,
                message=shortened(found.message),
                last_transition_time=times.written(now) if moved or old is None else old.last_transition_time,
                observed_generation=resource_generation,
            )
        )
    return tuple(result)


_PHASES = {
    Reason.QUEUED: Phase.QUEUED,
    Reason.STARTING: Phase.STARTING,
    Reason.VALIDATING: Phase.VALIDATING,
    Reason.PROVISIONING: Phase.PROVISIONING,
    Reason.TRAINING: Phase.RUNNING,
    Reason.FINALIZING: Phase.FINALIZING,
    # Reasons of a run whose machines are waited for; one that is given up has another condition.
    Reason.QUOTA_EXCEEDED: Phase.PROVISIONING,
    Reason.NODE_POOL_FAILED: Phase.PROVISIONING,
}


def phase(conditions: tuple[Condition, ...], is_deleted: bool) -> Phase:
    """One word for people; it says nothing that the conditions do not."""
    found = {condition.type: condition for condition in conditions}

    def status(kind: ConditionType) -> str:
        return found[kind].status if kind in found else "Unknown"

    if is_deleted:
        return Phase.DELETING
    if status(ConditionType.COMPLETE) == "True":
        return Phase.SUCCEEDED
    if status(ConditionType.FAILED) == "True":
        return Phase.FAILED
    if ConditionType.SUSPENDED in found and status(ConditionType.SUSPENDED) != "False":
        return Phase.SUSPENDED if status(ConditionType.SUSPENDED) == "True" else Phase.PAUSING
    if ConditionType.PROGRESSING not in found or status(ConditionType.ACCEPTED) != "True":
        return Phase.PENDING
    return _PHASES.get(found[ConditionType.PROGRESSING].reason, Phase.PENDING)


def shortened(message: str) -> str:
    """At most so much that a status stays small."""
    return message if len(message) <= LONGEST_MESSAGE else message[: LONGEST_MESSAGE - 1] + "…"
