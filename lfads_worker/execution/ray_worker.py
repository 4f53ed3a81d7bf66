"""One worker on Ray: the process that holds a trainer, and what the pool knows of it.

One of the modules that import Ray; which they are is a contract in `pyproject.toml`. Knows
no other worker and no queue.
"""

import os
import pickle
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import ray
from ray.exceptions import (
    ActorUnavailableError,
    ActorUnschedulableError,
    GetTimeoutError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
    RuntimeEnvSetupError,
    WorkerCrashedError,
)

from lfads_worker.execution.losses import Loss
from lfads_worker.execution.pool import Shapes, Trainer, TrainerFactory
from lfads_worker.execution.stillness import Watch
from lfads_worker.training.state import CohortResult, CohortState, CohortTask, Progress

# What Ray raises when a worker, its machine, or an answer that lay there is gone. They have no class of
# their own in common: RayError is also one for faults that another worker would have too.
LOST = (
    RayActorError,
    WorkerCrashedError,
    OutOfMemoryError,
    NodeDiedError,
    ObjectLostError,
    ActorUnschedulableError,
    RuntimeEnvSetupError,
)


class Place(NamedTuple):
    """Where a worker is."""

    node: str
    host: str
    process: int


class CohortWorker:
    """One device: holds a trainer, does one thing at a time, tells how far it is.

    Results travel as bytes, so that the driver gets arrays of its own instead of views that
    keep Ray's shared memory full.
    """

    def __init__(self, trainer_factory: TrainerFactory, threads: int | None) -> None:
        self._factory = trainer_factory
        self._threads = threads
        self._made: Trainer | None = None
        self._steps_done = 0

    # The trainer is made by the first call and not by __init__, so that its errors come back as themselves.
    @property
    def _trainer(self) -> Trainer:
        if self._made is None:
            self._made = self._factory(self._threads)
        return self._made

    def train(self, task: CohortTask) -> bytes:
        with self._noted() as note:
            return pickle.dumps(self._trainer.train_generation(task, note))

    def posterior_averages(self, state: CohortState, row: int, samples: int) -> bytes:
        with self._noted() as note:
            return pickle.dumps(self._trainer.posterior_averages(state, row, samples, note))

    @contextmanager
    def _noted(self) -> Iterator[Progress]:
        def note(done: int, of: int) -> None:
            del of
            self._steps_done = done

        try:
            yield note
        finally:
            self._steps_done = 0  # so that nobody takes it for what comes next

    @ray.method(concurrency_group="progress")  # type: ignore[untyped-decorator]
    def steps_done(self) -> int:
        return self._steps_done

    def parameter_names_and_shapes(self) -> Shapes:
        return self._trainer.parameter_names_and_shapes()

    def place(self) -> Place:
        return Place(ray.get_runtime_context().get_node_id(), socket.gethostname(), os.getpid())


@dataclass(eq=False)
class Worker:
    """A worker as the pool sees it: starting (`greeting`), idle, or busy (`task`, `result`).

    Attributes:
      actor: Ray's handle of the process.
      greeting: reference to its place; None once that is known.
      place: where it is, once it has answered.
      task: what it trains.
      result: reference to the result of `task`.
      watch: over `task`.
      progress: reference to an answer to `steps_done`.
      compiled: sizes of the cohorts that it has trained.
    """

    actor: Any
    greeting: Any
    place: Place | None = None
    task: CohortTask | None = None
    result: Any = None
    watch: Watch | None = None
    progress: Any = None
    compiled: set[int] = field(default_factory=set)

    @classmethod
    def start(cls, trainer_factory: Any, threads: int | None, options: Mapping[str, Any]) -> "Worker":
        """Asks Ray for a worker, which comes when there is room for it.

        Args:
          trainer_factory: reference to what makes its trainer.
          threads: for one operation; None leaves it to TensorFlow.
          options: Ray's, what it takes of its machine.
        """
        remote = ray.remote(concurrency_groups={"progress": 1})(CohortWorker)
        actor = remote.options(**options).remote(trainer_factory, threads)
        return cls(actor, greeting=actor.place.remote())

    @property
    def is_idle(self) -> bool:
        return self.place is not None and self.task is None

    def greet(self) -> Place:
        """Notes where it is.

        Raises:
          RayError: if it could not start.
        """
        self.place = Place(*ray.get(self.greeting))
        self.greeting = None
        return self.place

    def give(self, task: CohortTask, now: float) -> None:
        """Lets it train."""
        self.task, self.result = task, self.actor.train.remote(task)
        self.watch = Watch(now, at_first=len(task.member_ids) not in self.compiled)

    def take(self) -> CohortResult:
        """What it has trained; it is idle then, also after an error.

        Raises:
          LOST: if it is gone; whatever went wrong in it is raised as itself.
        """
        task, reference = self.task, self.result
        assert task is not None
        self.task = self.result = self.watch = self.progress = None
        result: CohortResult = pickle.loads(answer(reference))
        self.compiled.add(len(task.member_ids))
        return result

    def steps_done(self) -> int | None:
        """How far it is, asked for the time before; None if it has not answered, or died."""
        if self.progress is None:
            self.progress = self.actor.steps_done.remote()
            return None
        try:
            steps_done: int = ray.get(self.progress, timeout=0)
        except GetTimeoutError:  # too busy to answer
            return None
        except LOST:  # its result says so too
            self.progress = None
            return None
        self.progress = None
        return steps_done

    def end(self) -> None:
        """Ends its process; it may be out of reach rather than dead, and its device must be free."""
        ray.kill(self.actor)


def answer(reference: Any) -> Any:
    """What a worker answered; an error raised there is raised here as itself."""
    try:
        return ray.get(reference)
    except RayTaskError as error:
        cause = error.cause
        raise cause if isinstance(cause, Exception) else error from error


def loss_of(error: Exception, has_machine: bool, is_here: bool) -> Loss:
    """Why a worker is gone.

    Args:
      error: one of `LOST`.
      has_machine: whether the machine on which it was is there.
      is_here: that machine is this one: no network fails, and a worker out of reach is one whose process has
        ended, of which Ray has not heard yet.
    """
    if isinstance(error, OutOfMemoryError):
        return Loss.MEMORY
    out_of_reach = isinstance(error, NodeDiedError | ObjectLostError) or (
        isinstance(error, ActorUnavailableError) and not is_here
    )
    if out_of_reach or not has_machine:
        return Loss.MACHINE
    return Loss.ENDED
