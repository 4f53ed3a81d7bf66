"""Trains cohorts on Ray: a worker per core or GPU takes cohorts from a queue until none is left.

The only module that imports Ray, and it uses public names only. Ray is a work queue here:
which worker trains a cohort changes no bit of its result. A worker that dies is replaced
and its cohort is done again. A worker gets work once it answers and not before, so one for
which the cluster has no room yet, or no more, holds up nobody; it joins when there is room.
"""

import logging
import os
import pickle
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import ray
from ray.exceptions import AuthenticationError, GetTimeoutError, RayActorError, RayTaskError

from lfads_worker.errors import DeviceError
from lfads_worker.execution import ray_environment
from lfads_worker.execution.environment import training_environment
from lfads_worker.execution.pool import CohortPool, OnProgress, Shapes, Trainer, TrainerFactory
from lfads_worker.execution.ray_environment import PrivateRay
from lfads_worker.execution.work_queue import WorkQueue
from lfads_worker.training.averages import PosteriorAverages
from lfads_worker.training.state import CohortResult, CohortState, CohortTask

logger = logging.getLogger(__name__)

# Seconds between two looks at the workers: short enough for a bar that moves, long enough to cost nothing.
POLL_SECONDS = 0.5
# A process that cannot be started this often never will.
MOST_FAILED_STARTS = 3
# Seconds without any worker after which the user is told what is being waited for, again and again.
SECONDS_BETWEEN_WARNINGS = 60.0
# Shared memory for the recording, states and posterior averages on their way; only what is used is taken.
OBJECT_STORE_BYTES = 2**30


class Place(NamedTuple):
    """Where a worker is."""

    node: str
    host: str
    process: int


class CohortWorker:
    """One device: holds a trainer, trains one cohort at a time, tells how far it is.

    Results travel as bytes, so that the driver gets arrays of its own instead of views that
    keep Ray's shared memory full.
    """

    def __init__(self, trainer_factory: TrainerFactory, threads: int | None) -> None:
        self._factory = trainer_factory
        self._threads = threads
        self._made: Trainer | None = None
        self._epochs_done = 0

    # The trainer is made by the first call and not by __init__, so that its errors come back as themselves.
    @property
    def _trainer(self) -> Trainer:
        if self._made is None:
            self._made = self._factory(self._threads)
        return self._made

    def train(self, task: CohortTask) -> bytes:
        self._epochs_done = 0

        def note(epochs_done: int, epochs: int) -> None:
            del epochs
            self._epochs_done = epochs_done

        return pickle.dumps(self._trainer.train_generation(task, note))

    @ray.method(concurrency_group="progress")  # type: ignore[untyped-decorator]
    def epochs_done(self) -> int:
        return self._epochs_done

    def posterior_averages(self, state: CohortState, row: int, samples: int) -> bytes:
        return pickle.dumps(self._trainer.posterior_averages(state, row, samples))

    def parameter_names_and_shapes(self) -> Shapes:
        return self._trainer.parameter_names_and_shapes()

    def place(self) -> Place:
        return Place(ray.get_runtime_context().get_node_id(), socket.gethostname(), os.getpid())


@dataclass(eq=False)
class _Worker:
    """A worker as the pool sees it: starting (`greeting`), idle, or busy (`task`, `result`)."""

    actor: Any
    greeting: Any  # reference to its place; None once that is known
    place: Place | None = None
    task: CohortTask | None = None
    result: Any = None  # reference to the result of `task`
    progress: Any = None  # reference to an answer to `epochs_done`

    @property
    def is_idle(self) -> bool:
        return self.place is not None and self.task is None


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
    ) -> None:
        """Starts or joins Ray, and the workers.

        Args:
          trainer_factory: makes the trainer in each worker; travels there once, with the recording.
          workers: how many train at the same time, as far as the cluster has room.
          gpus: a worker takes a GPU instead of a core.
          threads: of each worker; None leaves it to TensorFlow.
          address: of a running Ray cluster; None starts Ray on this machine and ends it again.

        Raises:
          DeviceError: if the cluster cannot be joined.
        """
        self._device = "GPU" if gpus else "core"
        where = f" on the cluster at {address}" if address else ""
        self.description = f"{workers} Ray worker{'s' if workers > 1 else ''}{where}, one {self._device} each"
        self._threads = None if gpus else threads
        self._workers: list[_Worker] = []
        self._failed_starts = 0
        self._last_warning = time.monotonic()
        self._private = None if address else PrivateRay()
        try:
            _start_ray(address, workers, gpus, training_environment(self._threads))
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
        if ray.is_initialized():
            ray.shutdown()
        if self._private is not None:
            self._private.close()

    @property
    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.task is not None]

    def _new_worker(self) -> _Worker:
        remote = ray.remote(concurrency_groups={"progress": 1})(CohortWorker)
        actor = remote.options(**self._options).remote(self._factory, self._threads)
        return _Worker(actor, greeting=actor.place.remote())

    def _replace(self, worker: _Worker) -> None:
        ray.kill(worker.actor)  # it may be out of reach rather than dead; its device must be free
        self._workers[self._workers.index(worker)] = self._new_worker()

    def _give_out(self, queue: WorkQueue) -> None:
        for worker in self._workers:
            if worker.is_idle and queue:
                worker.task = queue.take()
                worker.result = worker.actor.train.remote(worker.task)

    def _take_in(self, queue: WorkQueue) -> Iterator[CohortResult]:
        """Results that are there, after a moment of waiting."""
        for worker in self._wait():
            result = self._result(worker, queue)
            if result is not None:
                yield result

    def _wait(self) -> list[_Worker]:
        """Waits a moment for something to happen; the workers that have ended their task."""
        starting = {worker.greeting: worker for worker in self._workers if worker.greeting is not None}
        busy = {worker.result: worker for worker in self._busy}
        ready, _ = ray.wait([*starting, *busy], num_returns=1, timeout=POLL_SECONDS)
        for reference in ready:
            if reference in starting:
                self._greet(starting[reference])
        self._warn_of_waiting()
        return [busy[reference] for reference in ready if reference in busy]

    def _greet(self, worker: _Worker) -> None:
        """Notes where a new worker is; one that could not start is tried again."""
        try:
            worker.place = Place(*ray.get(worker.greeting))
        except RayActorError as error:
            self._failed_starts += 1
            if self._failed_starts >= MOST_FAILED_STARTS:
                raise DeviceError(
                    f"compute.workers: wanted a worker process with one {self._device}, found that "
                    f"{self._failed_starts} in a row ended while they started ({_first_line(error)}); look "
                    "at the machine's memory and at Ray's logs"
                ) from error
            self._replace(worker)
            return
        worker.greeting = None
        self._failed_starts = 0

    def _warn_of_waiting(self) -> None:
        now = time.monotonic()
        if any(worker.place is not None for worker in self._workers):
            self._last_warning = now
        elif now - self._last_warning > SECONDS_BETWEEN_WARNINGS:
            self._last_warning = now
            logger.warning("waiting for the first worker: it wants one free %s on Ray", self._device)

    def _result(self, worker: _Worker, queue: WorkQueue) -> CohortResult | None:
        """What a worker has trained, or None if it died: then its task waits for another one."""
        task, reference = worker.task, worker.result
        assert task is not None
        worker.task = worker.result = worker.progress = None
        try:
            result: CohortResult = pickle.loads(_answer(reference))
        except RayActorError as error:
            lost_machine = not self._lives(worker.place)
            logger.warning(
                "cohort %d: its %s %s in generation %d; it is done again on another one",
                task.cohort,
                "machine" if lost_machine else "worker",
                "was lost" if lost_machine else "ended",
                task.generation,
            )
            logger.debug("%s", error)
            self._replace(worker)
            queue.put_back(task, its_fault=not lost_machine)
            return None
        return result

    def _lives(self, place: Place | None) -> bool:
        """Whether the machine of a worker is still part of the cluster."""
        return place is None or any(node["Alive"] for node in ray.nodes() if node["NodeID"] == place.node)

    def _ask_anyone(self, call: Callable[[Any], Any]) -> Any:
        """The answer of any worker; when it dies, of another one."""
        for _ in range(MOST_FAILED_STARTS):
            while not any(worker.is_idle for worker in self._workers):
                self._wait()
            worker = next(worker for worker in self._workers if worker.is_idle)
            try:
                return _answer(call(worker.actor))
            except RayActorError:
                logger.warning(
                    "a worker ended while it averaged posterior samples; another one does it again"
                )
                self._replace(worker)
        raise DeviceError(
            f"output.posteriorSamples: wanted the best member's rates, found that {MOST_FAILED_STARTS} "
            "workers ended over them; most often memory runs out: set a smaller training.batchSize"
        )

    def _ask_for_progress(self, on_progress: OnProgress) -> None:
        """Reads the answers that have come and asks again; a worker too busy to answer holds up nobody."""
        for worker in self._busy:
            assert worker.task is not None
            if worker.progress is None:
                worker.progress = worker.actor.epochs_done.remote()
                continue
            try:
                epochs_done = ray.get(worker.progress, timeout=0)
            except GetTimeoutError:
                continue
            except RayActorError:  # dead: its result says so too
                worker.progress = None
                continue
            worker.progress = None
            on_progress(worker.task.cohort, epochs_done, worker.task.epochs)


def _start_ray(address: str | None, workers: int, gpus: bool, environment: Mapping[str, str]) -> None:
    ray_environment.silence()
    if address is not None:
        ray_environment.require_reachable(address)
    here = {
        "num_cpus": workers,
        "num_gpus": workers if gpus else 0,
        "object_store_memory": OBJECT_STORE_BYTES,
        "include_dashboard": False,
    }
    logging.getLogger("ray").setLevel(logging.ERROR)  # ray.init warns before it applies logging_level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ray.init(
                address=address or "local",
                **({} if address else here),
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"env_vars": dict(environment)},
            )
        except (AuthenticationError, ConnectionError) as error:
            if address is None:
                raise
            raise DeviceError(
                f"RAY_ADDRESS: wanted to join the Ray cluster at {address}, found that it does not let this "
                f"process in ({_first_line(error)}); most often the token is missing or another one: set "
                "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH, to what the cluster was "
                "started with"
            ) from error


def _answer(reference: Any) -> Any:
    """What a worker answered; an error raised there is raised here as itself."""
    try:
        return ray.get(reference)
    except RayTaskError as error:
        cause = error.cause
        raise cause if isinstance(cause, Exception) else error from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
