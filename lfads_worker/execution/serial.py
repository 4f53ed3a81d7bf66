"""Trains cohorts in this process, one after another.

The oracle: every other pool must give exactly what this one gives.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property, partial

from lfads_worker.execution.pool import CohortPool, OnProgress, Shapes, Trainer, TrainerFactory
from lfads_worker.training.averages import PosteriorAverages
from lfads_worker.training.state import CohortResult, CohortState, CohortTask


class SerialPool(CohortPool):
    """One trainer in this process."""

    def __init__(self, trainer_factory: TrainerFactory, threads: int | None = 1) -> None:
        self._factory = trainer_factory
        self._threads = threads
        self.description = "this process, one cohort after another"

    @cached_property
    def _trainer(self) -> Trainer:
        return self._factory(self._threads)

    def train(self, tasks: Sequence[CohortTask], on_progress: OnProgress) -> Iterator[CohortResult]:
        for task in tasks:
            yield self._trainer.train_generation(task, partial(on_progress, task.cohort))

    def posterior_averages(self, state: CohortState, row: int, samples: int) -> PosteriorAverages:
        return self._trainer.posterior_averages(state, row, samples)

    def parameter_names_and_shapes(self) -> Shapes:
        return self._trainer.parameter_names_and_shapes()

    def close(self) -> None:
        self.__dict__.pop("_trainer", None)
