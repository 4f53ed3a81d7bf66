"""One operator at a time: a Lease, taken before any run is looked at; the process ends when it is lost.

The Lease keeps two operators from doing the same work; it is not what keeps runs safe. A leader that was
stopped for a minute may act once more before it learns that it is none; so every action is idempotent,
and the driver is fenced by the lease in the output folder.

Clocks of different machines are never compared: how long the holder has been silent is measured here, from
when its last renewal was first seen.
"""

import asyncio
import datetime
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from autolfads_operator.errors import OperatorError, OutdatedError
from autolfads_operator.kinds import LEASES, Kind
from autolfads_spec import AutoLFADSError

logger = logging.getLogger(__name__)


class LeadershipLostError(AutoLFADSError):
    """Another operator may be at work; this process must end."""

    exit_code = 3


class LeaseApi(Protocol):
    """What is needed of Kubernetes; `KubeApi` is one."""

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any] | None:
        """The object, or None."""

    async def create(self, kind: Kind, namespace: str | None, body: dict[str, Any]) -> dict[str, Any]:
        """A new object; OutdatedError if there is one."""

    async def replace(self, kind: Kind, namespace: str | None, body: dict[str, Any]) -> dict[str, Any]:
        """The object, if it is the version of `body`; else OutdatedError."""


class Leadership:
    """Holds the Lease `name`, or waits for it.

    Args:
      monotonic: seconds that never go back.
      now: UTC, for what people read in the Lease.
      sleep: passes seconds.
    """

    def __init__(
        self,
        api: LeaseApi,
        namespace: str,
        name: str,
        identity: str,
        lease_seconds: float,
        renew_seconds: float,
        give_up_seconds: float,
        *,
        monotonic: Callable[[], float],
        now: Callable[[], datetime.datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api, self._namespace, self._name, self.identity = api, namespace, name, identity
        self._lease_seconds, self._renew_seconds = lease_seconds, renew_seconds
        self._give_up_seconds = give_up_seconds
        self._monotonic, self._now, self._sleep = monotonic, now, sleep
        self._lease: dict[str, Any] | None = None
        self._renewed_at: float | None = None
        self._seen: tuple[Any, ...] = ()
        self._seen_at = 0.0

    @property
    def is_held(self) -> bool:
        """Whether this process may act: it renewed the Lease, not too long ago."""
        return self._renewed_at is not None and self.age_seconds < self._give_up_seconds

    @property
    def age_seconds(self) -> float:
        """Time since the last renewal; 0 before the first."""
        return 0.0 if self._renewed_at is None else self._monotonic() - self._renewed_at

    async def acquire(self) -> None:
        """Wait until the Lease is ours."""
        told: str | None = None
        while True:
            try:
                holder = await self._try_to_take()
            except OperatorError as error:
                holder = f"nobody that could be asked ({error})"
            if holder is None and self.is_held:
                logger.info("Lease %s/%s taken by %s", self._namespace, self._name, self.identity)
                return
            if holder != told:
                logger.info("waiting for Lease %s/%s, held by %s", self._namespace, self._name, holder)
                told = holder
            await self._sleep(self._renew_seconds)

    async def keep(self) -> None:
        """Renew for ever.

        Raises:
          LeadershipLostError: when somebody else holds it, or no renewal succeeded for too long.
        """
        while True:
            await self._sleep(self._renew_seconds)
            try:
                # An answer that comes after the end of our time is worth nothing.
                left = max(0.1, self._give_up_seconds - self.age_seconds)
                holder = await asyncio.wait_for(self._try_to_take(), timeout=left)
            except (OperatorError, TimeoutError) as error:
                logger.warning("Lease not renewed for %.0f s: %s", self.age_seconds, error or "no answer")
                holder = None
            if holder is not None:
                self._renewed_at = None
                raise LeadershipLostError(
                    f"wanted to keep Lease {self._namespace}/{self._name}, found it held by {holder}; ending"
                )
            if not self.is_held:
                raise LeadershipLostError(
                    f"wanted to renew Lease {self._namespace}/{self._name} in {self._give_up_seconds:g} s, "
                    f"found no way for {self.age_seconds:.0f} s; ending"
                )

    async def release(self) -> None:
        """Give it back, so that the next operator need not wait."""
        held, self._renewed_at = self.is_held, None
        if not held or self._lease is None:
            return
        spec = {**self._lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            await self._api.replace(LEASES, self._namespace, {**self._lease, "spec": spec})
        except OperatorError as error:
            logger.warning("Lease not given back: %s", error)

    async def _try_to_take(self) -> str | None:
        """Who else holds it; None when it is ours, renewed just now unless a reply was lost."""
        asked_at = self._monotonic()  # the Lease runs from before the request, never from its answer
        if self._lease is None or not self.is_held:
            found = await self._api.get(LEASES, self._namespace, self._name)
            if found is None:
                return await self._write(self._api.create, {}, {}, asked_at)
            holder = self._holder(found)
            if holder is not None and holder != self.identity:
                return holder
            return await self._write(self._api.replace, found["metadata"], found.get("spec") or {}, asked_at)
        return await self._write(self._api.replace, self._lease["metadata"], self._lease["spec"], asked_at)

    def _holder(self, lease: dict[str, Any]) -> str | None:
        """Who holds it and was heard of in time."""
        spec = lease.get("spec") or {}
        seen = (spec.get("holderIdentity"), spec.get("renewTime"), lease["metadata"].get("resourceVersion"))
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._monotonic()
        if not spec.get("holderIdentity"):
            return None
        silent = self._monotonic() - self._seen_at
        return None if silent >= float(spec.get("leaseDurationSeconds") or 0) else str(spec["holderIdentity"])

    async def _write(
        self,
        write: Callable[[Kind, str, dict[str, Any]], Awaitable[dict[str, Any]]],
        metadata: dict[str, Any],
        spec: dict[str, Any],
        asked_at: float,
    ) -> str | None:
        time = self._now().astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        is_new = spec.get("holderIdentity") != self.identity
        lease = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"name": self._name, **metadata},
            "spec": {
                **spec,
                "holderIdentity": self.identity,
                "leaseDurationSeconds": round(max(1, self._lease_seconds)),
                "acquireTime": time if is_new else spec.get("acquireTime", time),
                "renewTime": time,
                "leaseTransitions": int(spec.get("leaseTransitions") or 0) + int(is_new and bool(spec)),
            },
        }
        try:
            self._lease = await write(LEASES, self._namespace, lease)
        except OutdatedError:
            self._lease = None
            found = await self._api.get(LEASES, self._namespace, self._name)
            holder = None if found is None else (found.get("spec") or {}).get("holderIdentity")
            if holder == self.identity:  # a reply of ours was lost, or somebody touched its labels
                return None
            return str(holder or "somebody who was faster")
        self._renewed_at = asked_at
        return None
