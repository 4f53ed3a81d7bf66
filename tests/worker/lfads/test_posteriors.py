"""Divergences: published numbers, closed forms of NumPy, and the Monte Carlo estimate in the limit."""

import math

import numpy as np
import pytest
import tensorflow as tf

from lfads_worker.lfads.posteriors import AutoregressivePrior, Gaussian, IndependentPrior, gaussian_kl


def _gaussian(mean, variance):
    return Gaussian(tf.constant(mean, tf.float64), tf.constant(variance, tf.float64))


def _prior(tau=10.0, variance=0.1, shape=(1, 1)):
    return AutoregressivePrior(
        tf.constant(np.full(shape, math.log(tau))), tf.constant(np.full(shape, math.log(variance)))
    )


def test_golden_value_of_the_initial_conditions_kl():
    assert gaussian_kl(_gaussian(0.2, 0.09), 0.0, 0.1).numpy() == pytest.approx(0.2026803, abs=5e-8)


def test_golden_value_of_the_inferred_inputs_kl():
    posterior = _gaussian(np.zeros((2, 1, 1, 1)), np.full((2, 1, 1, 1), 0.25))

    assert _prior().kl(posterior).numpy()[0, 0] == pytest.approx(1.4375952, abs=5e-8)


def test_golden_values_of_the_first_bin_and_of_the_second():
    first = _prior().kl(_gaussian(np.zeros((1, 1, 1, 1)), np.full((1, 1, 1, 1), 0.25))).numpy()[0, 0]

    assert first == pytest.approx(0.1223271, abs=5e-8)
    assert 1.4375952 - first == pytest.approx(1.3152681, abs=1e-7)


def test_a_posterior_like_the_stationary_prior_has_no_divergence_in_its_first_bin():
    # alpha 0.9048374, stationary variance 0.5516656
    posterior = _gaussian(np.zeros((1, 1, 1, 1)), np.full((1, 1, 1, 1), 0.5516656))

    assert _prior().kl(posterior).numpy()[0, 0] == pytest.approx(0.0, abs=1e-12)


def test_analytic_kl_equals_that_of_two_multivariate_normals():
    """The AR(1) process over T bins is one normal vector with covariance v/(1-a²) a^|i-j|."""
    rng = np.random.default_rng(0)
    bins, inputs, tau, noise = 7, 2, 4.0, 0.3
    mean, variance = rng.standard_normal((bins, 1, 3, inputs)), rng.uniform(0.05, 2, (bins, 1, 3, inputs))

    found = _prior(tau, noise, (1, inputs)).kl(_gaussian(mean, variance)).numpy()[0]

    a = math.exp(-1 / tau)
    covariance = noise / (1 - a**2) * a ** np.abs(np.subtract.outer(range(bins), range(bins)))
    precision, log_det = np.linalg.inv(covariance), np.linalg.slogdet(covariance)[1]
    expected = np.zeros(3)
    for trial, i in np.ndindex(3, inputs):
        m, q = mean[:, 0, trial, i], variance[:, 0, trial, i]
        trace = np.trace(precision @ np.diag(q)) + m @ precision @ m
        expected[trial] += 0.5 * (trace - bins + log_det - np.log(q).sum())
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_monte_carlo_kl_averages_to_the_analytic_one():
    rng = np.random.default_rng(1)
    trials = 40000
    mean = np.broadcast_to(rng.standard_normal((5, 1, 1, 2)), (5, 1, trials, 2))
    variance = np.broadcast_to(rng.uniform(0.1, 1, (5, 1, 1, 2)), (5, 1, trials, 2))
    posterior = _gaussian(mean, variance)

    estimates = (
        _prior(shape=(1, 2)).kl_of_sample(posterior, tf.constant(rng.standard_normal(mean.shape))).numpy()[0]
    )

    exact = _prior(shape=(1, 2)).kl(posterior).numpy()[0, 0]
    standard_error = estimates.std() / math.sqrt(trials)
    assert abs(estimates.mean() - exact) < 4 * standard_error
    assert standard_error < 0.02 * exact


def test_independent_prior_averages_over_time():
    posterior = _gaussian(np.full((6, 1, 1, 2), 0.2), np.full((6, 1, 1, 2), 0.09))

    found = IndependentPrior(tf.zeros((1, 2), tf.float64), 0.1).kl(posterior)

    assert found.numpy()[0, 0] == pytest.approx(2 * 0.2026803, abs=1e-7)


def test_sampling_without_a_draw_gives_the_mean():
    posterior = _gaussian([1.0, -2.0], [4.0, 9.0])

    np.testing.assert_array_equal(posterior.sample(None), [1.0, -2.0])
    np.testing.assert_array_equal(posterior.sample(tf.constant([1.0, -1.0], tf.float64)), [3.0, -5.0])
