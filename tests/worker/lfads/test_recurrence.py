"""Loops over time; automatic differentiation of a loop written out in Python is the oracle."""

import numpy as np
import pytest
import tensorflow as tf

from lfads_worker.lfads.cells import gru_step, split_recurrent_kernel
from lfads_worker.lfads.recurrence import (
    gru_scan,
    scan,
    sum_over_time_and_batch,
    time_linear,
    weight_gradient,
)


def _random(*shape, seed=0):
    return tf.constant(np.random.default_rng((seed, *shape)).standard_normal(shape))


@pytest.mark.parametrize("clip", [5.0, 0.5])
def test_gru_scan_and_its_gradient_equal_automatic_differentiation(clip):
    bins, group, batch, units = 7, 3, 2, 4
    inputs = (
        _random(bins, group, batch, 3 * units),
        _random(group, batch, units),
        _random(group, units, 3 * units),
    )
    towards = _random(bins, group, batch, units, seed=1)

    def unrolled(projected, state, kernel):
        states = []
        for t in range(bins):
            state = gru_step(projected[t], state, split_recurrent_kernel(kernel), clip)[0]
            states.append(state)
        return tf.stack(states)

    def scanned(projected, state, kernel):
        return gru_scan(projected, state, split_recurrent_kernel(kernel), clip)

    results = []
    for function in (scanned, unrolled):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            states = function(*inputs)
            target = tf.reduce_sum(states * towards)
        results.append((states, tape.gradient(target, inputs)))

    (states, gradients), (expected, expected_gradients) = results
    np.testing.assert_allclose(states, expected, rtol=1e-13)
    assert (np.abs(states) == clip).any() == (clip < 1)
    for found, wanted in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-13)


def test_a_reversed_scan_keeps_the_order_of_time():
    x = tf.reshape(tf.range(4.0), (4, 1, 1, 1))

    def add(carry, inputs):
        total = carry[0] + inputs[0]
        return [total], [total]

    (last,), (forward,) = scan(add, [tf.zeros((1, 1, 1))], [x], [1])
    (first,), (backward,) = scan(add, [tf.zeros((1, 1, 1))], [x], [1], reverse=True)

    np.testing.assert_array_equal(tf.squeeze(forward), [0, 1, 3, 6])
    np.testing.assert_array_equal(tf.squeeze(backward), [6, 6, 5, 3])
    assert last.numpy() == first.numpy() == 6


def test_linear_layer_over_time_and_its_gradients():
    x, w, towards = _random(5, 2, 3, 4), _random(2, 4, 6), _random(5, 2, 3, 6)
    with tf.GradientTape() as tape:
        tape.watch([x, w])
        y = time_linear(x, w)
        target = tf.reduce_sum(y * towards)

    dx, dw = tape.gradient(target, [x, w])

    np.testing.assert_allclose(y, np.einsum("tgbk,gkl->tgbl", x, w), rtol=1e-12)
    np.testing.assert_allclose(dx, np.einsum("tgbl,gkl->tgbk", towards, w), rtol=1e-12)
    np.testing.assert_allclose(dw, np.einsum("tgbk,tgbl->gkl", x, towards), rtol=1e-12)


def test_weight_gradient_and_bias_gradient_sum_over_time_and_batch():
    x, dy = _random(5, 2, 3, 4), _random(5, 2, 3, 6)

    np.testing.assert_allclose(weight_gradient(x, dy), np.einsum("tgbk,tgbl->gkl", x, dy), rtol=1e-12)
    np.testing.assert_allclose(sum_over_time_and_batch(dy), np.einsum("tgbl->gl", dy), rtol=1e-12)
