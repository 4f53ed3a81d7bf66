"""A trainer that learns six numbers: the machinery around LFADS can be tested in milliseconds.

It keeps every promise of the real trainer (a generation is a pure function of its task,
randomness is keyed by seed, member and epoch, each hyperparameter that is used changes
what is learned), and needs numpy only. With a learning rate above 1 a member diverges.
"""

import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from lfads_worker.execution.pool import Shapes
from lfads_worker.training.averages import PosteriorAverages
from lfads_worker.training.state import CohortResult, CohortState, CohortTask, EpochLog, Progress

TARGET = np.array([0.5, -1.0, 2.0, 0.25, -0.75, 1.5], dtype=np.float32)
NEW_VALUE_WEIGHT = 0.7
BETA_1, BETA_2 = 0.9, 0.99


@dataclass(frozen=True)
class ToyTrainer:
    """Moves six weights towards a target by Adam with noise.

    Attributes:
      seed: of the run.
      trials: of the made-up recording, for the posterior averages.
      bins: of a trial.
      neurons: of the made-up recording.
      epoch_seconds: how long an epoch pretends to take.
    """

    seed: int = 0
    trials: int = 6
    bins: int = 4
    neurons: int = 3
    epoch_seconds: float = 0.0

    def __call__(self, threads: int | None) -> Self:
        """Itself: a toy is its own trainer factory."""
        del threads
        return self

    def train_generation(self, task: CohortTask, progress: Progress | None = None) -> CohortResult:
        started = time.monotonic()
        state = task.state if task.state is not None else self._initial_state(task.member_ids)
        members = [
            self._train_member(state.rows([row]), task, row, progress if row == 0 else None)
            for row in range(len(task.member_ids))
        ]
        trained = CohortState(
            **{
                field.name: np.concatenate([getattr(member, field.name) for member, _ in members])
                for field in fields(CohortState)
            }
        )
        curves = np.stack([curve for _, curve in members], axis=-1)  # [columns, epochs, members]
        return CohortResult(
            cohort=task.cohort,
            generation=task.generation,
            state=trained,
            scores=trained.smoothed.copy(),
            log=_log(curves),
            seconds=time.monotonic() - started,
            worker=f"toy process {os.getpid()}",
        )

    def posterior_averages(
        self, state: CohortState, row: int, samples: int, progress: Progress | None = None
    ) -> PosteriorAverages:
        shape = (self.trials, self.bins)
        rng = np.random.default_rng([self.seed, int(state.member_ids[row]), samples])

        def draw(*features: int) -> NDArray[np.float32]:
            return rng.random((*shape, *features), dtype=np.float32)

        return PosteriorAverages(
            rates=draw(self.neurons) + 0.1,
            rates_std=draw(self.neurons),
            factors=draw(2),
            factors_std=draw(2),
            generator_states=draw(5),
            generator_states_std=draw(5),
            inferred_inputs=draw(1),
            inferred_inputs_std=draw(1),
            generator_inputs=draw(1),
            controller_states=draw(4),
            ic_mean=rng.random((self.trials, 3), dtype=np.float32),
            ic_std=rng.random((self.trials, 3), dtype=np.float32),
            co_means=draw(1),
            co_stds=draw(1),
            initial_states=rng.random((self.trials, 5), dtype=np.float32),
            initial_states_std=rng.random((self.trials, 5), dtype=np.float32),
            samples=samples,
        )

    def parameter_names_and_shapes(self) -> Shapes:
        return [("readout/kernel", (2, 2)), ("readout/bias", (2,))]

    def _initial_state(self, member_ids: tuple[int, ...]) -> CohortState:
        count = len(member_ids)
        draws = [np.random.default_rng([self.seed, member]).normal(size=TARGET.size) for member in member_ids]
        return CohortState(
            member_ids=np.array(member_ids, dtype=np.int64),
            weights=np.array(draws, dtype=np.float32),
            adam_m=np.zeros((count, TARGET.size), dtype=np.float32),
            adam_v=np.zeros((count, TARGET.size), dtype=np.float32),
            steps=np.zeros(count, dtype=np.int64),
            smoothed=np.full(count, math.nan),
        )

    def _train_member(
        self, state: CohortState, task: CohortTask, row: int, progress: Progress | None
    ) -> tuple[CohortState, NDArray[np.float64]]:
        values = task.values[row]
        weights, m, v = state.weights[0], state.adam_m[0], state.adam_v[0]
        steps, smoothed = int(state.steps[0]), float(state.smoothed[0])
        curve = []
        for epoch in range(task.epochs):
            rng = np.random.default_rng([self.seed, int(state.member_ids[0]), task.first_epoch + epoch])
            gradient = self._gradient(weights, values, rng)
            steps += 1
            m = (BETA_1 * m + (1 - BETA_1) * gradient).astype(np.float32)
            v = (BETA_2 * v + (1 - BETA_2) * gradient**2).astype(np.float32)
            step = m / (1 - BETA_1**steps) / (np.sqrt(v / (1 - BETA_2**steps)) + 1e-8)
            weights = (weights - values["learning_rate"] * step).astype(np.float32)
            if values["learning_rate"] > 1:
                weights = np.full_like(weights, np.nan)
            loss = float(np.mean((weights - TARGET) ** 2, dtype=np.float64))
            smoothed = (
                loss if math.isnan(smoothed) else (1 - NEW_VALUE_WEIGHT) * smoothed + NEW_VALUE_WEIGHT * loss
            )
            curve.append((loss, smoothed, float(np.linalg.norm(gradient))))
            if self.epoch_seconds:
                time.sleep(self.epoch_seconds)
            if progress is not None:
                progress(epoch + 1, task.epochs)
        trained = CohortState(
            member_ids=state.member_ids,
            weights=weights[None],
            adam_m=m[None],
            adam_v=v[None],
            steps=np.array([steps], dtype=np.int64),
            smoothed=np.array([smoothed]),
        )
        return trained, np.array(curve).T

    def _gradient(
        self, weights: NDArray[np.float32], values: Mapping[str, float], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        kept = rng.random(weights.size) >= values["dropout_rate"]
        noise = 0.1 * rng.normal(size=weights.size)
        return (kept * (weights - TARGET) + noise + values["l2_generator"] * weights).astype(np.float32)


def _log(curves: NDArray[np.float64]) -> EpochLog:
    loss, smoothed, gradient_norm = curves
    zeros, nothing, ramp = np.zeros_like(loss), np.full_like(loss, np.nan), np.ones(len(loss))
    return EpochLog(
        train_loss=loss,
        train_nll=loss,
        valid_nll=loss,
        valid_nll_held_out=nothing,
        smoothed=smoothed,
        kl_initial_condition=zeros,
        kl_inferred_inputs=zeros,
        l2=zeros,
        gradient_norm=gradient_norm,
        kl_ramp=ramp,
        l2_ramp=ramp,
    )
