"""The only module that talks to GKE's Cluster Manager: node pools of one cluster, in our own words.

What a run needs is decided elsewhere; here it is asked for, once. Reading is tried again for some
seconds; a write never is, because what an unclear answer has left behind is looked up instead: there with
our labels means done. A pool without the label of this installation is never touched.

GKE lets a cluster do one such thing at a time, and so do we: a write while our last operation runs is a
BusyError, and so is GKE's own refusal. Nobody waits in here for an operation to end: it takes minutes, and
the next look at the pool tells how far it is.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import google.auth
import grpc
from google.api_core import exceptions
from google.api_core.retry import AsyncRetry
from google.auth.exceptions import GoogleAuthError
from google.cloud import container_v1
from google.cloud.container_v1.services.cluster_manager.transports import (
    ClusterManagerGrpcAsyncIOTransport as Transport,
)

from autolfads_operator import gke_answers as answers
from autolfads_operator.errors import (
    BusyError,
    CloudDeniedError,
    CloudError,
    NotOwnedError,
    OutdatedError,
)
from autolfads_operator.manifests import node_pool as manifest
from autolfads_operator.observed import NodePool
from autolfads_operator.pools import WantedPool

logger = logging.getLogger(__name__)

LONGEST_WAIT = 8  # times the first one; an operation on a node pool takes a minute or two
_DONE = container_v1.Operation.Status.DONE


def insecure(endpoint: str) -> Transport:
    """A way to a Cluster Manager without TLS and credentials, such as the fake of the tests."""
    return Transport(channel=grpc.aio.insecure_channel(endpoint))


class ClusterManager:
    """Node pools of one GKE cluster.

    Args:
      cluster: projects/P/locations/L/clusters/C.
      install: label value of what this installation makes.
      transport: how to reach the Cluster Manager; by default Google's, with the credentials of this pod.
      busy_seconds: first wait of a BusyError; doubles up to LONGEST_WAIT times.
      timeout_seconds: for one question, tries included.
      on_call: told the method and the code of every answer.
    """

    def __init__(
        self,
        cluster: str,
        install: str,
        transport: Transport | None = None,
        *,
        busy_seconds: float = 15.0,
        timeout_seconds: float = 20.0,
        on_call: Callable[[str, str], None] = lambda method, code: None,
    ) -> None:
        self.cluster, self.install = cluster, install
        self._transport = transport
        self._busy_seconds, self._timeout_seconds = busy_seconds, timeout_seconds
        self._on_call = on_call
        self._client: container_v1.ClusterManagerAsyncClient | None = None
        self._connecting, self._writing = asyncio.Lock(), asyncio.Lock()
        self._operation: str | None = None
        self._refusals: dict[str, int] = {}

    async def close(self) -> None:
        """Give up the connection."""
        if self._client is not None:
            await self._client.transport.close()

    async def node_pool(self, name: str) -> NodePool | None:
        """A pool of the cluster, ours or not; None when there is none of that name.

        Raises:
          CloudError: if GKE does not say.
        """
        found = await self._find(name)
        return None if found is None else (await self._told([found]))[0]

    async def node_pools(self) -> tuple[NodePool, ...]:
        """All pools of this installation, those being made and deleted included.

        Raises:
          CloudError: if GKE does not say.
        """
        answer = await self._read("list_node_pools", parent=self.cluster)
        return tuple(await self._told([pool for pool in answer.node_pools if self._is_ours(pool)]))

    async def create(self, pool: WantedPool) -> None:
        """Have the pool made; nothing when it is there or being made.

        Raises:
          NotOwnedError: if somebody else has a pool of that name, or it is another pool than this.
          BusyError: if the cluster is at another operation.
          PoolRefusedError: if GKE does not make such a pool.
          CloudError: if it is not known to be made.
        """
        async with self._turn(pool.name):
            if await self._is_there(pool):
                return
            await self._must_be_free(pool.name)
            made = manifest.node_pool(self.install, pool)
            try:
                await self._write("create_node_pool", pool.name, parent=self.cluster, node_pool=made)
            except CloudError as error:
                if not await self._is_there(pool):
                    raise
                logger.warning("node pool %s is there although it was said: %s", pool.name, error)

    async def resize(self, name: str, max_nodes: int, etag: str = "") -> None:
        """Let the pool grow up to `max_nodes`, all zones together; nothing when it may already.

        Raises:
          OutdatedError: if the pool is gone, or is not as it was when `etag` was seen.
          NotOwnedError, BusyError, CloudError: as with `create`.
        """
        async with self._turn(name):
            found = await self._find(name)
            if found is None:
                raise OutdatedError(f"wanted to resize node pool {name}, found none; it is observed again")
            self._check(found, etag)
            if answers.max_nodes(found) != max_nodes:
                await self._must_be_free(name)
                autoscaling = manifest.autoscaling(max_nodes)
                await self._write(
                    "set_node_pool_autoscaling", name, name=self._path(name), autoscaling=autoscaling
                )

    async def delete(self, name: str, etag: str = "") -> None:
        """Have the pool and its nodes deleted; nothing when it is gone or going.

        Raises:
          OutdatedError: if it is not as it was when `etag` was seen.
          NotOwnedError, BusyError, CloudError: as with `create`.
        """
        async with self._turn(name):
            found = await self._find(name)
            if found is None or (self._is_ours(found) and answers.status(found) == "STOPPING"):
                return
            self._check(found, etag)
            await self._must_be_free(name)
            try:
                await self._write("delete_node_pool", name, name=self._path(name))
            except CloudError as error:
                left = await self._find(name)
                if left is not None and answers.status(left) != "STOPPING":
                    raise
                logger.warning("node pool %s is going although it was said: %s", name, error)

    @contextlib.asynccontextmanager
    async def _turn(self, name: str) -> AsyncIterator[None]:
        """One writer at a time."""
        async with self._writing:
            yield
            self._refusals.pop(name, None)

    async def _must_be_free(self, name: str) -> None:
        """Of our own last operation; of those of others GKE tells when it is asked for one."""
        if self._operation is None:
            return
        last = await self._find_operation(self._operation)
        if last is not None and last.status != _DONE:
            raise self._busy(name, f"found {self._operation} still under way")
        if last is not None and last.error.code:
            logger.warning("operation %s failed: %s", self._operation, last.error.message)
        self._operation = None

    async def _is_there(self, pool: WantedPool) -> bool:
        """Whether the pool that is wanted is there, by whomever of us it was made."""
        found = await self._find(pool.name)
        if found is None:
            return False
        self._check(found)
        if answers.status(found) == "STOPPING":
            raise self._busy(pool.name, "found the one before it still going")
        if answers.label(found, manifest.SPEC_LABEL) != pool.spec_hash:
            raise NotOwnedError(
                f"node pool {pool.name}: wanted spec {pool.spec_hash}, found "
                f"'{answers.label(found, manifest.SPEC_LABEL)}'; remove the pool when nobody uses it"
            )
        return True

    def _check(self, found: Any, etag: str = "") -> None:
        """GKE takes an etag neither here nor there, so it is compared right before."""
        if not self._is_ours(found):
            raise NotOwnedError(
                f"node pool {found.name}: wanted the label {manifest.INSTALL_LABEL}={self.install}, found "
                f"'{answers.label(found, manifest.INSTALL_LABEL)}'; it is left alone, so remove it yourself"
            )
        if etag and found.etag != etag:
            raise OutdatedError(
                f"node pool {found.name}: wanted version {etag}, found {found.etag}; it is observed again"
            )

    def _is_ours(self, pool: Any) -> bool:
        return bool(answers.label(pool, manifest.INSTALL_LABEL) == self.install)

    async def _told(self, pools: list[Any]) -> list[NodePool]:
        """In our words, with the operation that is at work on each."""
        operations: dict[str, str] = {}
        if any(answers.status(pool) in answers.CHANGING for pool in pools):
            parts = f"/clusters/{self.cluster.rpartition('/')[2]}/nodePools/"
            found = await self._read("list_operations", parent=self._location)
            operations = {
                operation.target_link.rpartition(parts)[2]: operation.name
                for operation in found.operations
                if parts in operation.target_link and operation.status != _DONE
            }
        return [answers.node_pool(pool, self.install, operations) for pool in pools]

    async def _find(self, name: str) -> Any:
        """The pool as GKE tells it; None when there is none."""
        try:
            return await self._read("get_node_pool", name=self._path(name))
        except answers.NotThereError:
            return None

    async def _find_operation(self, name: str) -> Any:
        try:
            return await self._read("get_operation", name=f"{self._location}/operations/{name}")
        except answers.NotThereError:  # GKE forgets them in the end
            return None

    async def _read(self, method: str, **request: Any) -> Any:
        retry = AsyncRetry(
            predicate=lambda error: isinstance(error, exceptions.ServiceUnavailable),
            initial=0.2,
            maximum=2.0,
            timeout=self._timeout_seconds,
        )
        try:
            return await self._call(method, request, retry)
        except exceptions.GoogleAPIError as error:
            raise answers.read_trouble(error, self.cluster) from error

    async def _write(self, method: str, name: str, /, **request: Any) -> None:
        try:
            operation = await self._call(method, request, None)
        except exceptions.GoogleAPIError as error:
            if answers.is_busy(error):
                raise self._busy(name, f"found {answers.words(error)}") from error
            raise answers.write_trouble(error, self.cluster, name) from error
        self._operation = operation.name
        logger.info("node pool %s: %s is %s", name, method, operation.name)

    async def _call(self, method: str, request: dict[str, Any], retry: AsyncRetry | None) -> Any:
        client = await self._connected()
        code = "OK"
        try:
            ask = getattr(client, method)
            return await ask(request=request, retry=retry, timeout=self._timeout_seconds)
        except exceptions.GoogleAPIError as error:
            code = answers.code(error)
            raise
        finally:
            self._on_call(method, code)

    async def _connected(self) -> container_v1.ClusterManagerAsyncClient:
        async with self._connecting:
            if self._client is None:
                self._client = container_v1.ClusterManagerAsyncClient(
                    transport=self._transport or await self._of_google()
                )
            return self._client

    async def _of_google(self) -> Transport:
        """Google's own, with the credentials of this pod, which may have to be asked for over the net."""
        try:
            credentials, _ = await asyncio.to_thread(google.auth.default, scopes=manifest.SCOPES)
        except GoogleAuthError as error:
            raise CloudDeniedError(
                f"wanted credentials for Google Cloud, found none ({error}); bind the operator's Kubernetes "
                "service account by Workload Identity"
            ) from error
        return Transport(credentials=credentials)

    def _busy(self, name: str, found: str) -> BusyError:
        refusals = self._refusals.get(name, 0)
        self._refusals[name] = refusals + 1
        wait_seconds = self._busy_seconds * min(2**refusals, LONGEST_WAIT)
        return BusyError(
            f"node pool {name}: wanted the cluster to be free, {found}; tried again in {wait_seconds:g} s",
            wait_seconds,
        )

    def _path(self, name: str) -> str:
        return f"{self.cluster}/nodePools/{name}"

    @property
    def _location(self) -> str:
        return self.cluster.rpartition("/clusters/")[0]
