"""Likelihoods against SciPy."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from lfads_worker.lfads.distributions import output_distribution


def test_poisson_loss_and_constant_make_up_the_likelihood():
    counts = np.array([[0.0, 1.0, 2.0, 7.0, 40.0]])
    log_rates = np.array([[-2.0, 0.3, 0.0, 2.0, 3.0]])
    poisson = output_distribution("Poisson")

    nll = poisson.loss(tf.constant(log_rates), tf.constant(counts)) + poisson.constant(counts, "Exact")

    np.testing.assert_allclose(nll, -stats.poisson.logpmf(counts, np.exp(log_rates)), rtol=1e-12)
    np.testing.assert_allclose(poisson.mean(tf.constant(log_rates)), np.exp(log_rates), rtol=1e-14)


def test_gaussian_loss_and_constant_make_up_the_likelihood():
    rng = np.random.default_rng(0)
    data, mean, log_variance = rng.standard_normal((3, 5, 4))
    gaussian = output_distribution("Gaussian")
    parameters = tf.constant(np.concatenate([mean, log_variance], -1))

    nll = gaussian.loss(parameters, tf.constant(data)) + gaussian.constant(data, "Exact")

    sd = np.sqrt(np.exp(log_variance) + 1e-6)
    np.testing.assert_allclose(nll, -stats.norm.logpdf(data, mean, sd), rtol=1e-12)
    np.testing.assert_array_equal(gaussian.mean(parameters), mean)


def test_gaussian_loss_stays_finite_when_the_variance_vanishes():
    gaussian = output_distribution("Gaussian")

    loss = gaussian.loss(tf.constant([[0.0, -1e3]]), tf.constant([[1.0]]))

    assert np.isfinite(loss).all()


@pytest.mark.parametrize(
    ("count", "exact", "stirling"),
    [(0, 0.0, 0.0), (1, 0.0, 0.0), (2, 0.693147, 0.651806), (10, 15.104413, 15.096082)],
)
def test_log_factorial_table(count, exact, stirling):
    poisson = output_distribution("Poisson")

    assert poisson.constant(np.array([count]), "Exact")[0] == pytest.approx(exact, abs=1e-6)
    assert poisson.constant(np.array([count]), "Stirling")[0] == pytest.approx(stirling, abs=1e-6)


def test_readout_starts_at_the_mean_of_the_data():
    mean, variance = np.array([0.2, 3.0]), np.array([0.5, 2.0])

    poisson = output_distribution("Poisson").initial_bias(mean, variance)
    gaussian = output_distribution("Gaussian").initial_bias(mean, variance)

    np.testing.assert_allclose(np.exp(poisson), mean)
    np.testing.assert_allclose(gaussian[:2], mean)
    np.testing.assert_allclose(np.exp(gaussian[2:]), variance)


def test_a_silent_neuron_starts_at_a_low_rate():
    assert np.isfinite(output_distribution("Poisson").initial_bias(np.zeros(1), np.zeros(1))).all()
    assert np.isfinite(output_distribution("Gaussian").initial_bias(np.zeros(1), np.zeros(1))).all()
