"""A generation of a cohort: state and hyperparameters in, trained state, scores and log out.

Builds the model for a run and a recording once and compiles its programs at
first use. Knows nothing of selection, of files, and of where it runs.
"""

import logging
import math
import socket
import time
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from autolfads_spec import RunSpec
from lfads_worker.data.spikes import SpikeData
from lfads_worker.lfads.architecture import Architecture
from lfads_worker.lfads.hyperparameters import stack_hyperparameters
from lfads_worker.lfads.losses import ramp
from lfads_worker.lfads.network import LFADS, LossSettings
from lfads_worker.training.averages import PosteriorAverages
from lfads_worker.training.metrics import smooth
from lfads_worker.training.minibatches import cut, shuffled
from lfads_worker.training.optimizer import AdamSettings, AdamState
from lfads_worker.training.posterior import PosteriorProgram
from lfads_worker.training.program import (
    LOG_ROWS,
    Keys,
    Recording,
    Schedule,
    TrainingProgram,
    ValidationTrials,
)
from lfads_worker.training.state import CohortResult, CohortState, CohortTask, EpochLog, Progress

logger = logging.getLogger(__name__)

# Epochs a call: a few, so that progress is seen, yet enough to hide the host's part on a fast device.
_EPOCHS_PER_CALL = 5
# The row of the log that selects members, by `population.metric`.
_SCORED = {"HeldIn": "valid_nll", "HeldOut": "valid_nll_held_out"}
# The generation number under which posterior samples are drawn; no run has as many generations.
_POSTERIOR = 2**32 - 1
# Spawn keys under the run's seed; the shuffle of minibatches has 1.
_INITIAL_WEIGHTS, _SAMPLE_VALIDATION = 2, 3


class CohortTrainer:
    """Trains cohorts of one run on one recording.

    Args:
      spec: the run.
      data: the recording.
      threads: threads for one operation; None leaves TensorFlow's default. The
        result depends on it in the last bits, so every pool uses the same.
      compiled: False runs the same graph without XLA; for tests.
    """

    def __init__(
        self, spec: RunSpec, data: SpikeData, threads: int | None = None, compiled: bool = True
    ) -> None:
        if threads is not None:
            limit_threads(threads)
        self._spec, self._data = spec, data
        self.architecture = architecture_of(spec, data)
        training = spec.training
        settings = LossSettings(
            scale=training.loss_scale,
            sample_validation_rate=training.sample_validation_rate,
            penalised=frozenset(_penalised(spec)),
        )
        self.model = LFADS(self.architecture, settings, self._readout_bias())
        adam = AdamSettings(
            training.adam_beta1, training.adam_beta2, training.adam_epsilon, training.gradient_clip_norm
        )
        self._program = TrainingProgram(self.model, adam, training.coordinated_dropout_pass_rate, compiled)
        self._posterior = PosteriorProgram(self.model, compiled)
        self._recording = Recording(
            tf.constant(data.spikes), tf.constant(data.external_inputs), self._sample_mask()
        )
        valid = cut(data.valid, training.batch_size)
        self._validation = ValidationTrials(tf.constant(valid.trials), tf.constant(valid.weights))
        self._constants = self._data_constants()
        self._worker = socket.gethostname()

    def parameter_names_and_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """Names and shapes of a member's weights in the order of its flat row."""
        return [(p.name, p.shape) for p in self.model.layout.parameters]

    def train_generation(self, task: CohortTask, progress: Progress | None = None) -> CohortResult:
        """Train a cohort for `task.epochs` epochs.

        A pure function of the task, the run and the recording: same task, same
        bits on the same kind of device, however often it is repeated.

        Args:
          task: state (None: fresh weights), hyperparameters and epochs.
          progress: called with (epochs done, epochs) every few epochs.
        """
        began = time.monotonic()
        before = task.state or self.initial_state(task.member_ids)
        hyperparameters = stack_hyperparameters(task.values)
        keys = _keys(self._spec.population.seed, before.member_ids, task.generation)
        state = AdamState(
            tf.constant(before.weights),
            tf.constant(before.adam_m),
            tf.constant(before.adam_v),
            tf.constant(before.steps.astype(np.int32)),
        )
        logs = []
        chunk = min(_EPOCHS_PER_CALL, task.epochs)
        for done in range(0, task.epochs, chunk):
            epochs = min(chunk, task.epochs - done)
            schedule = self._schedule(task, done, epochs, chunk)
            state, log = self._program.run(
                state, hyperparameters, keys, schedule, self._validation, self._recording
            )
            logs.append(np.asarray(log, np.float64)[:epochs])
            if progress is not None:
                progress(done + epochs, task.epochs)
        log, smoothed = self._epoch_log(np.concatenate(logs), task, before.smoothed)
        weights = np.asarray(state.weights)
        alive = np.isfinite(weights).all(1)
        after = CohortState(
            member_ids=before.member_ids,
            weights=weights,
            adam_m=np.asarray(state.mean),
            adam_v=np.asarray(state.variance),
            steps=np.asarray(state.steps, np.int64),
            smoothed=smoothed,
        )
        return CohortResult(
            cohort=task.cohort,
            generation=task.generation,
            state=after,
            scores=np.where(alive & np.isfinite(smoothed), smoothed, np.nan),
            log=log,
            seconds=time.monotonic() - began,
            worker=self._worker,
        )

    def initial_state(self, member_ids: tuple[int, ...]) -> CohortState:
        """Fresh members: weights drawn from the run's seed and each member's identity."""
        rows = [
            self.model.layout.initial(
                np.random.default_rng([self._spec.population.seed, _INITIAL_WEIGHTS, member])
            )
            for member in member_ids
        ]
        weights = np.stack(rows)
        members = len(member_ids)
        return CohortState(
            member_ids=np.asarray(member_ids, np.int64),
            weights=weights,
            adam_m=np.zeros_like(weights),
            adam_v=np.zeros_like(weights),
            steps=np.zeros(members, np.int64),
            smoothed=np.full(members, np.nan),
        )

    def posterior_averages(
        self, state: CohortState, row: int, samples: int, progress: Progress | None = None
    ) -> PosteriorAverages:
        """Rates, factors and the rest of one member for every trial; see `posterior`."""
        keys = posterior_keys(self._spec, state.member_ids[row : row + 1])
        return self._posterior.average(
            state.weights[row], self._recording, keys, samples, self._spec.training.batch_size, progress
        )

    def _schedule(self, task: CohortTask, done: int, epochs: int, chunk: int) -> Schedule:
        """Epochs done + 1 ... done + epochs of the task, padded to `chunk`."""
        training, seed = self._spec.training, self._spec.population.seed
        batches = [
            shuffled(self._data.train, training.batch_size, seed, task.generation, done + i)
            for i in range(chunk)
        ]
        numbers = [task.first_epoch + done + i + 1 for i in range(chunk)]
        kl = [ramp(n, training.kl_ramp.start_epoch, training.kl_ramp.epochs) for n in numbers]
        l2 = [ramp(n, training.l2_ramp.start_epoch, training.l2_ramp.epochs) for n in numbers]
        trials = np.stack([b.trials for b in batches])
        return Schedule(
            epochs=tf.constant(epochs),
            first_step=tf.constant(done * trials.shape[1]),
            trials=tf.constant(trials),
            weights=tf.constant(np.stack([b.weights for b in batches])),
            kl_ramp=tf.constant(kl, tf.float32),
            l2_ramp=tf.constant(l2, tf.float32),
        )

    def _epoch_log(
        self, rows: NDArray[np.float64], task: CohortTask, smoothed: NDArray[np.float64]
    ) -> tuple[EpochLog, NDArray[np.float64]]:
        """A program's [epochs, rows, members] as a log with complete likelihoods, and the smoothed metric."""
        named = {name: rows[:, i] for i, name in enumerate(LOG_ROWS)}
        for name, constant in self._constants.items():
            named[name] = named[name] + constant
        history = []
        for value in named[_SCORED[self._spec.population.metric]]:
            smoothed = smooth(smoothed, value, self._spec.population.smoothing)
            history.append(smoothed)
        training = self._spec.training
        epochs = [task.first_epoch + i + 1 for i in range(len(rows))]
        log = EpochLog(
            **named,
            smoothed=np.stack(history),
            kl_ramp=np.array(
                [ramp(e, training.kl_ramp.start_epoch, training.kl_ramp.epochs) for e in epochs]
            ),
            l2_ramp=np.array(
                [ramp(e, training.l2_ramp.start_epoch, training.l2_ramp.epochs) for e in epochs]
            ),
        )
        return log, smoothed

    def _readout_bias(self) -> NDArray[np.float64] | float:
        if self._spec.model.readout_bias == "Zero":
            return 0.0
        train = self._data.spikes[self._data.train].astype(np.float64)
        return self.architecture.distribution.initial_bias(train.mean((0, 1)), train.var((0, 1)))

    def _sample_mask(self) -> Any:
        """1: sample validation leaves it in, [trials, encoded time, held-in neurons]; None when it is off."""
        rate = self._spec.training.sample_validation_rate
        if rate == 0:
            return None
        rng = np.random.default_rng([self._spec.population.seed, _SAMPLE_VALIDATION])
        shape = (self._data.trials, self._data.encoded_bins, self._data.held_in_neurons)
        return tf.constant((rng.random(shape) >= rate).astype(np.float32))

    def _data_constants(self) -> dict[str, float]:
        """What the programs leave out of each likelihood: its mean data-only part, in nats."""
        data, a = self._data, self.architecture
        constant = a.distribution.constant(data.spikes, self._spec.training.log_factorial)
        constant = constant[:, a.ic_segment_bins :]
        rate = self._spec.training.sample_validation_rate
        counted = np.ones(constant.shape)  # how much an element counts in the training loss
        seen = np.zeros(constant.shape, bool)
        seen[:, : a.controller_input_bins, : a.held_in_neurons] = True
        if self._recording.sample_mask is not None:
            kept = np.asarray(self._recording.sample_mask)[:, a.ic_segment_bins :]
            seen[:, : a.controller_input_bins, : a.held_in_neurons] = kept > 0
            counted[:, : a.controller_input_bins, : a.held_in_neurons] = kept / (1.0 - rate)
        valid, valid_seen = constant[data.valid], seen[data.valid]

        def mean(values: NDArray[np.float64]) -> float:
            return float(values.mean()) if values.size else math.nan

        return {
            "train_nll": mean((constant * counted)[data.train]),
            "valid_nll": mean(valid[valid_seen]),
            "valid_nll_held_out": mean(valid[~valid_seen]),
        }


def architecture_of(spec: RunSpec, data: SpikeData) -> Architecture:
    """The sizes of the model that a run trains on a recording."""
    return Architecture(
        neurons=data.neurons,
        held_in_neurons=data.held_in_neurons,
        bins=data.time,
        encoded_bins=data.encoded_bins,
        external_inputs=data.external_inputs.shape[2],
        model=spec.model,
    )


def posterior_keys(spec: RunSpec, member_ids: NDArray[np.int64]) -> Keys:
    """What the posterior samples of members are keyed by: the same samples, whenever they are drawn."""
    return _keys(spec.population.seed, member_ids, _POSTERIOR)


def _penalised(spec: RunSpec) -> list[str]:
    """L2 hyperparameters that are searched or not zero, of networks that exist."""
    searched = {dimension.attribute for dimension in spec.population.search_space}
    names = ("l2_generator", "l2_controller", "l2_ic_encoder", "l2_ci_encoder")
    return [name for name in names if name in searched or getattr(spec.training, name) > 0]


def _keys(seed: int, member_ids: NDArray[np.int64], generation: int) -> Keys:
    words = [seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF]
    return Keys(
        tf.constant(words, tf.uint32),
        tf.constant(member_ids.astype(np.uint32)),
        tf.constant(generation, tf.uint32),
    )


def limit_threads(threads: int) -> None:
    """Threads of this process's TensorFlow; only possible before its first operation."""
    config = tf.config.threading
    if config.get_intra_op_parallelism_threads() == threads:
        return
    try:
        config.set_intra_op_parallelism_threads(threads)
        config.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        logger.warning(
            "TensorFlow had already started; it keeps its own number of threads instead of %d", threads
        )
