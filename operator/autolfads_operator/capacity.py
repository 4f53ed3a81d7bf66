"""What Google Cloud's words mean for a run: too little quota, no machines, a pool that cannot be used; pure.

Only judged here, from the pools and quotas that were observed; what follows is said elsewhere: the waiting
in `provisioning`, the end of an attempt in `endings`, the sentences for people in `conditions`.
"""

from autolfads_operator import times
from autolfads_operator.observed import NodePool, Quota
from autolfads_operator.pools import WantedPool
from autolfads_operator.situation import Situation
from autolfads_spec.lifecycle import seconds
from autolfads_spec.status import ConditionType, Reason

USABLE = ("RUNNING", "RUNNING_WITH_ERROR", "RECONCILING")
STOCKOUT, QUOTA_EXCEEDED = "GCE_STOCKOUT", "GCE_QUOTA_EXCEEDED"
# From being asked for a node takes two to five minutes to be there; after this it does not come.
PATIENCE_SECONDS = 600.0


# Quota.


def need(situation: Situation, workers: int) -> int:
    """Accelerators that so many workers have."""
    return workers * situation.accelerators_per_worker


def least(situation: Situation) -> int:
    """Accelerators without which the run does not start."""
    return need(situation, situation.least_workers)


def most(situation: Situation) -> int:
    """Accelerators of all the workers it wants."""
    return need(situation, situation.most_workers)


def tightest(situation: Situation) -> Quota | None:
    """The quota that leaves least room to the pool with the most; None when nothing is known."""
    known = [quota for wanted in situation.wanted_pools if (quota := _tightest(situation, wanted))]
    return max(known, key=_limit, default=None)


def is_short(situation: Situation, wanted: WantedPool) -> bool:
    """Whether the quota of a pool is clearly too small for the least that the run starts with."""
    quota = _tightest(situation, wanted)
    return quota is not None and _limit(quota) < least(situation)


def is_held(situation: Situation) -> bool:
    """Whether no pool at all could ever hold enough workers."""
    return bool(situation.wanted_pools) and all(is_short(situation, each) for each in situation.wanted_pools)


def is_freed(situation: Situation) -> bool:
    """Whether enough of the quota of some pool is free now, as far as Google tells."""
    return any(_is_free(situation, wanted) for wanted in situation.wanted_pools)


def _is_free(situation: Situation, wanted: WantedPool) -> bool:
    room = [quota.limit - (quota.usage or 0) for quota in of(situation, wanted) if quota.limit is not None]
    return bool(room) and min(room) >= least(situation)


def of(situation: Situation, wanted: WantedPool) -> tuple[Quota, ...]:
    """The quotas that the accelerators of a pool count against."""
    return situation.cloud.quotas.get(wanted.name, ()) if situation.cloud is not None else ()


def _limit(quota: Quota) -> float:
    return quota.limit if quota.limit is not None else float("inf")


def _tightest(situation: Situation, wanted: WantedPool) -> Quota | None:
    known = [quota for quota in of(situation, wanted) if quota.limit is not None]
    return min(known, key=_limit, default=None)


# Pools.


def existing(situation: Situation) -> tuple[NodePool, ...]:
    """The wanted pools that are there and ours."""
    found = (situation.node_pool(wanted.name) for wanted in situation.wanted_pools)
    return tuple(pool for pool in found if pool is not None and pool.is_ours)


def is_usable(pool: NodePool | None) -> bool:
    """Whether nodes can come in a pool."""
    return pool is not None and pool.is_ours and pool.status in USABLE


def said(pool: NodePool, *codes: str) -> str | None:
    """What a pool says with one of these codes, or with any."""
    for code, message in pool.conditions:
        if not codes or code in codes:
            return f"node pool {pool.name}: {code}{f' ({message})' if message else ''}"
    return None


def any_said(situation: Situation, *codes: str) -> str | None:
    """What one of the pools says with one of these codes."""
    return next((told for pool in existing(situation) if (told := said(pool, *codes))), None)


def has_run_dry(situation: Situation, wanted: WantedPool) -> bool:
    """Whether a pool gives no nodes, although workers wait for them."""
    waiting = [pod for pod in situation.workers if pod.unschedulable and pod.deleted_at is None]
    pool = situation.node_pool(wanted.name)
    if pool is None or not waiting:
        return False
    if said(pool, STOCKOUT, QUOTA_EXCEEDED) is not None:
        return True
    lacking = times.seconds_since(situation.since(ConditionType.CAPACITY_AVAILABLE, "False"), situation.now)
    return lacking > patience_seconds(situation)


def patience_seconds(situation: Situation) -> float:
    """How long workers may wait for the nodes of one pool before the next pool is tried."""
    return min(PATIENCE_SECONDS, seconds(situation.spec.schedule.provisioning_timeout) / 3)


def rungs(situation: Situation) -> tuple[WantedPool, ...]:
    """The pools to have now: the first that its quota allows, and the next when that has run dry."""
    allowed = [wanted for wanted in situation.wanted_pools if not is_short(situation, wanted)]
    found: list[WantedPool] = []
    for wanted in allowed:
        is_made = situation.node_pool(wanted.name) is not None
        if not found or is_made or broken(situation, found[-1]) or has_run_dry(situation, found[-1]):
            found.append(wanted)
    return tuple(found)


def broken(situation: Situation, wanted: WantedPool) -> tuple[Reason, str] | None:
    """Why a pool cannot be used and will not mend by itself."""
    pool = situation.node_pool(wanted.name)
    if pool is None:
        return situation.cloud.refused.get(wanted.name) if situation.cloud is not None else None
    if pool.is_ours and pool.status == "ERROR":
        reason = Reason.NODE_POOL_FAILED if said(pool, QUOTA_EXCEEDED) is None else Reason.QUOTA_EXCEEDED
        return reason, said(pool) or f"node pool {pool.name} is in state ERROR"
    return None


def foreign(situation: Situation, wanted: WantedPool) -> str | None:
    """That a pool of this name is not ours."""
    pool = situation.node_pool(wanted.name)
    if pool is None or pool.is_ours:
        return None
    return (
        f"wanted node pool {pool.name} to be one that this installation made, found one without its labels; "
        "it is not touched: rename or delete it, or use nodePool.mode: Existing with its name"
    )
