"""Trains cohorts on Ray: a worker per core or GPU takes cohorts from a queue until none is left.

The only module that imports Ray, and it uses public names only. Ray is a work queue here:
which worker trains a cohort changes no bit of its result. A worker that dies is replaced
and its cohort is done again.
"""

import logging
import os
import pickle
import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from lfads_worker.errors import DeviceError
from lfads_worker.execution import ray_environment
from lfads_worker.execution.environment import training_environment
from lfads_worker.execution.pool import CohortPool, OnProgress, Shapes, Trainer, TrainerFactory
from lfads_worker.execution.ray_environment import PrivateRay
from lfads_worker.training.averages import PosteriorAverages
from lfads_worker.training.state import CohortResult, CohortState, CohortTask

logger = logging.getLogger(__name__)

# Seconds between two looks at the workers: short enough for a bar that moves, long enough to cost nothing.
POLL_SECONDS = 0.5
# A cohort that ends its worker this often will do so again.
TRIES_PER_COHORT = 3
# Shared memory for the recording, states and posterior averages on their way; only what is used is taken.
OBJECT_STORE_BYTES = 2**30


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

    def process_id(self) -> int:
        return os.getpid()


@dataclass(eq=False)
class _Worker:
    """A worker as the pool sees it."""

    actor: Any
    task: CohortTask | None = None
    result: Any = None  # reference to the result of `task`
    progress: Any = None  # reference to an answer to `epochs_done`


@dataclass(eq=False)
class _Queue:
    """The tasks of one generation that nobody has finished."""

    waiting: deque[CohortTask]
    tries: dict[int, int] = field(default_factory=dict)

    def take(self) -> CohortTask:
        task = self.waiting.popleft()
        self.tries[task.cohort] = self.tries.get(task.cohort, 0) + 1
        return task

    def put_back(self, task: CohortTask) -> None:
        self.waiting.appendleft(task)


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
          workers: how many train at the same time.
          gpus: a worker takes a GPU instead of a core.
          threads: of each worker; None leaves it to TensorFlow.
          address: of a running Ray cluster; None starts Ray on this machine and ends it again.
        """
        device = "GPU" if gpus else "core"
        where = f" on the cluster at {address}" if address else ""
        self.description = f"{workers} Ray worker{'s' if workers > 1 else ''}{where}, one {device} each"
        self._threads = None if gpus else threads
        self._workers: list[_Worker] = []
        self._private = None if address else PrivateRay()
        try:
            _start_ray(address, workers, gpus, training_environment(self._threads))
            self._options = {"num_cpus": 1, "num_gpus": 1 if gpus else 0, "max_restarts": 0}
            self._factory = ray.put(trainer_factory)
            self._workers = [_Worker(self._new_actor()) for _ in range(workers)]
        except BaseException:  # an interrupt, too, must not leave processes behind
            self.close()
            raise

    def train(self, tasks: Sequence[CohortTask], on_progress: OnProgress) -> Iterator[CohortResult]:
        queue = _Queue(deque(tasks))
        while queue.waiting or any(worker.task for worker in self._workers):
            self._give_out(queue)
            busy = {worker.result: worker for worker in self._workers if worker.task is not None}
            ready, _ = ray.wait(list(busy), num_returns=1, timeout=POLL_SECONDS)
            for reference in ready:
                result = self._take_in(busy[reference], queue)
                if result is not None:
                    yield result
            self._ask_for_progress(on_progress)

    def posterior_averages(self, state: CohortState, row: int, samples: int) -> PosteriorAverages:
        averages: PosteriorAverages = pickle.loads(
            _answer(self._workers[0].actor.posterior_averages.remote(state, row, samples))
        )
        return averages

    def parameter_names_and_shapes(self) -> Shapes:
        shapes: Shapes = _answer(self._workers[0].actor.parameter_names_and_shapes.remote())
        return shapes

    def process_ids(self) -> list[int]:
        """The processes of the workers on their machines."""
        return [_answer(worker.actor.process_id.remote()) for worker in self._workers]

    def close(self) -> None:
        self._workers = []
        if ray.is_initialized():
            ray.shutdown()
        if self._private is not None:
            self._private.close()

    def _new_actor(self) -> Any:
        remote = ray.remote(concurrency_groups={"progress": 1})(CohortWorker)
        return remote.options(**self._options).remote(self._factory, self._threads)

    def _give_out(self, queue: _Queue) -> None:
        for worker in self._workers:
            if worker.task is None and queue.waiting:
                worker.task = queue.take()
                worker.result = worker.actor.train.remote(worker.task)

    def _take_in(self, worker: _Worker, queue: _Queue) -> CohortResult | None:
        """The result of a worker that is ready, or None if it died: then its task waits for another one."""
        task, reference = worker.task, worker.result
        assert task is not None
        worker.task = worker.result = worker.progress = None
        try:
            result: CohortResult = pickle.loads(_answer(reference))
        except RayActorError as error:
            _check_tries(task, queue.tries[task.cohort], error)
            logger.warning(
                "cohort %d: its worker ended in generation %d; it is done again on a new one",
                task.cohort,
                task.generation,
            )
            worker.actor = self._new_actor()
            queue.put_back(task)
            return None
        return result

    def _ask_for_progress(self, on_progress: OnProgress) -> None:
        """Reads the answers that have come and asks again; a worker too busy to answer holds up nobody."""
        for worker in self._workers:
            if worker.task is None:
                continue
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
    here = {
        "num_cpus": workers,
        "num_gpus": workers if gpus else 0,
        "object_store_memory": OBJECT_STORE_BYTES,
        "include_dashboard": False,
    }
    logging.getLogger("ray").setLevel(logging.ERROR)  # ray.init warns before it applies logging_level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(
            address=address or "local",
            **({} if address else here),
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": dict(environment)},
        )


def _answer(reference: Any) -> Any:
    """What a worker answered; an error raised there is raised here as itself."""
    try:
        return ray.get(reference)
    except RayTaskError as error:
        cause = error.cause
        raise cause if isinstance(cause, Exception) else error from error


def _check_tries(task: CohortTask, tries: int, error: RayActorError) -> None:
    if tries < TRIES_PER_COHORT:
        return
    raise DeviceError(
        f"cohort {task.cohort}: wanted its members {', '.join(map(str, task.member_ids))} trained in "
        f"generation {task.generation}, found that its worker ended {tries} times; most often memory runs "
        "out: set a smaller compute.membersPerCohort or training.batchSize, or use fewer --workers"
    ) from error
