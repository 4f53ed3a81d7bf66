"""The loop of every run: look, plan, act, tell, wait. Keyed by uid, each in a task of its own.

Level-triggered: what woke the loop is never asked, only what is there. A watch event, the end of a pause
or the start of the process all lead to the same look. A look that fails is repeated after a pause that
grows with each failure and never ends the loop. At most `concurrency` looks are under way at once, and the
rest wait in the order in which they came.
"""

import asyncio
import collections
import itertools
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from autolfads_operator import log, times
from autolfads_operator.act import Actor
from autolfads_operator.actions import PostEvent
from autolfads_operator.cache import Entry
from autolfads_operator.errors import OperatorError, OutdatedError
from autolfads_operator.kinds import RUNS
from autolfads_operator.metrics import Metrics
from autolfads_operator.observe import Observer
from autolfads_operator.observed import Observed
from autolfads_operator.plan import Plan
from autolfads_operator.settings import OperatorSettings
from autolfads_operator.status import is_urgent, is_worth_writing
from autolfads_operator.trouble import with_trouble
from autolfads_spec import AutoLFADSError
from autolfads_spec.status import Reason, RunStatus

logger = logging.getLogger(__name__)

# One change comes as several events: they are waited for, so that one look sees all of it.
SETTLE_SECONDS = 0.2


@dataclass
class _Run:
    """What the loop of one run remembers between looks; all of it may be lost without harm."""

    name: str
    namespace: str
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    phase: str = "Pending"
    failures: int = 0
    written_at: float = -1e9
    seen: Observed | None = None
    wanted: RunStatus | None = None
    trouble: RunStatus | None = None


class Reconciler:
    """The loops of all runs.

    Args:
      plan: decides; pure.
      may_act: whether this process is still the one that may; asked before every action.
      monotonic: seconds that never go back.
    """

    def __init__(
        self,
        observer: Observer,
        actor: Actor,
        plan: Callable[[Observed], Plan],
        settings: OperatorSettings,
        metrics: Metrics,
        may_act: Callable[[], bool],
        monotonic: Callable[[], float],
    ) -> None:
        self._observer, self._actor, self._plan = observer, actor, plan
        self._settings, self._metrics = settings, metrics
        self._may_act, self._monotonic = may_act, monotonic
        self._runs: dict[str, _Run] = {}
        self._turns = asyncio.Semaphore(settings.concurrency)
        self._numbers = itertools.count(1)
        self._random = random.Random()

    def note(self, entry: Entry, gone: bool = False) -> None:
        """A run, or something that was made for one, has changed or is gone."""
        if entry.kind == RUNS and gone:
            self._lose(entry.uid)
        elif entry.kind == RUNS and entry.uid not in self._runs:
            self._begin(entry)
        elif entry.run_uid in self._runs:
            self._runs[entry.run_uid].wake.set()

    def _begin(self, entry: Entry) -> None:
        run = self._runs[entry.uid] = _Run(entry.name, entry.namespace)
        run.task = asyncio.create_task(
            self._serve(entry.uid, run), name=f"run {entry.namespace}/{entry.name}"
        )

    def _lose(self, uid: str) -> None:
        run = self._runs.pop(uid, None)
        if run is None:
            return
        if run.task is not None:
            run.task.cancel()
        self._observer.forget(uid)
        self._metrics.forget(run.namespace, run.name)
        with log.about(run=f"{run.namespace}/{run.name}", uid=uid):
            logger.info("run is gone")

    @property
    def phases(self) -> collections.Counter[str]:
        """How many runs are in each phase."""
        return collections.Counter(run.phase for run in self._runs.values())

    async def stop(self) -> None:
        """End all loops; what they were doing is taken up by the next operator."""
        tasks = [run.task for run in self._runs.values() if run.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._runs.clear()

    async def _serve(self, uid: str, run: _Run) -> None:
        with log.about(run=f"{run.namespace}/{run.name}", uid=uid):
            while True:
                run.wake.clear()
                pause_seconds = await self._turn(uid, run)
                least_seconds = SETTLE_SECONDS
                if run.failures > 1:  # somebody else's events must not undo the growing pauses
                    least_seconds = min(pause_seconds, self._settings.backoff_first_seconds)
                await asyncio.sleep(least_seconds)
                try:
                    async with asyncio.timeout(max(0.0, pause_seconds - least_seconds)):
                        await run.wake.wait()
                except TimeoutError:
                    continue

    async def _turn(self, uid: str, run: _Run) -> float:
        """One look when it is its turn; how long to wait for the next."""
        self._metrics.queue_depth.inc()
        try:
            await self._turns.acquire()
        finally:
            self._metrics.queue_depth.dec()
        try:
            with log.about(reconcile=next(self._numbers)), self._metrics.reconcile_seconds.time():
                pause_seconds = await self._look(uid, run)
                run.failures, run.trouble = 0, None
                # Runs that began together must not ask together for ever.
                return pause_seconds * self._random.uniform(0.9, 1.1)
        except Exception as error:
            return await self._after(error, uid, run)
        finally:
            self._turns.release()

    async def _look(self, uid: str, run: _Run) -> float:
        observed = await self._observer.observe(uid)
        if observed is None:
            return self._settings.poll_terminal_seconds  # its end was seen; the loop is about to be stopped
        run.seen = observed
        plan = self._plan(observed)
        run.phase = str(plan.status.phase or run.phase)
        self._measure(observed, plan.status)
        with log.about(attempt=plan.status.attempt, generation=_generation(plan.status)):
            for action in plan.actions:
                self._require_leadership()
                await self._actor.carry_out(action, observed.custom_resource)
                logger.info("%s", action)
            if not all(isinstance(action, PostEvent) for action in plan.actions):
                self._observer.doubt(uid)  # an event changes nothing that is looked at
            left_seconds = await self._tell(observed, plan.status, run)
        return min(plan.wake_after_seconds, left_seconds)

    async def _tell(self, observed: Observed, status: RunStatus, run: _Run) -> float:
        """Write the status if it says anything new; how long the next write has to wait, if one must."""
        run.wanted = status
        before = observed.custom_resource.status
        if not is_worth_writing(before, status):
            return float("inf")
        left_seconds = run.written_at + self._settings.status_interval_seconds - self._monotonic()
        if left_seconds > 0 and not is_urgent(before, status):
            return left_seconds
        self._require_leadership()
        await self._actor.write_status(observed.custom_resource, status)
        run.written_at = self._monotonic()
        return float("inf")

    def _require_leadership(self) -> None:
        if not self._may_act():
            raise OutdatedError("wanted the Lease before acting, found it not renewed in time; doing nothing")

    async def _after(self, error: Exception, uid: str, run: _Run) -> float:
        """What a failed look leads to: a line in the log, a condition if it lasts, and a pause."""
        run.failures += 1
        self._observer.doubt(uid)
        self._metrics.reconcile_errors.labels(type(error).__name__).inc()
        if isinstance(error, OutdatedError):
            logger.info("looking again: %s", error)
        elif isinstance(error, AutoLFADSError):
            logger.warning("failed %d times: %s", run.failures, error)
        else:
            logger.exception("failed %d times, by a mistake in the operator", run.failures)
        if run.failures == 1 and isinstance(error, OutdatedError):
            return 0.0
        if run.failures >= 3 and self._may_act():
            await self._tell_trouble(error, run)
        grown = self._settings.backoff_first_seconds * 2.0 ** min(run.failures - 1, 30)
        least = error.wait_seconds if isinstance(error, OperatorError) else 0.0
        pause_seconds = max(least, min(grown, self._settings.backoff_longest_seconds))
        return pause_seconds * self._random.uniform(0.75, 1.25)

    async def _tell_trouble(self, error: Exception, run: _Run) -> None:
        """Let the user see that the operator does not get on; whatever goes wrong with that ends no loop."""
        if run.seen is None:
            return
        custom_resource = run.seen.custom_resource
        try:
            status = with_trouble(
                run.wanted or custom_resource.status, error, custom_resource.resource_generation, run.seen.now
            )
            if run.trouble != status:
                await self._actor.write_status(custom_resource, status)
                run.trouble = status
        except AutoLFADSError as another:
            logger.debug("its status could not be written either: %s", another)
        except Exception:
            logger.exception("its status could not be written either, by a mistake in the operator")

    def _measure(self, observed: Observed, status: RunStatus) -> None:
        run, before = observed.custom_resource, observed.custom_resource.status
        ended = {attempt.number for attempt in before.attempts or () if attempt.end_reason}
        for attempt in status.attempts or ():
            if attempt.end_reason and attempt.number not in ended and before.attempts is not None:
                self._metrics.attempts_ended.labels(attempt.end_reason.value).inc()
        labels = (run.namespace, run.name)
        if status.progress is not None:
            self._metrics.generations.labels(*labels).set(status.progress.generation or 0)
            self._metrics.generations_asked.labels(*labels).set(status.progress.of or 0)
            self._metrics.members_running.labels(*labels).set(status.progress.members_running or 0)
            self._metrics.members_failed.labels(*labels).set(status.progress.members_failed or 0)
            known = before.progress.preemptions if before.progress is not None else None
            lost = (status.progress.preemptions or 0) - (known or 0)
            if known is not None and lost > 0:
                self._metrics.preemptions.inc(lost)
        manifest = None if observed.folder is None else observed.folder.manifest
        if manifest is not None:
            age_seconds = times.seconds_since(times.parsed_or_none(manifest.heartbeat), observed.now)
            self._metrics.heartbeat_age_seconds.labels(*labels).set(max(0.0, age_seconds))
        if observed.custom_resource.deleted_at is not None:
            blocked = any(c.reason is Reason.CLEANUP_BLOCKED for c in status.conditions or ())
            self._metrics.cleanup_blocked.labels(*labels).set(int(blocked))
        if status.cost is not None:
            self._metrics.gpu_hours.labels(*labels).set(float(status.cost.gpu_hours or 0))
            self._metrics.cost_estimate.labels(*labels).set(float(status.cost.estimate or 0))


def _generation(status: RunStatus) -> int | None:
    return None if status.progress is None else status.progress.generation
