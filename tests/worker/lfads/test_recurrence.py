"""Loops over time; automatic differentiation of a loop written out in Python is the oracle."""

import numpy as np
import pytest
import tensorflow as tf

from lfads_worker.lfads.cells import gru_step, split_recurrent_kernel
from lfads_worker.lfads.recurrence import Before, Readings, gru_scan, scan, time_linear, weight_gradient


def _random(*shape, seed=0):
    return tf.constant(np.random.default_rng((seed, *shape)).standard_normal(shape))


@pytest.mark.parametrize("features", [3, 0])
@pytest.mark.parametrize("clip", [5.0, 0.5])
def test_gru_scan_and_its_gradient_equal_automatic_differentiation(clip, features):
    bins, group, batch, units = 7, 3, 2, 4
    x = _random(bins, group, batch, features)
    inputs = (
        _random(group, features, 3 * units),
        _random(group, 3 * units),
        _random(group, batch, units),
        _random(group, units, 3 * units),
    )
    towards = _random(bins, group, batch, units, seed=1)

    def unrolled(input_kernel, bias, state, kernel):
        states = []
        for t in range(bins):
            projected = tf.matmul(x[t], input_kernel) + bias[:, None]
            state = gru_step(projected, state, split_recurrent_kernel(kernel), clip)[0]
            states.append(state)
        return tf.stack(states)

    def scanned(input_kernel, bias, state, kernel):
        return gru_scan(x, bins, input_kernel, bias, state, split_recurrent_kernel(kernel), clip)

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

    (last,), (forward,) = scan(add, [tf.zeros((1, 1, 1))], [x], 4, [1])
    (first,), (backward,) = scan(add, [tf.zeros((1, 1, 1))], [x], 4, [1], reverse=True)

    np.testing.assert_array_equal(tf.squeeze(forward), [0, 1, 3, 6])
    np.testing.assert_array_equal(tf.squeeze(backward), [6, 6, 5, 3])
    assert last.numpy() == first.numpy() == 6


def test_a_state_before_each_bin_is_the_one_after_the_bin_before():
    first, after = _random(2, 3, 4), _random(5, 2, 3, 4)

    before = Before(first, after)

    np.testing.assert_array_equal([before[t] for t in range(5)], np.concatenate([[first], after[:-1]]))


def test_readers_of_one_input_read_it_forward_or_from_its_end():
    x = _random(5, 2, 3, 4)

    seen = np.array([Readings(x, [False, True, True])[t] for t in range(5)])

    np.testing.assert_array_equal(seen[:, :2], x)
    np.testing.assert_array_equal(seen[:, 2:4], x[::-1])
    np.testing.assert_array_equal(seen[:, 4:], x[::-1])


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


def test_weight_gradient_sums_over_time_and_batch():
    x, dy = _random(5, 2, 3, 4), _random(5, 2, 3, 6)

    np.testing.assert_allclose(weight_gradient(x, dy), np.einsum("tgbk,tgbl->gkl", x, dy), rtol=1e-12)
