"""`status.nodePool` of a run: the pool that its workers run in, as far as Google Cloud tells; pure.

It is also a memory: `observe` looks after a pool for as long as `status` stands in it, so it is left out only
when the pool was seen to be gone, never because nobody could look.
"""

from autolfads_operator import capacity, conditions
from autolfads_operator.observed import Cloud, NodePool, Observed
from autolfads_operator.situation import Situation
from autolfads_spec.status import NodePoolStatus


def told(situation: Situation, is_over: bool) -> NodePoolStatus | None:
    """The pool that matters most; a managed one without `status` is not there, or not this run's any more."""
    own = _own_pool(situation.observed)
    if own is not None:
        return own
    shared = () if is_over else capacity.existing(situation)
    if shared:
        return _pool(shared[-1], situation.cloud)
    asked = situation.spec.compute.node_pool
    if asked is not None and asked.name is not None:
        return NodePoolStatus(name=asked.name, managed=False)
    if not situation.wanted_pools:
        return None
    trouble = _trouble(situation.cloud)
    return NodePoolStatus(name=situation.wanted_pools[0].name, managed=True, last_error=trouble)


def going(observed: Observed) -> NodePoolStatus | None:
    """The pool of a run that is being deleted."""
    before = observed.custom_resource.status.node_pool
    if before is None or observed.cloud is None:
        return before
    gone = before.model_copy(update={"status": None, "operation": None, "last_error": None})
    return _own_pool(observed) or gone


def _own_pool(observed: Observed) -> NodePoolStatus | None:
    """The pool that is this run's alone, as it is, or as it was when nobody can see it."""
    cloud, resource = observed.cloud, observed.custom_resource
    if cloud is None:
        return None
    if cloud.pools is None:
        known = resource.status.node_pool
        return known.model_copy(update={"last_error": _trouble(cloud)}) if known is not None else None
    own = [pool for pool in cloud.pools if pool.is_ours and pool.run_uid == resource.uid]
    return _pool(own[-1], cloud) if own else None


def _pool(pool: NodePool, cloud: Cloud | None) -> NodePoolStatus:
    return NodePoolStatus(
        name=pool.name,
        managed=True,
        status=pool.status,
        operation=pool.operation,
        last_error=conditions.shortened(capacity.said(pool) or "") or _trouble(cloud),
    )


def _trouble(cloud: Cloud | None) -> str | None:
    """What was lately refused, or is in the way."""
    if cloud is None:
        return None
    refused = next((sentence for _, sentence in cloud.refused.values()), None)
    return conditions.shortened(refused or cloud.message) or None
