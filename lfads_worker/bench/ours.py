"""Trains cohorts of one shape in this process and says how long that took; answers JSON lines.

Times the real `TrainingProgram`, the program that runs are trained with: draw
noise, gather a minibatch, forward, loss, backward, clip and Adam, for every
member. A call trains a few steps; the validation that the program makes after
them is cut to a single trial.
"""

import argparse
import socket
import time
from dataclasses import dataclass, fields
from typing import Any

from lfads_worker.bench.answering import answer, memory_mb, serve
from lfads_worker.bench.shapes import HYPERPARAMETERS, MINIBATCHES, SHAPES, Shape, spikes
from lfads_worker.execution.environment import multiply_in_float32, prepare_this_process
from lfads_worker.execution.pool import Shapes
from lfads_worker.training.averages import PosteriorAverages
from lfads_worker.training.state import CohortResult, CohortState, CohortTask, EpochLog, Progress


def main() -> None:
    """Compile, warm up and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=sorted(SHAPES), required=True)
    parser.add_argument("--members", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True, help="training steps in one call")
    parser.add_argument("--threads", type=int, default=1, help="0 leaves the choice to TensorFlow")
    arguments = parser.parse_args()
    prepare_this_process(arguments.threads or None)
    began = time.perf_counter()
    training = Training(SHAPES[arguments.shape], arguments.members, arguments.steps, arguments.threads)
    ready = time.perf_counter()
    training.call()
    first = time.perf_counter()
    training.call()
    answer(
        device=training.device,
        start_seconds=ready - began,
        first_call_seconds=first - ready,
        member_steps=arguments.members * arguments.steps,
        peak_mb=memory_mb(),
        loss=training.loss,
    )
    serve(training.call, lambda: {"peak_mb": memory_mb(), "loss": training.loss})


class Training:
    """A cohort, its compiled program, and the arguments of the next call."""

    def __init__(self, shape: Shape, members: int, steps: int, threads: int = 1) -> None:
        # TensorFlow reads the environment when it is loaded, after `prepare_this_process`.
        import numpy as np
        import tensorflow as tf

        from lfads_worker.training.trainer import limit_threads

        if threads:
            limit_threads(threads)
        else:
            multiply_in_float32()
        self.device = "gpu" if tf.config.list_physical_devices("GPU") else "cpu"
        self.loss = float("nan")
        program, state, self._rest = arguments_of(shape, members, steps)
        self._tf, self._np, self._program, self._state = tf, np, program, state
        self._calls, self._steps = 0, steps

    def call(self) -> None:
        """Train the cohort for the steps of one call and wait for the log."""
        hyperparameters, keys, schedule, validation, recording = self._rest
        schedule = schedule._replace(first_step=self._tf.constant(self._calls * self._steps, self._tf.int32))
        self._state, log = self._program.run(
            self._state, hyperparameters, keys, schedule, validation, recording
        )
        self.loss = float(self._np.asarray(log)[0, 0].mean())
        self._calls += 1

    def go_on_from(self, state: CohortState) -> None:
        """Takes over what was trained elsewhere."""
        arrays = (state.weights, state.adam_m, state.adam_v, state.steps)
        self._state = type(self._state)(
            *[self._tf.constant(array, like.dtype) for array, like in zip(arrays, self._state, strict=True)]
        )

    def trained(self, member_ids: tuple[int, ...]) -> CohortState:
        """What others can go on from."""
        np = self._np
        weights, adam_m, adam_v, steps = (np.asarray(array) for array in self._state)
        ids = np.asarray(member_ids, np.int64)
        unknown = np.full(len(ids), np.nan)
        return CohortState(ids, weights, adam_m, adam_v, steps.astype(np.int64), unknown)


@dataclass(frozen=True)
class OneShape:
    """Makes what trains cohorts of a shape on workers; an epoch of theirs is a call."""

    shape: str
    members: int
    steps: int

    def __call__(self, threads: int | None) -> "OneShapeTrainer":
        return OneShapeTrainer(Training(SHAPES[self.shape], self.members, self.steps, threads or 0))


@dataclass(frozen=True)
class OneShapeTrainer:
    """A `Trainer` that nobody can ask for anything but training."""

    training: Training

    def train_generation(self, task: CohortTask, progress: Progress | None = None) -> CohortResult:
        """So many calls from the task's state on; logs and scores are not filled in."""
        import numpy as np

        began = time.perf_counter()
        if task.state is not None:
            self.training.go_on_from(task.state)
        for number in range(task.epochs):
            self.training.call()
            if progress is not None:
                progress(number + 1, task.epochs)
        state = self.training.trained(task.member_ids)
        nothing = np.full((task.epochs, len(state)), np.nan)
        log = EpochLog(**{field.name: nothing for field in fields(EpochLog)})
        return CohortResult(
            cohort=task.cohort,
            generation=task.generation,
            state=state,
            scores=nothing[-1],
            log=log,
            seconds=time.perf_counter() - began,
            worker=socket.gethostname(),
        )

    def posterior_averages(
        self, state: CohortState, row: int, samples: int, progress: Progress | None = None
    ) -> PosteriorAverages:
        raise NotImplementedError

    def parameter_names_and_shapes(self) -> Shapes:
        raise NotImplementedError


def arguments_of(shape: Shape, members: int, steps: int) -> tuple[Any, Any, tuple[Any, ...]]:
    """The program of a shape, a fresh state, and the other arguments of its call."""
    import numpy as np
    import tensorflow as tf

    from autolfads_spec.model import ModelSpec
    from lfads_worker.lfads.architecture import Architecture
    from lfads_worker.lfads.hyperparameters import stack_hyperparameters
    from lfads_worker.lfads.network import LFADS, LossSettings
    from lfads_worker.training.optimizer import AdamSettings, AdamState
    from lfads_worker.training.program import Keys, Recording, Schedule, TrainingProgram, ValidationTrials

    architecture = Architecture(
        neurons=shape.neurons,
        held_in_neurons=shape.held_in_neurons,
        bins=shape.bins,
        encoded_bins=shape.encoded_bins,
        external_inputs=0,
        # The Monte Carlo KL is what lfads-torch computes; ours by default is the analytic one.
        model=ModelSpec.model_validate({**shape.widths, "input_kl": "MonteCarlo"}),
    )
    model = LFADS(architecture, LossSettings(penalised=frozenset({"l2_generator", "l2_controller"})))
    program = TrainingProgram(model, AdamSettings(), pass_rate=0.0)
    weights = np.stack([model.layout.initial(np.random.default_rng(member)) for member in range(members)])
    zeros = tf.zeros(weights.shape)
    state = AdamState(tf.constant(weights), zeros, zeros, tf.zeros(members, tf.int32))
    data = spikes(shape, shape.batch * MINIBATCHES)
    order = np.random.default_rng(1).permutation(len(data)).reshape(MINIBATCHES, shape.batch)
    trials = order[np.arange(steps) % MINIBATCHES]
    rest = (
        stack_hyperparameters([HYPERPARAMETERS] * members),
        Keys(
            tf.zeros(2, tf.uint32),
            tf.constant(np.arange(members, dtype=np.uint32)),
            tf.constant(0, tf.uint32),
        ),
        Schedule(
            epochs=tf.constant(1),
            first_step=tf.constant(0),
            trials=tf.constant(trials[None].astype(np.int32)),
            weights=tf.ones((1, steps, shape.batch)),
            kl_ramp=tf.ones(1),
            l2_ramp=tf.ones(1),
        ),
        ValidationTrials(tf.zeros((1, 1), tf.int32), tf.ones((1, 1))),
        Recording(tf.constant(data), tf.zeros((len(data), shape.bins, 0)), None),
    )
    return program, state, rest


if __name__ == "__main__":
    main()
