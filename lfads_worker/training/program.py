"""The compiled heart: several epochs of a whole cohort in one call of one XLA program.

    (state, hyperparameters, data, keys) -> (state, log)

Pure: everything that changes is an argument, nothing is captured but sizes,
so changed hyperparameters, generations or minibatches never recompile, and
the program can be handed to another XLA as text. Compiled once for each
number of members.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from lfads_worker.lfads import random_bits
from lfads_worker.lfads.hyperparameters import Hyperparameters
from lfads_worker.lfads.network import LFADS
from lfads_worker.lfads.noise import NoiseSource
from lfads_worker.lfads.outputs import Batch
from lfads_worker.training.optimizer import AdamSettings, AdamState, adam_step

Tensor = Any

# Step numbers of validation draws start here, far from any training step of a generation.
_VALIDATION_STEPS = 2**31


class Recording(NamedTuple):
    """A recording on the device."""

    spikes: Tensor  # [trials, time, neurons]
    external_inputs: Tensor  # [trials, time, external inputs]
    sample_mask: Tensor | None  # [trials, encoded time, held-in neurons], see sample validation

    def batch(self, trials: Tensor, weights: Tensor) -> Batch:
        """Trials [batch] as the model reads them, time-major."""

        def gathered(x: Tensor) -> Tensor:
            return tf.transpose(tf.gather(x, trials), (1, 0, 2))

        mask = None if self.sample_mask is None else gathered(self.sample_mask)
        return Batch(gathered(self.spikes), gathered(self.external_inputs), weights, mask)


class Keys(NamedTuple):
    """What the random numbers of a generation are keyed by."""

    seed: Tensor  # [2] uint32
    member_ids: Tensor  # [members] uint32
    generation: Tensor  # [] uint32


class Schedule(NamedTuple):
    """The epochs of one call; arrays hold at most as many epochs as the program was compiled for."""

    epochs: Tensor  # [] int32, how many to train
    first_step: Tensor  # [] int32, steps of this generation before this call
    trials: Tensor  # [epochs, steps, batch] int32
    weights: Tensor  # [epochs, steps, batch]
    kl_ramp: Tensor  # [epochs]
    l2_ramp: Tensor  # [epochs]


class ValidationTrials(NamedTuple):
    """Validation trials cut to minibatches."""

    trials: Tensor  # [batches, batch] int32
    weights: Tensor  # [batches, batch]


# Rows of the log that a call returns, one [members] vector each.
LOG_ROWS = (
    "train_loss",
    "train_nll",
    "kl_initial_condition",
    "kl_inferred_inputs",
    "l2",
    "gradient_norm",
    "valid_nll",
    "valid_nll_held_out",
)


class TrainingProgram:
    """Trains and validates a cohort for a few epochs a call."""

    def __init__(self, model: LFADS, adam: AdamSettings, pass_rate: float, compiled: bool = True) -> None:
        self._model, self._adam, self._pass_rate = model, adam, pass_rate
        self.run = tf.function(self._run, autograph=False, jit_compile=compiled)

    def _run(
        self,
        state: AdamState,
        hyperparameters: Hyperparameters,
        keys: Keys,
        schedule: Schedule,
        validation: ValidationTrials,
        recording: Recording,
    ) -> tuple[AdamState, Tensor]:
        """Train `schedule.epochs` epochs, validating after each.

        Returns:
          the state after them, and the log [epochs, rows of LOG_ROWS, members].
        """
        members = state.weights.shape[0]
        chunk, steps_per_epoch, batch = schedule.trials.shape
        noise = NoiseSource(self._model.architecture, members, batch, state.weights.dtype)
        member_keys = random_bits.member_keys(keys.seed, keys.member_ids, keys.generation)

        def train_step(i: Tensor, total: Tensor, *state: Tensor) -> tuple[Any, ...]:
            epoch, step = i // steps_per_epoch, i % steps_per_epoch
            weights = schedule.weights[epoch, step]
            drawn = noise.for_training(
                member_keys,
                tf.cast(schedule.first_step + i, tf.uint32),
                hyperparameters,
                self._pass_rate,
            )
            terms, gradient = self._model.loss_and_gradient(
                state[0],
                recording.batch(schedule.trials[epoch, step], weights),
                drawn,
                hyperparameters,
                schedule.kl_ramp[epoch],
                schedule.l2_ramp[epoch],
            )
            after, norm = adam_step(AdamState(*state), gradient, hyperparameters.learning_rate, self._adam)
            rows = [terms.total, terms.reconstruction, terms.kl_initial_condition, terms.kl_inferred_inputs]
            share = tf.reduce_sum(weights) / tf.reduce_sum(schedule.weights[epoch])
            total += tf.stack([*rows, terms.l2, norm]) * share
            return (i + 1, total, *after)

        def epoch_of(i: Tensor, log: Any, *state: Tensor) -> tuple[Any, ...]:
            first = i * steps_per_epoch
            zero = tf.zeros((len(LOG_ROWS) - 2, members), state[0].dtype)
            _, trained, *after = tf.while_loop(
                lambda j, *_: j < first + steps_per_epoch,
                train_step,
                (first, zero, *state),
                maximum_iterations=steps_per_epoch,
                parallel_iterations=1,
            )
            first_draw = (schedule.first_step + first) * validation.trials.shape[0]
            validated = self._validate(
                after[0], hyperparameters, member_keys, first_draw, validation, recording, noise
            )
            log = log.write(i, tf.concat([trained, validated], 0))
            return (i + 1, log, *after)

        log = tf.TensorArray(state.weights.dtype, chunk, element_shape=(len(LOG_ROWS), members))
        _, log, *after = tf.while_loop(
            lambda i, *_: i < schedule.epochs,
            epoch_of,
            (0, log, *state),
            maximum_iterations=chunk,
            parallel_iterations=1,
        )
        return AdamState(*after), log.stack()

    def _validate(
        self,
        flat: Tensor,
        hyperparameters: Hyperparameters,
        member_keys: tuple[Tensor, Tensor],
        first_draw: Tensor,
        validation: ValidationTrials,
        recording: Recording,
        noise: NoiseSource,
    ) -> Tensor:
        """[2, members] loss of what was seen and of what was not, with one posterior sample a trial.

        A mean over all that is scored, so it does not depend on how trials were cut to minibatches.
        """
        weights = self._model.layout.split(flat)
        batches, size = validation.trials.shape
        if size != noise.batch:
            noise = noise.resized(size)
        scored = self._scored(validation, recording)
        shares = scored / tf.reduce_sum(scored, 0)

        def body(i: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
            step = tf.cast(first_draw + i, tf.uint32) + tf.constant(_VALIDATION_STEPS, tf.uint32)
            drawn = noise.for_sampling(member_keys, step)
            batch = recording.batch(validation.trials[i], validation.weights[i])
            seen, unseen = self._model.validation(weights, batch, drawn, hyperparameters)
            # A minibatch without any element has no mean, and no share in the whole.
            return i + 1, total + tf.math.multiply_no_nan(tf.stack([seen, unseen]), shares[i][:, None])

        zero = tf.zeros((2, flat.shape[0]), flat.dtype)
        return tf.while_loop(
            lambda i, _: i < batches, body, (0, zero), maximum_iterations=batches, parallel_iterations=1
        )[1]

    def _scored(self, validation: ValidationTrials, recording: Recording) -> Tensor:
        """[batches, 2] how much each minibatch holds of what was seen and of what was not.

        Trials hold the same number of elements, unless sample validation has left some of them out.
        """
        if recording.sample_mask is None:
            trials = tf.reduce_sum(validation.weights, 1)
            return tf.stack([trials, trials], 1)
        a = self._model.architecture
        seen = tf.reduce_sum(tf.reduce_sum(recording.sample_mask[:, a.ic_segment_bins :], -1), -1)
        both = tf.stack([seen, a.decoded_bins * a.neurons - seen], -1)  # [trials, 2]
        return tf.reduce_sum(tf.gather(both, validation.trials) * validation.weights[..., None], 1)
