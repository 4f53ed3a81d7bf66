"""Takes away node pools that nobody needs: those of runs that are gone, and shared ones that stay idle.

A run looks after its own pool as long as it is there. This is for what is left: after a forced deletion, a
finalizer taken off by hand, an operator that was killed at the wrong moment; and for shared pools, which
belong to no run. Only pools with the label of this installation are ever seen, only a process that holds the
Lease sweeps, and since when a pool is idle is remembered here alone: after a restart it counts from anew.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple

from autolfads_operator import pools
from autolfads_operator.cloud import CloudView
from autolfads_operator.errors import CloudError, OutdatedError
from autolfads_operator.observed import CustomResource, NodePool
from autolfads_operator.terms import Terms
from autolfads_spec.status import Phase

logger = logging.getLogger(__name__)

# GKE does one thing at a time, and a deletion takes minutes; there is no hurry.
PAUSE_SECONDS = 60.0


class Sweep(NamedTuple):
    """What was found at one look.

    Attributes:
      gone: pools of runs that are gone, and broken ones that no run uses: the next run is to get a new one.
      idle: pools that no run uses now.
    """

    gone: tuple[NodePool, ...]
    idle: tuple[NodePool, ...]


def judged(found: Iterable[NodePool], runs: tuple[CustomResource, ...], terms: Terms) -> Sweep:
    """Which pools nobody needs; pure.

    A run that waits to be resumed needs none, and one that has ended neither; while its own pool is being
    taken away by its own loop, that is seen as idle here and comes to the same.
    """
    uids = {run.uid for run in runs}
    used = {name for run in runs if _is_under_way(run) for name in _names(run, terms)}
    ours = [pool for pool in found if pool.is_ours and pool.status != "STOPPING"]
    unused = [pool for pool in ours if pool.name not in used]
    gone = tuple(
        pool
        for pool in unused
        if pool.status == "ERROR" or (pool.run_uid is not None and pool.run_uid not in uids)
    )
    return Sweep(gone, tuple(pool for pool in unused if pool not in gone))


def _is_under_way(run: CustomResource) -> bool:
    phase = run.status.phase
    if run.run is None:  # nobody knows what it wants; what it had stays
        return True
    return phase is None or not (phase.is_terminal or phase is Phase.SUSPENDED)


def _has_broken(run: CustomResource) -> bool:
    pool = run.status.node_pool
    return pool is not None and pool.status == "ERROR" and not _is_under_way(run)


def _names(run: CustomResource, terms: Terms) -> set[str]:
    known = {run.status.node_pool.name} if run.status.node_pool is not None else set()
    wanted = {pool.name for pool in pools.wanted(run.run, run, terms)} if run.run is not None else set()
    return wanted | {name for name in known if name is not None}


class Sweeper:
    """Sweeps for ever.

    Args:
      runs: all runs that are there; asked after the pools, so that a pool is never older than its run.
      may_act: whether this process is still the one that may.
    """

    def __init__(
        self,
        view: CloudView,
        runs: Callable[[], tuple[CustomResource, ...]],
        terms: Terms,
        idle_seconds: float,
        sweep_seconds: float,
        may_act: Callable[[], bool],
        monotonic: Callable[[], float],
    ) -> None:
        self._view, self._runs, self._terms = view, runs, terms
        self._idle_seconds, self._sweep_seconds = idle_seconds, sweep_seconds
        self._may_act, self._monotonic = may_act, monotonic
        self._idle_since: dict[str, float] = {}

    async def keep(self) -> None:
        """Sweep now and then; trouble is for the log, and for the next time."""
        while True:
            try:
                pause_seconds = await self.sweep()
            except (CloudError, OutdatedError) as error:
                pause_seconds = min(PAUSE_SECONDS, self._sweep_seconds)
                logger.warning("node pools not swept: %s", error)
            await self._rest(pause_seconds)

    async def _rest(self, pause_seconds: float) -> None:
        """Until the next look; less when a run has said meanwhile that its pool is broken."""
        until = self._monotonic() + pause_seconds
        while (left := until - self._monotonic()) > 0:
            await asyncio.sleep(min(left, PAUSE_SECONDS))
            if any(_has_broken(run) for run in self._runs()):
                return

    async def sweep(self) -> float:
        """Look once, and take at most one pool away; how long to wait for the next look.

        Raises:
          CloudError: if Google Cloud does not answer, or does not do it now.
        """
        if not self._may_act():
            return self._sweep_seconds
        found = judged(await self._view.pools(), self._runs(), self._terms)
        now = self._monotonic()
        self._idle_since = {pool.name: self._idle_since.get(pool.name, now) for pool in found.idle}
        due = [pool for pool in found.idle if now - self._idle_since[pool.name] >= self._idle_seconds]
        for pool in (*found.gone, *due):
            if pool.operation is None and pool.status != "PROVISIONING":
                await self._delete(pool, "its run is gone" if pool.run_uid is not None else "no run uses it")
                return min(PAUSE_SECONDS, self._sweep_seconds)
        if found.gone or due:  # being made; it goes when that is over
            return min(PAUSE_SECONDS, self._sweep_seconds)
        waits = [self._idle_since[pool.name] + self._idle_seconds - now for pool in found.idle]
        return max(0.1, min([*waits, self._sweep_seconds]))

    async def _delete(self, pool: NodePool, why: str) -> None:
        logger.info("deleting node pool %s: %s", pool.name, why)
        await self._view.change(pool.name, lambda clusters: clusters.delete(pool.name, pool.etag))
