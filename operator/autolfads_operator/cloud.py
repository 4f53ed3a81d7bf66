"""What Google Cloud says of node pools and quotas, kept for some seconds, so that 500 runs ask once.

    view.look(wanted, uid, surely) -> Cloud      for one run
    view.change(name, write)                     one write; what it answers is part of the next looks
    view.pools()                                 all pools of this installation, read now

An answer to a write is an observation like any other: that the cluster is busy, that rights are missing, that
a pool is refused or somebody else's, all of it is remembered here for as long as the error asks, so that
`plan` sees it, says so, and tries again when it is over. Nothing here is lost when the process is.
"""

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol

from autolfads_operator.errors import (
    BusyError,
    CloudDeniedError,
    CloudError,
    NotOwnedError,
    PoolRefusedError,
)
from autolfads_operator.observed import Cloud, CloudProblem, NodePool, Quota
from autolfads_operator.pools import PoolProvisioning, WantedPool
from autolfads_spec.status import Reason

logger = logging.getLogger(__name__)


class Clusters(Protocol):
    """What is needed of the Cluster Manager; `gke.ClusterManager` is one."""

    async def node_pool(self, name: str) -> NodePool | None:
        """A pool, ours or not."""

    async def node_pools(self) -> tuple[NodePool, ...]:
        """All pools of this installation."""

    async def create(self, pool: WantedPool) -> None:
        """Have it made, or adopt it."""

    async def resize(self, name: str, max_nodes: int, etag: str = "") -> None:
        """Let it grow."""

    async def delete(self, name: str, etag: str = "") -> None:
        """Have it deleted."""


class Quotas(Protocol):
    """What is needed of the Compute Engine API; `quota.Quotas` is one."""

    async def of(self, accelerator: str | None, provisioning: PoolProvisioning) -> tuple[Quota, ...]:
        """What nodes with this accelerator count against."""


@dataclasses.dataclass(frozen=True)
class _Trouble:
    """What a call has run into, and until when that is believed."""

    problem: CloudProblem
    message: str
    until: float


class CloudView:
    """Node pools and quotas as they were seen a moment ago.

    Args:
      keep_seconds: how old a list of node pools may be.
      monotonic: seconds that never go back.
    """

    def __init__(
        self, clusters: Clusters, quotas: Quotas, keep_seconds: float, monotonic: Callable[[], float]
    ) -> None:
        self._clusters, self._quotas = clusters, quotas
        self._keep_seconds, self._monotonic = keep_seconds, monotonic
        self._listed: dict[str, NodePool] = {}
        self._listed_at = float("-inf")
        self._unread: _Trouble | None = None
        self._unwritten: _Trouble | None = None
        self._refused: dict[str, tuple[float, Reason, str]] = {}
        self._foreign: dict[str, float] = {}
        self._changes = 0
        self._listing = asyncio.Lock()

    async def look(self, wanted: tuple[WantedPool, ...], uid: str, surely: bool) -> Cloud:
        """What is known for one run.

        Args:
          wanted: the pools it may use.
          uid: of the run, for pools that carry it.
          surely: ask GKE itself for each wanted pool that the list does not have.
        """
        async with self._listing:
            await self._refresh()
            if self._unread is not None:
                return Cloud(problem=self._unread.problem, message=self._unread.message, pools=None)
            names = [pool.name for pool in wanted]
            found = {
                name: pool for name, pool in self._listed.items() if name in names or pool.run_uid == uid
            }
            try:
                for name in names if surely else ():
                    pool = found.get(name) or await self._clusters.node_pool(name)
                    found |= {name: pool} if pool is not None else {}
            except CloudError as error:
                return Cloud(problem=_problem(error), message=str(error), pools=None)
        trouble = self._unwritten if self._holds(self._unwritten) else None
        return Cloud(
            problem=None if trouble is None else trouble.problem,
            message="" if trouble is None else trouble.message,
            pools=tuple(found.values()) + self._not_ours(name for name in names if name not in found),
            quotas=await self._quotas_of(wanted),
            refused=self._refused_now(names),
        )

    async def pools(self) -> tuple[NodePool, ...]:
        """All pools of this installation, as they are now.

        Raises:
          CloudError: if GKE does not say.
        """
        async with self._listing:
            self._listed_at, self._unread = float("-inf"), None
            await self._refresh()
            if self._unread is not None:
                raise CloudError(self._unread.message)
            return tuple(self._listed.values())

    async def change(self, name: str, write: Callable[[Clusters], Awaitable[None]]) -> None:
        """Carry out one write about a pool.

        Raises:
          CloudError: what kept it from being done; the next looks tell it too.
          OutdatedError: if the pool is not as it was seen.
        """
        try:
            await write(self._clusters)
        except CloudError as error:
            self._remember(name, error)
            logger.warning("%s", error)
            raise
        else:
            self._unwritten = None
            self._refused.pop(name, None)
            self._foreign.pop(name, None)
        finally:
            self._changes += 1  # also for a list that is under way
            self._listed_at = float("-inf")

    def _remember(self, name: str, error: CloudError) -> None:
        until = self._monotonic() + error.wait_seconds
        match error:
            case NotOwnedError():
                self._foreign[name] = until
            case PoolRefusedError():
                self._refused[name] = (until, error.reason, str(error))
            case _:
                self._unwritten = _Trouble(_problem(error), str(error), until)

    async def _refresh(self) -> None:
        """A new list, when the last one, or the last failure, is too old."""
        now = self._monotonic()
        if self._holds(self._unread) or now - self._listed_at < self._keep_seconds:
            return
        self._unread, changes = None, self._changes
        try:
            found = await self._clusters.node_pools()
        except CloudError as error:
            self._unread = _Trouble(_problem(error), str(error), now + self._keep_seconds)
            return
        self._listed = {pool.name: pool for pool in found}
        self._listed_at = now if changes == self._changes else float("-inf")

    async def _quotas_of(self, wanted: tuple[WantedPool, ...]) -> Mapping[str, tuple[Quota, ...]]:
        return {pool.name: await self._quotas.of(pool.accelerator, pool.provisioning) for pool in wanted}

    def _holds(self, trouble: _Trouble | None) -> bool:
        return trouble is not None and self._monotonic() < trouble.until

    def _refused_now(self, names: list[str]) -> dict[str, tuple[Reason, str]]:
        now = self._monotonic()
        self._refused = {name: told for name, told in self._refused.items() if told[0] > now}
        return {name: (reason, why) for name, (_, reason, why) in self._refused.items() if name in names}

    def _not_ours(self, names: Iterable[str]) -> tuple[NodePool, ...]:
        """Pools of which a write has found out that they are somebody else's."""
        now = self._monotonic()
        self._foreign = {name: until for name, until in self._foreign.items() if until > now}
        return tuple(NodePool(name, "", is_ours=False) for name in names if name in self._foreign)


def _problem(error: CloudError) -> CloudProblem:
    if isinstance(error, BusyError):
        return CloudProblem.BUSY
    return CloudProblem.DENIED if isinstance(error, CloudDeniedError) else CloudProblem.UNAVAILABLE
