"""Getting node pools before workers are asked for, and giving them back; pure.

    provisioning.step(situation)      -> Step       what to make or change now, and why workers have to wait
    provisioning.found_broken(situation) -> Ending | None
    provisioning.release(observed, why)  -> Release    the pools that are this run's alone go, one by one

A pool is asked for only when workers are: after the recording was checked, and after that was written down.
GKE takes minutes for anything and does one thing at a time, so one action a look is enough, and nothing is
done while it says that it is busy. A shared pool is never taken away here: that is `sweeper`'s business.
"""

from dataclasses import dataclass, replace

from autolfads_operator import capacity, conditions, times
from autolfads_operator.actions import Action, CreateNodePool, DeleteNodePool, ResizeNodePool
from autolfads_operator.conditions import Told
from autolfads_operator.endings import Ending
from autolfads_operator.observed import Cloud, CloudProblem, NodePool, Observed
from autolfads_operator.pools import WantedPool
from autolfads_operator.situation import Situation
from autolfads_spec.status import ConditionType, Reason

_CHANGING = ("PROVISIONING", "RECONCILING", "STOPPING")
_WAITING = {
    CloudProblem.BUSY: Told("True", Reason.PROVISIONING, "the GKE cluster is at another operation"),
    CloudProblem.DENIED: Told("False", Reason.NODE_POOL_FAILED, "Google Cloud refuses"),
    CloudProblem.UNAVAILABLE: Told("False", Reason.WAITING, "Google Cloud does not answer"),
}


@dataclass(frozen=True)
class Step:
    """What to do about the pools of a run that trains, or is about to.

    Attributes:
      actions: at most one.
      waits: why no worker may be asked for yet; None when they may.
    """

    actions: tuple[Action, ...] = ()
    waits: Told | None = None


def step(situation: Situation) -> Step:
    """What is to be done about its pools before the workers of the present attempt are asked for."""
    if not situation.wanted_pools or not situation.has_begun:
        return Step()
    found = _step(situation)
    asked = situation.cluster is not None and situation.cluster.replicas > 0
    return replace(found, waits=None) if asked else found  # what trains is not called back


def _step(situation: Situation) -> Step:
    cloud = situation.cloud
    if cloud is None or cloud.pools is None:
        return Step(waits=_waits(cloud))
    if situation.since(ConditionType.DATA_READY, "True") is None:
        return Step(waits=Told("True", Reason.PROVISIONING, "the recording is good; a node pool comes next"))
    if capacity.is_held(situation):
        return Step(waits=Told("False", Reason.QUOTA_EXCEEDED, conditions.quota(situation).message))
    rungs = capacity.rungs(situation)
    actions = () if cloud.problem is not None else tuple(_actions(situation, rungs))[:1]
    if any(capacity.is_usable(situation.node_pool(wanted.name)) for wanted in rungs):
        return Step(actions)
    if cloud.problem is not None:
        return Step(waits=_waits(cloud))
    return Step(actions, Told("True", Reason.PROVISIONING, _being_made(situation, rungs)))


def _waits(cloud: Cloud | None) -> Told:
    if cloud is None or cloud.problem is None:
        return Told("False", Reason.WAITING, "the node pools of the cluster were not read yet")
    told = _WAITING[cloud.problem]
    return told._replace(message=f"{told.message}: {cloud.message}")


def _actions(situation: Situation, rungs: tuple[WantedPool, ...]) -> list[Action]:
    found: list[Action] = []
    for wanted in rungs:
        pool = situation.node_pool(wanted.name)
        if pool is None and capacity.broken(situation, wanted) is None:
            found.append(CreateNodePool(wanted))
        elif pool is not None and _may_grow(pool) and pool.max_nodes < wanted.max_nodes:
            found.append(ResizeNodePool(pool.name, wanted.max_nodes, pool.etag))
    return found


def _may_grow(pool: NodePool) -> bool:
    return pool.is_ours and pool.operation is None and pool.status in ("RUNNING", "RUNNING_WITH_ERROR")


def _being_made(situation: Situation, rungs: tuple[WantedPool, ...]) -> str:
    told = []
    for wanted in rungs:
        pool = situation.node_pool(wanted.name)
        if pool is not None and pool.status == "STOPPING":
            told.append(f"node pool {wanted.name} is still being deleted and is made anew then")
        else:
            told.append(f"node pool {wanted.name} is being made")
    return "; ".join(told)


def found_broken(situation: Situation) -> Ending | None:
    """That a pool it needs is somebody else's, or that none can be made; waiting does not help then."""
    if not situation.is_live or not situation.has_begun or capacity.is_held(situation):
        return None
    if situation.ready_workers > 0:  # whatever GKE says of the pool, somebody trains on it
        return None
    rungs = capacity.rungs(situation)
    for wanted in rungs:
        not_ours = capacity.foreign(situation, wanted)
        if not_ours is not None:
            return Ending(Reason.NODE_POOL_NOT_OWNED, not_ours)
    reasons = [capacity.broken(situation, wanted) for wanted in rungs]
    if not reasons or reasons[-1] is None or not all(reasons):
        return None
    reason, sentence = reasons[-1]
    return Ending(
        reason,
        f"wanted a node pool, found that GKE does not give it: {sentence}; mend spec.compute or the project, "
        "then set spec.suspend to true and back to false to try again",
    )


@dataclass(frozen=True)
class Release:
    """Giving back the pools that are one run's alone.

    Attributes:
      actions: what to do now.
      left: what is still there, or may be, in words; "" once everything is gone for certain.
    """

    actions: tuple[Action, ...] = ()
    left: str = ""


def release(observed: Observed, why: str, keep: frozenset[str] = frozenset()) -> Release:
    """Takes away what was made for this run alone, but for the pools to keep; waits for GKE's operations."""
    cloud, resource = observed.cloud, observed.custom_resource
    if cloud is None or cloud.pools is None:
        return Release(left=_unread(observed))
    mine = [
        pool
        for pool in cloud.pools
        if pool.is_ours and pool.run_uid == resource.uid and pool.name not in keep
    ]
    free = [pool for pool in mine if pool.operation is None and pool.status not in _CHANGING]
    actions = [DeleteNodePool(pool.name, pool.etag, why) for pool in free]
    trouble = f" ({cloud.message})" if cloud.problem is not None and mine else ""
    return Release(
        () if cloud.problem is not None else tuple(actions[:1]),
        ", ".join(f"node pool {pool.name}" for pool in mine) + trouble,
    )


def _unread(observed: Observed) -> str:
    """What may be left while nobody can see it; of a shared pool nothing is this run's."""
    run, known = observed.custom_resource.run, observed.custom_resource.status.node_pool
    pool = run.spec.compute.node_pool if run is not None else None
    was_there = known is not None and known.managed is True and known.status is not None
    if pool is not None and pool.mode == "Shared":
        return ""
    if observed.cloud is not None and (was_there or (pool is not None and pool.mode == "Dedicated")):
        return f"a node pool, as far as anybody knows ({observed.cloud.message})"
    return f"node pool {known.name}, which this operator cannot see" if known and was_there else ""


def has_machines(observed: Observed) -> bool:
    """Whether any worker is still there, on a node of a pool."""
    return any(pod.role == "worker" for pod in observed.pods)


def is_over(situation: Situation, after_seconds: float) -> bool:
    """Whether the machines of a run that has ended may go: nobody is on them, or was for long enough."""
    completed = times.parsed_or_none(situation.previous.completion_time)
    if completed is None:
        return False
    is_empty = not situation.is_live and not has_machines(situation.observed)
    return is_empty or times.seconds_since(completed, situation.now) > after_seconds
