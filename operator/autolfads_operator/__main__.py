"""`python -m autolfads_operator`: puts the parts together, starts them in order, and ends with a reason.

    settings and log → health and metrics → Kubernetes → Lease → lists → watches and loops

Ends with 0 when asked to (SIGTERM), with 3 when the Lease is lost, and with 1 or 2 when something is wrong
that only a new start or another setting can mend. Kubernetes starts it anew; what it was doing is taken up.
"""

import asyncio
import datetime
import functools
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Coroutine
from typing import Any

from autolfads_operator import cloud_side, handlers, health, listing, log, settings, times
from autolfads_operator.act import Actor
from autolfads_operator.api import KubeApi
from autolfads_operator.cache import Cache
from autolfads_operator.cloud_side import CloudSide
from autolfads_operator.errors import OperatorError
from autolfads_operator.kinds import RUNS, Kind
from autolfads_operator.leadership import Leadership, LeadershipLostError
from autolfads_operator.metrics import Metrics
from autolfads_operator.observe import Observer
from autolfads_operator.observed import KubeRay
from autolfads_operator.plan import plan
from autolfads_operator.reconcile import Reconciler
from autolfads_operator.reports import Reports
from autolfads_operator.settings import OperatorSettings
from autolfads_spec import AutoLFADSError
from autolfads_spec.store import open_store

logger = logging.getLogger("autolfads_operator")

FIRST_COMPARE_SECONDS = 10  # after the watches began: what happened between list and watch
SERVED_SECONDS = 30  # between two questions whether the kinds are served; also how KubeRay's arrival is seen
HOUSEKEEPING_SECONDS = 5
END_SECONDS = 5  # for what is under way when the Lease is lost; it may not go on for longer


class Process:
    """All parts of one operator process."""

    def __init__(
        self, chosen: OperatorSettings, api: KubeApi, metrics: Metrics, state: health.Health
    ) -> None:
        self.settings, self.api, self.metrics, self.health = chosen, api, metrics, state
        self.leadership = Leadership(
            api,
            chosen.lease_namespace,
            chosen.lease_name,
            chosen.identity,
            chosen.lease_seconds,
            chosen.lease_renew_seconds,
            chosen.lease_give_up_seconds,
            monotonic=time.monotonic,
            now=_now,
        )
        self.cache = Cache()
        self.reports = Reports(
            # The client's own patience is cut to ours: a thread is not to hang on after nobody waits for it.
            functools.partial(open_store, patience_seconds=chosen.store_timeout_seconds * 0.8),
            metrics,
            chosen.concurrency,
            chosen.store_timeout_seconds,
        )
        self.cloud = (
            CloudSide(chosen, metrics, lambda: self.observer.runs(), self.may_act) if chosen.cluster else None
        )
        view = self.cloud.view if self.cloud is not None else None
        self.observer = Observer(
            api, self.cache, self.reports, _now, cloud=(view, chosen) if view is not None else None
        )
        self.reconciler = Reconciler(
            self.observer,
            Actor(
                api, self.cache, self.reports, metrics, chosen.identity, lambda: times.written(_now()), view
            ),
            lambda observed: plan(observed, chosen),
            chosen,
            metrics,
            self.may_act,
            time.monotonic,
        )
        note = functools.partial(handlers.take_note, self.cache, self.reconciler)
        self.watches = handlers.Watches(api, chosen, note)
        self._served_at: float | None = None
        self._is_filled = False
        state.add_live("Lease", self._lease_problem)
        state.add_ready(
            "Lease", lambda: None if self.may_act() else "not held; another operator may be at work"
        )
        state.add_ready("CRD", self._served_problem)
        state.add_ready("first list", lambda: None if self._is_filled else "not done yet")

    def may_act(self) -> bool:
        """Whether this process is the one that may do things."""
        return self.leadership.is_held or not self.settings.leader_election

    async def run(self) -> None:
        """Everything, from the Lease on; ends only with an error, or cancelled."""
        if self.settings.leader_election:
            await self.leadership.acquire()
        try:
            await self._first(self._work(), self.leadership.keep() if self.settings.leader_election else None)
        except LeadershipLostError:
            # Whatever hangs now may not keep this process alive beside the next leader.
            timer = threading.Timer(2 * END_SECONDS, os._exit, (LeadershipLostError.exit_code,))
            timer.daemon = True
            timer.start()
            raise
        finally:
            await self.reconciler.stop()
            await self.leadership.release()
            self.reports.close()
            if self.cloud is not None:
                await self.cloud.close()

    async def _work(self) -> None:
        await self._fill()
        await self._first(
            self.watches.keep(),
            self._compare_for_ever(),
            self._ask_what_is_served(),
            self.cloud.sweeper.keep() if self.cloud is not None else None,
        )

    async def _first(
        self, main: Coroutine[Any, Any, None], *beside: Coroutine[Any, Any, None] | None
    ) -> None:
        """Run them together until `main` ends or one of them fails; the others are ended then."""
        tasks = [asyncio.create_task(each) for each in (main, *beside) if each is not None]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=END_SECONDS)
        for task in done:
            if not task.cancelled():
                task.result()

    async def _fill(self) -> None:
        """The first list, as soon as there is something to list."""
        pause_seconds = 1.0
        while True:
            try:
                if await self.api.serves(RUNS):
                    self._served_at = time.monotonic()
                    await self.observer.look_for_kuberay()
                    await listing.fill(self.api, self.cache, self.reconciler, self.settings.namespaces)
                    self._is_filled = True
                    return
                logger.warning("waiting for the CRD of %s; apply crds/autolfadsruns.yaml", RUNS.kind)
            except OperatorError as error:
                logger.warning("first list failed: %s", error)
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(30.0, 2 * pause_seconds)

    async def _compare_for_ever(self) -> None:
        pause_seconds, unserved = float(FIRST_COMPARE_SECONDS), set[Kind]()
        while True:
            await asyncio.sleep(pause_seconds)
            pause_seconds = self.settings.resync_seconds
            try:
                namespaces = self.settings.namespaces
                await listing.compare(self.api, self.cache, self.reconciler, namespaces, unserved)
            except OperatorError as error:
                logger.warning("lists not compared: %s", error)

    async def _ask_what_is_served(self) -> None:
        """Keep an eye on the kinds themselves."""
        had_kuberay = self.observer.kuberay is not KubeRay.MISSING
        while True:
            await asyncio.sleep(SERVED_SECONDS)
            try:
                if await self.api.serves(RUNS):
                    self._served_at = time.monotonic()
                await self.observer.look_for_kuberay()
            except OperatorError as error:
                logger.warning("what Kubernetes serves is not known: %s", error)
                continue
            has_kuberay = self.observer.kuberay is not KubeRay.MISSING
            if self.settings.namespaces and has_kuberay and not had_kuberay:
                self.watches.renew()  # without rights in all namespaces kopf does not see new kinds
            had_kuberay = has_kuberay

    async def keep_house(self) -> None:
        """Numbers for /metrics that nobody else sets."""
        while True:
            self.metrics.leader.set(int(self.may_act()))
            self.metrics.lease_age_seconds.set(self.leadership.age_seconds)
            self.metrics.kuberay.set(int(self.observer.kuberay is not KubeRay.MISSING))
            self.metrics.count_phases(self.reconciler.phases)
            await asyncio.sleep(HOUSEKEEPING_SECONDS)

    def _lease_problem(self) -> str | None:
        """A leader that cannot renew ends by itself; this catches one that does not get to it."""
        age = self.leadership.age_seconds
        if not self.settings.leader_election or age < self.settings.lease_seconds:
            return None
        return f"wanted a renewal within {self.settings.lease_seconds:g} s, found none for {age:.0f} s"

    def _served_problem(self) -> str | None:
        if self._served_at is None:
            return f"wanted {RUNS.plural} to be served, found no such kind yet"
        age = time.monotonic() - self._served_at
        if age < 4 * SERVED_SECONDS:
            return None
        return f"wanted {RUNS.plural} to be served, found no sign of it for {age:.0f} s"


async def serve(chosen: OperatorSettings) -> None:
    """Run until SIGTERM, or until something goes wrong that a new start mends."""
    metrics, state = Metrics(), health.Health(chosen.loop_lag_seconds, time.monotonic)
    state.add_ready("Kubernetes", lambda: "not connected yet")
    server = health.HealthServer(state, metrics.page, chosen.health_host, chosen.health_port)
    logger.info("serving /livez, /readyz and /metrics on port %d", server.port)
    try:
        async with await KubeApi.connect(chosen, metrics) as api:
            state.add_ready("Kubernetes", lambda: None)
            process = Process(await cloud_side.named(chosen, api), api, metrics, state)
            background = [
                asyncio.create_task(
                    health.beat(state, metrics.loop_lag_seconds.set, monotonic=time.monotonic), name="beat"
                ),
                asyncio.create_task(process.keep_house(), name="housekeeping"),
            ]
            try:
                await _until_asked(process)
            finally:
                for task in background:
                    task.cancel()
    finally:
        server.close()


async def _until_asked(process: Process) -> None:
    """Until SIGTERM or SIGINT comes, or the work fails."""
    work = asyncio.create_task(process.run(), name="operator")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        logger.info("asked to end")


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def main() -> int:
    """The whole process; its exit status."""
    try:
        chosen = settings.load()
    except AutoLFADSError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    log.start(chosen.log_level, chosen.log_format)
    for name, near in settings.misspelt(os.environ).items():
        logger.warning("%s is no setting; %s may be meant", name, near)
    gc.freeze()  # what is imported stays: collections need not look at it again
    try:
        asyncio.run(serve(chosen))
    except AutoLFADSError as error:
        logger.error("%s", error)
        return error.exit_code
    except Exception:
        logger.exception("ended by a mistake in the operator")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
