"""The compiled loop over epochs and steps against the same steps written out in Python, in float64."""

import numpy as np
import pytest
import tensorflow as tf

from lfads_worker.lfads import random_bits
from lfads_worker.lfads.architecture import Architecture
from lfads_worker.lfads.hyperparameters import stack_hyperparameters
from lfads_worker.lfads.network import LFADS, LossSettings
from lfads_worker.lfads.noise import NoiseSource
from lfads_worker.training.minibatches import cut, shuffled
from lfads_worker.training.optimizer import AdamSettings, AdamState, adam_step
from lfads_worker.training.program import (
    LOG_ROWS,
    Keys,
    Recording,
    Schedule,
    TrainingProgram,
    ValidationTrials,
)

_EPOCHS, _PASS_RATE, _FIRST_STEP = 2, 0.2, 30
_ADAM = AdamSettings(clip_norm=5.0)


def _f64(x):
    return tf.constant(np.asarray(x), tf.float64)


class _Run:
    """Two members, 19 trials of training in three minibatches, five of validation in one."""

    def __init__(self, spec, recording, values, sample_mask=None, sample_validation_rate=0.0):
        a = Architecture(4, 3, 6, 5, 1, spec.model)
        self.lfads = LFADS(a, LossSettings(10.0, sample_validation_rate, frozenset({"l2_generator"})))
        rows = [self.lfads.layout.initial(np.random.default_rng(i)) for i in range(2)]
        zero = np.zeros((2, self.lfads.layout.size))
        self.state = AdamState(_f64(np.stack(rows)), _f64(zero), _f64(zero), tf.constant([0, 4]))
        self.hyperparameters = stack_hyperparameters([values(0), values(1)], tf.float64)
        self.keys = Keys(
            tf.constant([5, 6], tf.uint32), tf.constant([3, 8], tf.uint32), tf.constant(2, tf.uint32)
        )
        batches = [shuffled(recording.train, 7, 5, 2, epoch) for epoch in range(4)]
        self.schedule = Schedule(
            tf.constant(_EPOCHS),
            tf.constant(_FIRST_STEP),
            tf.constant(np.stack([b.trials for b in batches])),
            _f64(np.stack([b.weights for b in batches])),
            _f64([0.25, 0.5, 0.75, 1.0]),
            _f64([0.1, 0.2, 0.3, 0.4]),
        )
        valid = cut(recording.valid, 3)
        self.validation = ValidationTrials(tf.constant(valid.trials), _f64(valid.weights))
        mask = None if sample_mask is None else _f64(sample_mask)
        self.recording = Recording(_f64(recording.spikes), _f64(recording.external_inputs), mask)

    def program(self):
        return TrainingProgram(self.lfads, _ADAM, _PASS_RATE, compiled=False).run(
            self.state, self.hyperparameters, self.keys, self.schedule, self.validation, self.recording
        )

    def written_out(self):
        state, log, step = self.state, [], _FIRST_STEP
        members = random_bits.member_keys(*self.keys)
        s = self.schedule
        for epoch in range(_EPOCHS):
            rows, trials = np.zeros((6, 2)), 0
            for batch, weights in zip(s.trials[epoch], s.weights[epoch], strict=True):
                noise = NoiseSource(self.lfads.architecture, 2, len(batch), tf.float64).for_training(
                    members, tf.constant(step, tf.uint32), self.hyperparameters, _PASS_RATE
                )
                terms, gradient = self.lfads.loss_and_gradient(
                    state.weights,
                    self.recording.batch(batch, weights),
                    noise,
                    self.hyperparameters,
                    s.kl_ramp[epoch],
                    s.l2_ramp[epoch],
                )
                state, norm = adam_step(state, gradient, self.hyperparameters.learning_rate, _ADAM)
                count = weights.numpy().sum()
                rows += count * np.stack([*terms, norm])
                trials += count
                step += 1
            log.append([*(rows / trials), *self._validated(state, members, 2 * (step - 3))])
        return state, np.array(log)

    def _validated(self, state, members, first_draw):
        weights, total = self.lfads.layout.split(state.weights), np.zeros((2, 2))
        for i, (batch, used) in enumerate(zip(self.validation.trials, self.validation.weights, strict=True)):
            noise = NoiseSource(self.lfads.architecture, 2, len(batch), tf.float64).for_sampling(
                members, tf.constant(2**31 + first_draw + i, tf.uint32)
            )
            split = self.lfads.validation(
                weights, self.recording.batch(batch, used), noise, self.hyperparameters
            )
            total += np.stack(split) * used.numpy().sum() / 5
        return total


@pytest.fixture(scope="module")
def run(make_spec, make_recording, values):
    return _Run(make_spec(), make_recording(), values)


@pytest.fixture(scope="module")
def outcome(run):
    return run.program()


def test_state_and_log_equal_the_loop_written_out(run, outcome):
    (state, log), (expected, expected_log) = outcome, run.written_out()

    for name, found, wanted in zip(AdamState._fields, state, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-13, err_msg=name)
    assert log.shape == (4, len(LOG_ROWS), 2)
    # Rows of the log are named; the loop's come as total, reconstruction, KLs, L2, norm, seen, unseen.
    for row, name in enumerate(LOG_ROWS):
        np.testing.assert_allclose(log[:_EPOCHS, row], expected_log[:, row], rtol=1e-10, err_msg=name)


def test_steps_are_counted_from_where_each_member_was(outcome):
    np.testing.assert_array_equal(outcome[0].steps, [6, 10])


def test_epochs_beyond_those_asked_for_are_not_trained(outcome):
    assert (outcome[1][_EPOCHS:].numpy() == 0).all()


def test_sample_validation_counts_every_element_once_however_trials_are_cut(
    make_spec, make_recording, values
):
    recording = make_recording()
    mask = np.random.default_rng(4).random((len(recording.spikes), 5, 3)) >= 0.2
    mask[recording.valid[:3]] = 1.0  # the first minibatch has none but the neuron and the bin of all trials
    mask[recording.valid[3:], 1:] = 0.0
    run = _Run(make_spec(), recording, values, mask, sample_validation_rate=0.2)
    state, log = run.program()

    weights, (losses, seen) = run.lfads.layout.split(state.weights), ([], [])
    members = random_bits.member_keys(*run.keys)
    first_draw = 2 * (_FIRST_STEP + 3 * (_EPOCHS - 1))
    for i, (trials, used) in enumerate(zip(run.validation.trials, run.validation.weights, strict=True)):
        noise = NoiseSource(run.lfads.architecture, 2, len(trials), tf.float64).for_sampling(
            members, tf.constant(2**31 + first_draw + i, tf.uint32)
        )
        batch = run.recording.batch(trials, used)
        log_rates = run.lfads.forward(weights, batch, noise, run.hyperparameters)[1].output_parameters.numpy()
        for row, trial in enumerate(trials.numpy()[used.numpy() > 0]):
            ours = log_rates[:, :, row]  # [time, members, neurons]
            losses.append(np.exp(ours) - recording.spikes[trial][:, None] * ours)
            seen.append(np.pad(mask[trial], ((0, 1), (0, 1))))
    losses, seen = np.stack(losses), np.stack(seen)

    assert len(losses) == 5
    last = dict(zip(LOG_ROWS, log[_EPOCHS - 1].numpy(), strict=True))
    for member in range(2):
        ours = losses[:, :, member]
        np.testing.assert_allclose(last["valid_nll"][member], ours[seen].mean(), rtol=1e-10)
        np.testing.assert_allclose(last["valid_nll_held_out"][member], ours[~seen].mean(), rtol=1e-10)


def test_a_recording_is_read_time_first(run):
    batch = run.recording.batch(tf.constant([4, 2]), tf.ones(2))

    np.testing.assert_array_equal(batch.spikes[:, 1], run.recording.spikes[2])
    np.testing.assert_array_equal(batch.external_inputs[:, 0], run.recording.external_inputs[4])
    assert batch.sample_mask is None
