"""Kopf's part: it watches, and each event becomes a line in the cache and a wake-up call. Nothing else.

Only `on.event` handlers are used. They store nothing in the objects and add no finalizer, so the only
finalizer of a run is ours, put on and taken off by `plan`; see docs/decisions/0008-operator-loop.md.

Kopf runs in a thread and an event loop of its own, because it ends, and then ends every task of its loop,
when a kind that it watches is uninstalled. It is started anew then; the loops of the runs never notice.
"""

import asyncio
import contextlib
import functools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import kopf

from autolfads_operator.api import TLS_END_SECONDS, KubeApi
from autolfads_operator.cache import Cache
from autolfads_operator.kinds import PODS, RAY_CLUSTERS, RAY_JOBS, RUNS, Kind, Object
from autolfads_operator.manifests.names import ALL_RUNS_SELECTOR
from autolfads_operator.reconcile import Reconciler
from autolfads_operator.settings import OperatorSettings

logger = logging.getLogger(__name__)

WATCHED = (RUNS, RAY_JOBS, RAY_CLUSTERS, PODS)
# A watch is asked for anew every five minutes: a load balancer may forget a silent connection.
WATCH_SECONDS = 300
END_SECONDS = 5
LONGEST_PAUSE_SECONDS = 30.0
QUIET_SECONDS = 60  # watches that held for so long did well; the next failure is a first one

# Called in the main loop with each event: its kind, whether the object is gone, the object.
Note = Callable[[Kind, bool, Object], None]


def take_note(cache: Cache, reconciler: Reconciler, kind: Kind, gone: bool, thing: dict[str, Any]) -> None:
    """One event: remember it, and wake the run that it is about."""
    entry = cache.drop(thing["metadata"]["uid"]) if gone else cache.put(kind, thing)
    if entry is not None:
        reconciler.note(entry, gone)


class Watches:
    """Watches of everything that is watched, kept up until it is cancelled.

    Args:
      note: called with every event, in the loop that `keep` runs in.
    """

    def __init__(self, api: KubeApi, settings: OperatorSettings, note: Note) -> None:
        self._api, self._settings, self._note = api, settings, note
        self._stop: Callable[[], None] | None = None

    async def keep(self) -> None:
        """Watch for ever."""
        pause_seconds = 1.0
        while True:
            began = time.monotonic()
            error = await self._watch_once()
            if time.monotonic() - began > QUIET_SECONDS:
                pause_seconds = 1.0
            logger.warning("watches ended (%s); starting them anew", error or "as asked")
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(LONGEST_PAUSE_SECONDS, 2 * pause_seconds)

    def renew(self) -> None:
        """Start the watches anew: other kinds are served now."""
        if self._stop is not None:
            self._stop()

    async def _watch_once(self) -> BaseException | None:
        """Watch until kopf ends; what it ended with."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[BaseException | None] = loop.create_future()

        def tell(function: Callable[..., Any], *arguments: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(function, *arguments)

        def settle(error: BaseException | None) -> None:
            if not ended.done():
                ended.set_result(error)

        def work() -> None:
            error: BaseException | None = None
            try:
                asyncio.run(self._watch(loop, tell))
            except BaseException as caught:
                error = caught
            tell(settle, error)

        threading.Thread(target=work, name="watches", daemon=True).start()
        try:
            return await asyncio.shield(ended)
        finally:
            self.renew()
            await asyncio.wait([ended], timeout=END_SECONDS)
            self._stop = None

    async def _watch(self, main: asyncio.AbstractEventLoop, tell: Callable[..., None]) -> None:
        """In the thread: kopf, until it fails or is stopped."""
        stop, own = asyncio.Event(), asyncio.get_running_loop()

        def ask_to_stop() -> None:
            with contextlib.suppress(RuntimeError):
                own.call_soon_threadsafe(stop.set)

        self._stop = ask_to_stop
        await kopf.operator(
            registry=self._registry(main, functools.partial(tell, self._note)),
            settings=kopf_settings(self._settings),
            clusterwide=not self._settings.namespaces,
            namespaces=self._settings.namespaces,
            standalone=True,
            stop_flag=stop,
        )
        await asyncio.sleep(TLS_END_SECONDS)

    def _registry(self, main: asyncio.AbstractEventLoop, note: Callable[..., None]) -> kopf.OperatorRegistry:
        """A handler for each kind, and the credentials of `api`."""
        registry = kopf.OperatorRegistry()
        for kind in WATCHED:
            _on_event(registry, kind, note)

        @kopf.on.login(registry=registry)
        async def log_in(**_: Any) -> kopf.ConnectionInfo:
            asked = asyncio.run_coroutine_threadsafe(self._api.credentials(), main)
            found = await asyncio.wrap_future(asked)
            return kopf.ConnectionInfo(
                server=found.server,
                ca_path=found.ca_path,
                insecure=found.insecure,
                scheme="Bearer" if found.token else None,
                token=found.token,
                certificate_path=found.certificate_path,
                private_key_path=found.private_key_path,
            )

        return registry


def _on_event(registry: kopf.OperatorRegistry, kind: Kind, note: Callable[..., None]) -> None:
    @kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, id=f"see-{kind.plural}")
    async def see(event: Any, **_: Any) -> None:
        note(kind, event["type"] == "DELETED", event["object"])


class Patience:
    """Pauses between attempts to reach Kubernetes, without end: an outage of hours is no reason to end."""

    def __iter__(self) -> Iterator[float]:
        pause_seconds = 1.0
        while True:
            yield pause_seconds
            pause_seconds = min(30.0, pause_seconds * 1.6)


def kopf_settings(settings: OperatorSettings) -> kopf.OperatorSettings:
    """Kopf as we use it: it watches, with endless patience, and writes nothing anywhere."""
    found = kopf.OperatorSettings()
    found.posting.enabled = False
    found.peering.standalone = True
    # With rights in some namespaces only, kinds that appear later are not seen; `renew` is for that.
    found.scanning.disabled = bool(settings.namespaces)
    found.watching.server_timeout = WATCH_SECONDS
    found.watching.chunk_size = 250
    found.networking.request_timeout = settings.api_timeout_seconds
    found.networking.connect_timeout = min(10.0, settings.api_timeout_seconds)
    found.networking.error_backoffs = Patience()
    found.process.ultimate_exiting_timeout = None  # a thread cannot be killed
    for kind in WATCHED[1:]:
        found.watching.label_selectors[kind.group, kind.version, kind.plural] = ALL_RUNS_SELECTOR
    return found
