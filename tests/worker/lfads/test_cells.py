"""The clipped GRU: the published numbers, and its hand-written gradient."""

import numpy as np
import pytest
import tensorflow as tf

from lfads_worker.lfads.cells import gru_step, gru_step_gradient, split_recurrent_kernel

# Two units, one input; columns z, r, n. U_n has the rows (.6, -.4), (.3, .8) in U_n (r * h): transposed here.
_KERNEL = np.array([[0.5, -0.5, 0.3, -0.6, 0.7, -0.2]])
_BIAS = np.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
_RECURRENT = np.array([[0.25, 0.0, -0.2, 0.0, 0.6, 0.3], [0.0, 0.25, 0.0, -0.2, -0.4, 0.8]])
_STATE = np.array([[[0.5, -0.25]]])


def _next_state(clip=5.0, scale=1.0):
    kernels = split_recurrent_kernel(tf.constant(_RECURRENT[None]))
    projected = tf.constant(scale * (np.array([[[1.0]]]) @ _KERNEL + _BIAS))
    return gru_step(projected, tf.constant(_STATE), kernels, clip)[0].numpy()[0, 0]


def test_golden_value():
    np.testing.assert_allclose(_next_state(), [0.54245394, -0.23193235], atol=5e-9)


def test_reset_gate_does_not_act_after_the_recurrent_product():
    z, r = 1 / (1 + np.exp(-(_KERNEL + _BIAS)[0, :4] - _STATE[0, 0] @ _RECURRENT[:, :4])).reshape(2, 2)
    n = np.tanh(_KERNEL[0, 4:] + r * (_STATE[0, 0] @ _RECURRENT[:, 4:]))
    after = z * _STATE[0, 0] + (1 - z) * n

    np.testing.assert_allclose(after, [0.54354563, -0.24079306], atol=5e-9)  # as cuDNN has it
    assert np.abs(_next_state() - after).min() > 1e-3


def test_the_oracle_gives_the_golden_value_too(oracle):
    found = oracle.gru_cell(np.array([[1.0]]), _STATE[0], _KERNEL, _RECURRENT, _BIAS, 5.0)

    np.testing.assert_allclose(found[0], [0.54245394, -0.23193235], atol=5e-9)


def test_new_state_is_clipped_on_both_sides():
    np.testing.assert_array_equal(_next_state(clip=0.2), [0.2, -0.2])


@pytest.mark.parametrize("clip", [5.0, 0.6])
def test_gradient_equals_the_complex_step_of_the_oracle(oracle, clip):
    rng = np.random.default_rng(0)
    group, batch, units = 2, 3, 4
    projected = rng.standard_normal((group, batch, 3 * units))
    state = rng.uniform(-1, 1, (group, batch, units))
    recurrent = rng.standard_normal((group, units, 3 * units))
    d_next = rng.standard_normal((group, batch, units))
    kernels = split_recurrent_kernel(tf.constant(recurrent))
    after, gates, candidate = gru_step(tf.constant(projected), tf.constant(state), kernels, clip)

    found = gru_step_gradient(tf.constant(d_next), tf.constant(state), gates, candidate, kernels, clip)

    assert (np.abs(after) == clip).any() == (clip < 1)
    for d_found, moved, still in ((found[0], projected, state), (found[1], state, projected)):
        expected = np.zeros_like(moved)
        for place in np.ndindex(*moved.shape):
            step = moved.astype(complex)
            step[place] += 1j * oracle.STEP
            x, h = (step, still) if moved is projected else (still, step)
            g = place[0]
            cell = oracle.gru_cell(x[g], h[g], np.eye(3 * units), recurrent[g], 0.0, clip)
            expected[place] = (np.imag(cell) / oracle.STEP * d_next[g]).sum()
        np.testing.assert_allclose(d_found, expected, rtol=1e-11, atol=1e-14)
