"""Parts of the decoder that have a property of their own; its numbers are checked in test_network."""

import numpy as np
import tensorflow as tf

from lfads_worker.lfads.generator import normalised


def test_each_factor_reads_the_generator_with_weights_of_length_1():
    kernel = np.random.default_rng(0).standard_normal((2, 7, 3))

    found = normalised(tf.constant(kernel)).numpy()

    np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.ones((2, 3)), rtol=1e-14)
    np.testing.assert_allclose(found / kernel, (found / kernel)[:, :1].repeat(7, 1), rtol=1e-12)


def test_a_factor_without_weights_stays_finite():
    assert (normalised(tf.zeros((1, 4, 2))).numpy() == 0).all()


def test_external_inputs_act_from_their_own_bin_on(make_case):
    case = make_case(external=1, members=1, dropout=False, coordinated=False)

    def outputs():
        _, decoded = case.lfads.forward(case.tf_weights, case.batch, case.tf_noise, case.hyperparameters)
        return decoded.output_parameters.numpy()[:, 0, 0]

    before = outputs()
    recorded = case.external.copy()
    for time in range(6):
        case.external = recorded.copy()
        case.external[0, time] += 1.0
        changed = (outputs() != before).any(-1)
        np.testing.assert_array_equal(changed, np.arange(6) >= time)
