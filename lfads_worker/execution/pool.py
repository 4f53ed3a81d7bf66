"""The interface between the driver and whatever trains cohorts.

Knows neither TensorFlow nor Ray. A pool is a work queue: tasks in, results out in any
order. Which process trains a cohort, and how often it was tried, changes no bit of the
result, because a generation of a cohort is a pure function of its task.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self

from lfads_worker.training.averages import PosteriorAverages
from lfads_worker.training.state import CohortResult, CohortState, CohortTask, Progress

Shapes = list[tuple[str, tuple[int, ...]]]
# cohort, epochs done, epochs of this generation
OnProgress = Callable[[int, int, int], None]


class Trainer(Protocol):
    """Trains cohorts on one device; `training.trainer.CohortTrainer` is the real one."""

    def train_generation(self, task: CohortTask, progress: Progress | None = None) -> CohortResult: ...

    def posterior_averages(
        self, state: CohortState, row: int, samples: int, progress: Progress | None = None
    ) -> PosteriorAverages: ...

    def parameter_names_and_shapes(self) -> Shapes: ...


# Takes the number of threads (None: as many as the device wants). Must pickle: it travels to the workers
# and brings the recording along.
TrainerFactory = Callable[[int | None], Trainer]


class CohortPool(ABC):
    """Trains the cohorts of a generation; a context manager that frees its processes at the end."""

    description: str
    """Where cohorts train, for the user: "2 Ray workers, one core each"."""

    @abstractmethod
    def train(self, tasks: Sequence[CohortTask], on_progress: OnProgress) -> Iterator[CohortResult]:
        """Trains every task once and yields each result as it is there, in any order."""

    @abstractmethod
    def posterior_averages(self, state: CohortState, row: int, samples: int) -> PosteriorAverages:
        """What one member infers about every trial, averaged over posterior samples."""

    @abstractmethod
    def parameter_names_and_shapes(self) -> Shapes:
        """Names and shapes of one member's weights, in the order of the flat row."""

    @abstractmethod
    def close(self) -> None:
        """Frees processes and memory; may be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
