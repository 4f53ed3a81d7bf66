"""Trains cohorts on Ray: a worker per core or GPU takes cohorts from a queue until none is left.

Ray is a work queue here, used by public names only: which worker trains a cohort changes no
bit of its result. A worker that dies or stands still is replaced and its cohort is done again.
A worker gets work once it answers and not before, so one for which the cluster has no room yet,
or no more, holds up nobody; it joins when there is room, however late.
"""

import logging
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray
from ray.exceptions import RayError

from lfads_worker.execution.environment import training_environment
from lfads_worker.execution.losses import ALLOWED, AVERAGES, Loss, Losses, Work, more_memory, never_starts
from lfads_worker.execution.pool import CohortPool, OnProgress, Shapes, TrainerFactory
from lfads_worker.execution.ray_cluster import RayConnection, first_line
from lfads_worker.execution.ray_worker import LOST, Worker, answer, loss_of
from lfads_worker.execution.stillness import Pace, Watch
from lfads_worker.execution.work_queue import WorkQueue
from lfads_worker.outline import duration
from lfads_worker.training.averages import PosteriorAverages
from lfads_worker.training.state import CohortResult, CohortState, CohortTask

logger = logging.getLogger(__name__)

# Seconds between two looks at the workers: short enough for a bar that moves, long enough to cost nothing.
POLL_SECONDS = 0.5
# A process that cannot be started this often in a row never will.
MOST_FAILED_STARTS = 3
# Seconds without any worker after which it is said what is being waited for, again and again. On a cluster
# that is no surprise, because machines come one by one; on one machine something may be wrong.
SECONDS_BETWEEN_WARNINGS = 60.0


class RayPool(CohortPool):
    """Workers on Ray, started on this machine, or on the cluster that RAY_ADDRESS names."""

    def __init__(
        self,
        trainer_factory: TrainerFactory,
        workers: int,
        *,
        gpus: bool = False,
        threads: int | None = 1,
        address: str | None = None,
        while_waiting: Callable[[], None] = lambda: None,
        allowed_losses: int = ALLOWED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Starts or joins Ray, and asks for the workers.

        Args:
          trainer_factory: makes the trainer in each worker; travels there once, with the recording.
          workers: how many train at the same time, as far as the cluster has room.
          gpus: a worker takes a GPU instead of a core.
          threads: of each worker; None leaves it to TensorFlow.
          address: of a running Ray cluster; None starts Ray on this machine and ends it again.
          while_waiting: called again and again for as long as there is no worker; what it raises ends the
            waiting.
          allowed_losses: how often the machine under a cohort may be lost, see `Losses`.
          clock: by which a worker stands still.

        Raises:
          DeviceError: if the cluster cannot be joined.
        """
        self._device = "GPU" if gpus else "core"
        self._joins = address is not None
        self._wanted = f"up to {workers}" if self._joins else f"{workers}"
        where = f" on the cluster at {address}" if self._joins else ""
        plural = "s" if workers > 1 else ""
        self.description = f"{self._wanted} Ray worker{plural}{where}, one {self._device} each"
        self._threads = None if gpus else threads
        self._while_waiting = while_waiting
        self._workers: list[Worker] = []
        self._failed_starts = 0
        self._clock = clock
        self._pace = Pace()
        self._more_memory = more_memory(workers, self._joins)
        self._losses = Losses(allowed_losses, self._more_memory)
        self._waiting_since = self._last_told = time.monotonic()
        self._ray = RayConnection(address, workers, gpus, training_environment(self._threads))
        try:
            self._options = {"num_cpus": 1, "num_gpus": 1 if gpus else 0, "max_restarts": 0}
            self._factory = ray.put(trainer_factory)
            self._workers = [self._new_worker() for _ in range(workers)]
        except BaseException:  # an interrupt, too, must not leave processes behind
            self.close()
            raise

    def train(self, tasks: Sequence[CohortTask], on_progress: OnProgress) -> Iterator[CohortResult]:
        queue = WorkQueue.of(tasks)
        try:
            while queue or self._busy:
                self._give_out(queue)
                yield from self._take_in(queue)
                self._ask_for_progress(on_progress)
                self._replace_still(queue)
        finally:
            for worker in self._busy:  # only after an error: what they train is wanted by nobody
                self._replace(worker)

    def posterior_averages(self, state: CohortState, row: int, samples: int) -> PosteriorAverages:
        averages: PosteriorAverages = pickle.loads(
            self._ask_anyone(lambda actor: actor.posterior_averages.remote(state, row, samples))
        )
        return averages

    def parameter_names_and_shapes(self) -> Shapes:
        shapes: Shapes = self._ask_anyone(lambda actor: actor.parameter_names_and_shapes.remote())
        return shapes

    def process_ids(self) -> list[int]:
        """The processes of the workers on their machines; waits until all are there."""
        while any(worker.place is None for worker in self._workers):
            self._wait()
        return [worker.place.process for worker in self._workers if worker.place]

    def close(self) -> None:
        self._workers = []
        self._ray.close()

    @property
    def _busy(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.task is not None]

    @property
    def _there(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.place is not None]

    def _new_worker(self) -> Worker:
        return Worker.start(self._factory, self._threads, self._options)

    def _replace(self, worker: Worker) -> None:
        worker.end()
        self._workers[self._workers.index(worker)] = self._new_worker()

    def _give_out(self, queue: WorkQueue) -> None:
        for worker in self._workers:
            if worker.is_idle and queue:
                worker.give(queue.take(), self._clock())

    def _take_in(self, queue: WorkQueue) -> Iterator[CohortResult]:
        """Results that are there, after a moment of waiting."""
        for worker in self._wait():
            result = self._result(worker, queue)
            if result is not None:
                yield result

    def _wait(self) -> list[Worker]:
        """Waits a moment for something to happen; the workers that have ended their task."""
        starting = {worker.greeting: worker for worker in self._workers if worker.greeting is not None}
        busy = {worker.result: worker for worker in self._busy}
        ready, _ = ray.wait([*starting, *busy], num_returns=1, timeout=POLL_SECONDS)
        for reference in ready:
            if reference in starting:
                self._greet(starting[reference])
        if not self._there:
            self._while_waiting()
        self._tell_of_waiting()
        return [busy[reference] for reference in ready if reference in busy]

    def _greet(self, worker: Worker) -> None:
        """Notes where a new worker is; one that could not start is tried again."""
        try:
            place = worker.greet()
        except RayError as error:
            # In a cluster, beside workers that train, it is most often a machine that was taken away again.
            self._failed_starts = 0 if self._there and self._joins else self._failed_starts + 1
            if self._failed_starts >= MOST_FAILED_STARTS:
                self._give_up(worker, error)
                return
            logger.warning("a worker ended while it started (%s); it is started again", first_line(error))
            self._replace(worker)
            return
        self._failed_starts = 0
        if self._joins:
            logger.info("a worker has come, on %s: %d of %s", place.host, len(self._there), self._wanted)

    def _give_up(self, worker: Worker, error: RayError) -> None:
        """Does without a worker that does not start: for good, or as long as others train.

        Raises:
          DeviceError: if there is no other one.
        """
        starts, self._failed_starts = self._failed_starts, 0
        if not self._there:
            loss = self._loss(worker, error)
            raise never_starts(self._device, starts, first_line(error), loss, self._more_memory) from error
        worker.end()
        self._workers.remove(worker)
        left = len(self._workers)
        logger.warning(
            "a worker ended while it started, %d times (%s); the run goes on with %d worker%s",
            starts,
            first_line(error),
            left,
            "s" if left > 1 else "",
        )

    def _tell_of_waiting(self) -> None:
        now = time.monotonic()
        if self._there:
            self._waiting_since = self._last_told = now
        elif now - self._last_told > SECONDS_BETWEEN_WARNINGS:
            self._last_told = now
            logger.log(
                logging.INFO if self._joins else logging.WARNING,
                "no worker yet after %s: wanted %s, each with one free %s on Ray",
                duration(now - self._waiting_since),
                self._wanted,
                self._device,
            )

    def _result(self, worker: Worker, queue: WorkQueue) -> CohortResult | None:
        """What a worker has trained, or None if it was lost: then its task waits for another one."""
        task, watch = worker.task, worker.watch
        assert task is not None
        assert watch is not None
        try:
            result = worker.take()
        except LOST as error:
            logger.debug("%s", error)
            self._do_again(worker, task, self._loss(worker, error), queue)
            return None
        self._pace.look(watch, task.epochs, self._clock())
        return result

    def _replace_still(self, queue: WorkQueue) -> None:
        """Ends workers that live and have come to a stop."""
        for worker in self._busy:
            assert worker.task is not None
            assert worker.watch is not None
            if self._pace.is_still(worker.watch):
                logger.warning(
                    "cohort %d: no epoch has ended for %s", worker.task.cohort, duration(worker.watch.quiet)
                )
                self._do_again(worker, worker.task, Loss.STILL, queue)

    def _do_again(self, worker: Worker, task: CohortTask, loss: Loss, queue: WorkQueue) -> None:
        self._replace(worker)
        self._losses.count(Work.of(task), loss)
        logger.warning(
            "cohort %d: its %s in generation %d; it is done again on another one",
            task.cohort,
            loss.value,
            task.generation,
        )
        queue.put_back(task)

    def _loss(self, worker: Worker, error: Exception) -> Loss:
        place = worker.place
        has_machine = place is None or self._ray.has_node(place.node)
        return loss_of(error, has_machine, is_here=not self._joins)

    def _ask_anyone(self, call: Callable[[Any], Any]) -> Any:
        """The answer of any worker; when it is lost, of another one."""
        while True:
            while not any(worker.is_idle for worker in self._workers):
                self._wait()
            worker = next(worker for worker in self._workers if worker.is_idle)
            reference = call(worker.actor)
            try:
                if self._is_answered(worker, reference):
                    return answer(reference)
                loss = Loss.STILL
            except LOST as error:
                loss = self._loss(worker, error)
            self._replace(worker)
            self._losses.count(AVERAGES, loss)
            logger.warning(
                "posterior samples: the %s that averaged them; another one does it again", loss.value
            )

    def _is_answered(self, worker: Worker, reference: Any) -> bool:
        """Waits for a worker that averages; False when it lives and has come to a stop."""
        watch, pace = Watch(self._clock(), at_first=True), Pace()
        while not ray.wait([reference], num_returns=1, timeout=POLL_SECONDS)[0]:
            pace.look(watch, worker.steps_done(), self._clock())
            if pace.is_still(watch):
                logger.warning("posterior samples: no batch has ended for %s", duration(watch.quiet))
                return False
        worker.progress = None
        return True

    def _ask_for_progress(self, on_progress: OnProgress) -> None:
        """Tells what the workers have answered; one too busy to answer holds up nobody."""
        for worker in self._busy:
            assert worker.task is not None
            assert worker.watch is not None
            epochs_done = worker.steps_done()
            self._pace.look(worker.watch, epochs_done, self._clock())
            if epochs_done is not None and epochs_done >= worker.watch.steps:  # not what came too late
                on_progress(worker.task.cohort, epochs_done, worker.task.epochs)
