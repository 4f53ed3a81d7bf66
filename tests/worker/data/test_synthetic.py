"""Generators against plain loops over the published equations."""

import math

import numpy as np
import pytest
from scipy import stats

from lfads_worker.data import synthetic
from lfads_worker.data.synthetic import chaotic_rnn, lorenz
from lfads_worker.errors import DataError

SMALL = {"neurons": 4, "conditions": 2, "trials_per_condition": 3, "bins": 5, "bin_width_ms": 20}


def lorenz_by_hand(seed, conditions, milliseconds, neurons, signed=False):
    """[conditions, milliseconds, 3] latents and [neurons, 3] weights, one number at a time."""
    rng = np.random.RandomState(seed)
    starts = rng.standard_normal((conditions, 3))
    latents = np.zeros((conditions, milliseconds, 3))
    for c in range(conditions):
        x, y, z = (float(v) for v in starts[c])
        z += 25
        for step in range(500 + milliseconds):
            if step >= 500:
                latents[c, step - 500] = (x, y, z)
            dx, dy, dz = 10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z
            x, y, z = x + 0.006 * dx, y + 0.006 * dy, z + 0.006 * dz
        for d in range(3):
            latents[c, :, d] -= latents[c, :, d].mean()
            latents[c, :, d] /= latents[c, :, d].max() if signed else abs(latents[c, :, d]).max()
    sizes, signs = rng.uniform(size=(neurons, 3)), rng.standard_normal((neurons, 3))
    rows = [[(1 + sizes[n, d]) * (1 if signs[n, d] > 0 else -1) for d in range(3)] for n in range(neurons)]
    return latents, np.array(sorted(rows, key=lambda row: row[0]))


@pytest.mark.parametrize("published_form", [False, True])
def test_lorenz_rates_and_latents_follow_the_equations(published_form):
    data = lorenz(**SMALL, seed=7, published_form=published_form)

    latents, weights = lorenz_by_hand(7, 2, 100, 4, signed=published_form)
    for trial in range(6):
        for t in range(5):
            part = latents[trial // 3, 20 * t : 20 * (t + 1)]
            assert np.allclose(data.latents[trial, t], part.mean(axis=0), atol=1e-9)
            for n in range(4):
                rates = [math.exp(weights[n] @ state + math.log(5 / 1000)) for state in part]
                assert data.true_rates[trial, t, n] == pytest.approx(sum(rates), rel=1e-8)


def test_rates_explode_in_the_published_form_only_and_its_spikes_do_not():
    size = {"neurons": 29, "conditions": 65, "trials_per_condition": 2, "bins": 50, "bin_width_ms": 20}

    ours, published = lorenz(**size), lorenz(**size, published_form=True)

    assert ours.true_rates.max() < 20  # a thousand spikes/s
    assert published.true_rates.max() > 100
    assert published.spikes.max() <= 20


def test_lorenz_counts_are_poisson_around_the_rates():
    data = lorenz(neurons=10, conditions=20, trials_per_condition=50, bins=10, seed=1)

    z = (data.spikes - data.true_rates) / np.sqrt(data.true_rates)

    # 100,000 values: the mean of z has sd 0.003, its variance sd about 0.02 at these low rates
    assert abs(z.mean()) < 0.015
    assert z.var() == pytest.approx(1, abs=0.1)


def test_binary_spikes_are_sub_poisson_with_the_expected_mean():
    data = lorenz(neurons=10, conditions=4, trials_per_condition=400, bins=10, published_form=True, seed=1)
    latents, weights = lorenz_by_hand(1, 4, 200, 10, signed=True)
    chance = 1 - np.exp(-np.exp(latents @ weights.T + math.log(0.005)))

    expected = chance.reshape(4, 10, 20, 10).sum(axis=2)
    variance = (chance * (1 - chance)).reshape(4, 10, 20, 10).sum(axis=2)
    z = (data.spikes.reshape(4, 400, 10, 10).mean(axis=1) - expected) / np.sqrt(variance / 400)

    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-3


def test_trials_of_a_lorenz_condition_share_rates_and_differ_in_spikes():
    data = lorenz(**SMALL)

    assert data.conditions.tolist() == [0, 0, 0, 1, 1, 1]
    assert np.array_equal(data.true_rates[0], data.true_rates[2])
    assert not np.array_equal(data.true_rates[0], data.true_rates[3])
    assert not np.array_equal(data.spikes[0], data.spikes[1])


def test_lorenz_has_the_literatures_size_by_default():
    data = lorenz()

    assert data.spikes.shape == (1560, 50, 29)
    assert data.latents.shape == (1560, 50, 3)
    assert data.bin_width_ms == 20
    assert len(np.unique(data.conditions)) == 65


def test_the_first_weight_of_seed_five_is_the_published_one(monkeypatch):
    seen = {}
    monkeypatch.setattr(
        synthetic,
        "_run_network",
        lambda start, weights, *rest: seen.update(w=weights) or np.zeros((1, 100, 50)),
    )

    chaotic_rnn(conditions=1, trials_per_condition=1, gain=1.0, seed=5)

    assert seen["w"][0, 0] == pytest.approx(0.06239899, abs=5e-9)


@pytest.mark.parametrize("pulse", [False, True])
def test_the_network_follows_the_equations(pulse):
    data = chaotic_rnn(neurons=3, conditions=2, trials_per_condition=2, bins=8, gain=2.5, pulse=pulse, seed=3)

    rng = np.random.RandomState(3)
    weights, inputs = rng.standard_normal((3, 3)) / math.sqrt(3), rng.standard_normal(3)
    starts = rng.standard_normal((2, 3))
    for trial in range(4):
        x = [float(v) for v in starts[trial // 2]]
        activity = []
        for t in range(8):
            u = data.inputs[trial, t, 0] if pulse else 0.0
            drive = [
                2.5 * sum(weights[i, j] * math.tanh(x[j]) for j in range(3)) + inputs[i] * u for i in range(3)
            ]
            x = [(1 - 0.4) * x[i] + 0.4 * drive[i] for i in range(3)]
            activity.append([math.tanh(value) for value in x])
        activity = np.array(activity)
        low, high = activity.min(axis=0), activity.max(axis=0)
        assert np.allclose(data.latents[trial], activity)
        assert np.allclose(data.true_rates[trial], 0.3 * (activity - low) / (high - low))


def test_each_trial_has_one_pulse_in_its_middle_half():
    data = chaotic_rnn(neurons=5, conditions=10, trials_per_condition=10, bins=40, pulse=True)

    trials, bins, _ = np.nonzero(data.inputs)
    assert trials.tolist() == list(range(100))
    assert data.inputs.max() == 20
    assert bins.min() >= 10
    assert bins.max() < 30
    assert len(set(bins)) > 10


def test_a_neuron_that_never_changes_is_silent():
    activity = np.ones((1, 4, 2))
    activity[0, :, 1] = [0, 1, 2, 4]

    assert synthetic._min_max(activity)[0].T.tolist() == [[0, 0, 0, 0], [0, 0.25, 0.5, 1]]


@pytest.mark.parametrize(
    "make", [lambda seed: lorenz(**SMALL, seed=seed), lambda seed: chaotic_rnn(conditions=2, seed=seed)]
)
def test_a_seed_means_the_same_data_and_another_seed_other_data(make):
    assert np.array_equal(make(1).spikes, make(1).spikes)
    assert not np.array_equal(make(1).spikes, make(2).spikes)


def test_global_random_numbers_are_left_alone():
    state = np.random.get_state()[1].copy()  # noqa: NPY002

    lorenz(**SMALL)

    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lorenz(neurons=0), "neurons: more than 0 is wanted, 0 was found"),
        (
            lambda: lorenz(trials_per_condition=-1),
            "trials per condition: more than 0 is wanted, -1 was found",
        ),
        (lambda: lorenz(base_rate=float("nan")), "base rate: more than 0 is wanted, nan was found"),
        (lambda: chaotic_rnn(gain=0), "gain: more than 0 is wanted"),
        (lambda: chaotic_rnn(seed=-1), "seed: 0 to 4294967295 is wanted, -1 was found"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(DataError, match=message):
        make()
