"""Adam with its clip against a few lines of NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from lfads_worker.training.optimizer import AdamSettings, AdamState, adam_step, global_norm


class _NumpyAdam:
    """Kingma and Ba 2015, algorithm 1, for one member, after a clip by global norm as PyTorch has it."""

    def __init__(self, weights, settings):
        self.weights, self.settings = weights.copy(), settings
        self.mean, self.variance, self.steps = np.zeros_like(weights), np.zeros_like(weights), 0

    def step(self, gradient, learning_rate):
        s = self.settings
        norm = np.sqrt((gradient**2).sum())
        gradient = gradient * min(1.0, s.clip_norm / (norm + 1e-6))
        self.steps += 1
        self.mean = s.beta1 * self.mean + (1 - s.beta1) * gradient
        self.variance = s.beta2 * self.variance + (1 - s.beta2) * gradient**2
        unbiased = self.mean / (1 - s.beta1**self.steps), self.variance / (1 - s.beta2**self.steps)
        self.weights -= learning_rate * unbiased[0] / (np.sqrt(unbiased[1]) + s.epsilon)
        return norm


def _fresh(weights):
    zero = tf.zeros_like(weights)
    return AdamState(tf.constant(weights), zero, zero, tf.zeros(len(weights), tf.int32))


@pytest.mark.parametrize("settings", [AdamSettings(clip_norm=3.0), AdamSettings(0.5, 0.9, 0.1, 1e9)])
def test_steps_equal_numpys(settings):
    rng = np.random.default_rng(0)
    weights, rates = rng.standard_normal((3, 20)), np.array([1e-2, 0.3, 0.0])
    members = [_NumpyAdam(row, settings) for row in weights]
    state = _fresh(weights)

    for step in range(5):
        gradient = rng.standard_normal((3, 20)) * 10.0 ** (step - 2)  # norms below and above the clip
        state, norm = adam_step(state, tf.constant(gradient), tf.constant(rates), settings)
        norms = [m.step(row, rate) for m, row, rate in zip(members, gradient, rates, strict=True)]
        np.testing.assert_allclose(norm, norms, rtol=1e-12)

    np.testing.assert_allclose(state.weights, [m.weights for m in members], rtol=1e-12)
    np.testing.assert_allclose(state.mean, [m.mean for m in members], rtol=1e-11)
    np.testing.assert_allclose(state.variance, [m.variance for m in members], rtol=1e-11)
    np.testing.assert_array_equal(state.steps, [5, 5, 5])


def test_members_may_be_at_different_steps():
    """A copied member brings its own step count along."""
    gradient, settings = np.ones((2, 4)), AdamSettings()
    old = _NumpyAdam(np.zeros(4), settings)
    for _ in range(3):
        old.step(gradient[0], 0.1)
    rows = [tf.constant(np.stack([x, np.zeros(4)])) for x in (old.weights, old.mean, old.variance)]
    state, rates = AdamState(*rows, tf.constant([3, 0])), tf.constant([0.1, 0.1], tf.float64)
    young = _NumpyAdam(np.zeros(4), settings)

    state, _ = adam_step(state, tf.constant(gradient), rates, settings)

    old.step(gradient[0], 0.1)
    young.step(gradient[1], 0.1)
    np.testing.assert_allclose(state.weights, [old.weights, young.weights], rtol=1e-12)


def test_a_gradient_of_0_moves_nothing():
    state, norm = adam_step(
        _fresh(np.ones((1, 3))), tf.zeros((1, 3), tf.float64), tf.constant([0.1], tf.float64), AdamSettings()
    )

    np.testing.assert_array_equal(state.weights, np.ones((1, 3)))
    assert norm.numpy() == 0


@pytest.mark.parametrize("broken", [np.nan, np.inf, 1e300])
def test_a_broken_gradient_stays_in_its_row(broken):
    gradient, rates = np.random.default_rng(0).standard_normal((3, 4)), tf.constant([0.1] * 3, tf.float64)
    expected, _ = adam_step(_fresh(np.ones((3, 4))), tf.constant(gradient), rates, AdamSettings())

    gradient[1] = broken
    found, _ = adam_step(_fresh(np.ones((3, 4))), tf.constant(gradient), rates, AdamSettings())

    for before, after in zip(expected, found, strict=True):
        np.testing.assert_array_equal(after.numpy()[[0, 2]], before.numpy()[[0, 2]])


@pytest.mark.parametrize("compiled", [True, False], ids=["XLA", "plain TensorFlow"])
def test_norm_of_a_full_size_gradient_is_unbiased_in_float32(compiled):
    gradient = np.random.default_rng(0).standard_normal((2, 403_000)).astype(np.float32)

    norm = tf.function(global_norm, jit_compile=compiled)(tf.constant(gradient))

    np.testing.assert_allclose(norm[:, 0], np.linalg.norm(gradient.astype(np.float64), axis=1), rtol=1e-5)
