"""The operator's only way into output folders: what drivers report is read here, our own files written.

A store's client blocks, so every call runs in a thread of a small pool and has a time limit. A call that ran
past its limit keeps its thread until the client gives up by itself; nobody waits for it, and a write that
still succeeds is recognised at the next look, because all writes compare before they set.

A file that is damaged is no error here: `plan` decides what that means.
"""

import asyncio
import concurrent.futures
import dataclasses
import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from autolfads_operator.metrics import Metrics
from autolfads_spec import RunPaths
from autolfads_spec.attempt import AttemptEnd, Wish
from autolfads_spec.cost import CostRecord
from autolfads_spec.errors import ConflictError, DeniedError, MissingError, UnavailableError
from autolfads_spec.manifest import Document, Lease, Manifest
from autolfads_spec.store import Expected, Store

logger = logging.getLogger(__name__)

NAMES = RunPaths("")
Opener = Callable[[str], Store]
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Versioned:
    """A file in an output folder.

    Attributes:
      document: what it says; None when it is not what its name says.
      version: to be named when it is replaced.
    """

    document: Any
    version: str


class Denial(NamedTuple):
    """That a write was not allowed.

    Attributes:
      message: the store's sentence.
      at: when, monotonic.
    """

    message: str
    at: float


class Reports:
    """What is in output folders.

    Args:
      open_store: makes a store of an address; called in a thread, once for each address in use.
      threads: calls that may be under way at the same time.
      timeout_seconds: for each call.
      monotonic: seconds that never go back.
    """

    def __init__(
        self,
        open_store: Opener,
        metrics: Metrics,
        threads: int,
        timeout_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_store, self._metrics, self._timeout_seconds = open_store, metrics, timeout_seconds
        self._pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="store")
        self._stores: dict[str, Store] = {}
        self._manifests: dict[str, Versioned] = {}
        self._monotonic = monotonic
        self._denials: dict[str, Denial] = {}

    def close(self) -> None:
        """Start no more calls; those under way are not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def forget(self, address: str) -> None:
        """Nobody asks about this folder any more."""
        self._stores.pop(address, None)
        self._manifests.pop(address, None)
        self._denials.pop(address, None)

    def denial(self, address: str) -> Denial | None:
        """The newest write there, if it was not allowed; None when it was, or nobody has tried."""
        return self._denials.get(address)

    async def manifest(self, address: str) -> Versioned | None:
        """Where the run stands; None before its first driver.

        Its version is asked for first: an unchanged manifest is neither fetched nor parsed again.

        Raises:
          StoreError: if the store did not answer.
        """

        def read(store: Store) -> Versioned | None:
            known = self._manifests.get(address)
            if known is not None and store.version(NAMES.manifest) == known.version:
                return known
            found = self._read(store, NAMES.manifest, Manifest)
            if found is None:
                self._manifests.pop(address, None)
            else:
                self._manifests[address] = found
            return found

        return await self._call("manifest", address, read)

    async def lease(self, address: str) -> Versioned | None:
        """Whose the run is; None before anybody's first attempt."""
        return await self._document("lease", address, NAMES.lease, Lease)

    async def wish(self, address: str) -> Versioned | None:
        """What was last wished of a driver."""
        return await self._document("wish", address, NAMES.wish, Wish)

    async def end(self, address: str, attempt: int) -> Versioned | None:
        """Why the driver of this attempt ended; None while it has not said."""
        return await self._document("end", address, NAMES.attempt_end(attempt), AttemptEnd)

    async def cost(self, address: str) -> Versioned | None:
        """What the run has cost, as it was kept last."""
        return await self._document("cost", address, NAMES.cost, CostRecord)

    async def has_results(self, address: str) -> bool:
        """Whether the run is complete."""
        return await self._call("results", address, lambda store: store.version(NAMES.results)) is not None

    async def write_lease(self, address: str, lease: Lease, expected: str | None) -> str:
        """Give the run to an attempt, if the lease is still the version that was looked at (None: none).

        Raises:
          ConflictError: if it is not.
        """
        before = Expected.NOTHING if expected is None else expected
        return await self._write(
            "write_lease", address, lambda store: store.write(NAMES.lease, lease.to_bytes(), before)
        )

    async def write_wish(self, address: str, wish: Wish) -> str:
        """Tell the driver what is wanted; the last wish counts."""
        return await self._write(
            "write_wish", address, lambda store: store.write(NAMES.wish, wish.to_bytes(), Expected.ANYTHING)
        )

    async def write_cost(self, address: str, record: CostRecord, expected: str | None) -> str:
        """Keep what the run has cost, if the record is still the version that was looked at (None: none).

        Raises:
          ConflictError: if it is not.
        """
        before = Expected.NOTHING if expected is None else expected
        return await self._write(
            "write_cost", address, lambda store: store.write(NAMES.cost, record.to_bytes(), before)
        )

    async def _document(self, method: str, address: str, name: str, kind: type[Document]) -> Versioned | None:
        return await self._call(method, address, lambda store: self._read(store, name, kind))

    async def _write(self, method: str, address: str, work: Callable[[Store], str]) -> str:
        """A write; whether it was allowed is remembered, since nothing that is read tells."""
        try:
            version = await self._call(method, address, work)
        except DeniedError as error:
            self._denials[address] = Denial(str(error), self._monotonic())
            raise
        except ConflictError:  # judged, so allowed
            self._denials.pop(address, None)
            raise
        self._denials.pop(address, None)
        return version

    async def _call(self, method: str, address: str, work: Callable[[Store], T]) -> T:
        loop = asyncio.get_running_loop()
        result = "error"
        try:
            async with asyncio.timeout(self._timeout_seconds):
                found = await loop.run_in_executor(self._pool, lambda: work(self._store(address)))
            result = "ok"
            return found
        except TimeoutError as error:
            result = "timeout"
            raise UnavailableError(
                f"output: wanted an answer from {address} within {self._timeout_seconds:g} s, found none; "
                "it is tried again"
            ) from error
        except ConflictError:
            result = "conflict"
            raise
        finally:
            self._metrics.store_requests.labels(method, result).inc()

    def _store(self, address: str) -> Store:
        store = self._stores.get(address)
        if store is None:
            store = self._stores[address] = self._open_store(address)
        return store

    def _read(self, store: Store, name: str, kind: type[Document]) -> Versioned | None:
        try:
            stored = store.read(name)
        except MissingError:
            return None
        try:
            return Versioned(kind.model_validate_json(stored.content), stored.version)
        except ValidationError:
            self._metrics.damaged_reports.inc()
            logger.warning("%s in %s is damaged: it is no %s", name, store.address, kind.__name__)
            return Versioned(None, stored.version)
