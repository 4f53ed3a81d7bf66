from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.optimize

from lfads_worker.training import baselines, metrics

REACH = Path(__file__).parents[4] / "shared" / "data" / "reach.mat"


def test_smoothing_is_a_gaussian_weighted_mean():
    spikes = np.random.default_rng(0).poisson(0.5, size=(2, 12, 3)).astype(np.float64)

    smoothed = baselines.gaussian_smooth(spikes, sd_bins=1.5)

    for time in (0, 5, 11):
        weights = np.exp(-0.5 * ((np.arange(12) - time) / 1.5) ** 2)
        expected = (weights[:, None] * spikes[1]).sum(axis=0) / weights.sum()
        np.testing.assert_allclose(smoothed[1, time], expected)


def test_smoothing_keeps_a_constant_rate_up_to_the_ends():
    np.testing.assert_allclose(baselines.gaussian_smooth(np.full((1, 9, 1), 0.4), 2.0), 0.4)


def test_poisson_regression_finds_the_minimum():
    rng = np.random.default_rng(0)
    features = np.hstack([rng.normal(size=(300, 3)), np.ones((300, 1))])
    counts = rng.poisson(np.exp(features @ [0.5, -0.3, 0.0, -1.0]))[:, None]

    def loss(weights):
        nll = np.exp(features @ weights) - counts[:, 0] * (features @ weights)
        return nll.mean() + 0.5 * 0.1 * (weights[:3] ** 2).sum()

    weights = baselines.poisson_regression(features, counts, penalty=0.1)[:, 0]

    best = scipy.optimize.minimize(loss, np.zeros(4), tol=1e-10).x
    np.testing.assert_allclose(weights, best, atol=1e-4)


@pytest.mark.parametrize("start", [-20.0, -1.0, 5.0])
def test_poisson_regression_bears_a_silent_neuron_and_a_far_start(start):
    rng = np.random.default_rng(0)
    features = np.hstack([rng.normal(size=(100, 2)), np.ones((100, 1))])
    silent = np.zeros((100, 1))
    busy = rng.poisson(2.0, size=(100, 1))

    assert np.isfinite(baselines.poisson_regression(features, silent, penalty=0.1)).all()
    far = baselines.poisson_regression(features, busy, 0.1, start=np.array([[0.0], [0.0], [start]]))
    np.testing.assert_allclose(far, baselines.poisson_regression(features, busy, 0.1), atol=1e-3)


def test_neurons_that_share_a_latent_predict_each_other_and_independent_ones_do_not():
    rng = np.random.default_rng(0)
    latent = np.repeat(rng.normal(size=(60, 4, 1)), 10, axis=1)
    loading = rng.normal(size=(1, 1, 12))
    trials = np.arange(60)
    valid, train = trials[::5], np.delete(trials, trials[::5])

    true_rates = np.exp(0.7 * latent * loading - 1)
    shared = rng.poisson(true_rates)
    apart = rng.poisson(np.full(shared.shape, 0.4))
    found = [baselines.smoothing_baseline(each, train, valid, 8, 10.0) for each in (shared, apart)]

    attainable = metrics.bits_per_spike(true_rates[valid][..., 8:], shared[valid][..., 8:])
    assert 0.5 * attainable < found[0].bits_per_spike < attainable
    assert found[1].bits_per_spike < 0.01
    assert found[0].rates.shape == (12, 40, 4)


@pytest.mark.parametrize("held_in", [0, 5])
def test_a_baseline_without_held_in_or_held_out_neurons_is_refused(held_in):
    with pytest.raises(ValueError, match="baseline: held-in and held-out neurons wanted"):
        baselines.smoothing_baseline(np.zeros((4, 6, 5)), np.array([0, 1]), np.array([2, 3]), held_in, 10.0)


def test_an_empty_grid_is_refused():
    with pytest.raises(ValueError, match="one width and one penalty"):
        baselines.smoothing_baseline(
            np.zeros((4, 6, 5)), np.array([0, 1]), np.array([2, 3]), 3, 10.0, sds_ms=()
        )


@pytest.mark.skipif(not REACH.exists(), reason="the example recording lies beside the checkout, not in it")
def test_the_baseline_of_the_reach_recording():
    by_neuron = scipy.io.loadmat(REACH)["spikes"]  # [neurons, time, trials], 1 ms bins
    spikes = by_neuron.reshape(61, 40, 10, 210).sum(axis=2).transpose(2, 1, 0)
    trials = np.arange(210)
    valid = trials[::5]

    found = baselines.smoothing_baseline(spikes, np.delete(trials, valid), valid, 46, 10.0)

    # An independent fit of the same loss (L-BFGS) reaches 0.245 with reflected ends, and 0.22 with zeros
    # beyond the ends: the ends of these short trials matter.
    assert found.bits_per_spike == pytest.approx(0.2457, abs=0.002)
    assert (found.sd_ms, found.penalty) == (40, 0.03)
