import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lfads_worker.training import metrics

SHAPES = st.tuples(st.integers(1, 4), st.integers(2, 6), st.integers(1, 4))
COUNTS = SHAPES.flatmap(lambda shape: arrays.arrays(np.float64, shape, elements=st.integers(0, 6)))


@pytest.fixture
def spikes():
    """[trials, time, neurons] counts whose rates differ between neurons and over time."""
    rng = np.random.default_rng(0)
    return rng.poisson(rng.gamma(2.0, 0.2, size=(20, 30, 5))).astype(np.float32)


# Smoothing.


def test_smoothing_weighs_the_new_value_with_0_7():
    smoothed = np.full(1, np.nan)
    for value in (1.0, 2.0, 4.0):
        smoothed = metrics.smooth(smoothed, np.array([value]))

    assert smoothed == pytest.approx([0.3 * (0.3 * 1.0 + 0.7 * 2.0) + 0.7 * 4.0])


def test_smoothing_goes_on_from_the_value_that_came_with_a_copy():
    own_and_copied = metrics.smooth(np.array([5.0, 1.0]), np.array([1.0, 1.0]))

    assert own_and_copied == pytest.approx([2.2, 1.0])


def test_a_diverged_member_has_no_smoothed_value_and_leaves_the_others_alone():
    smoothed = metrics.smooth(np.array([1.0, 1.0, np.nan]), np.array([np.nan, 1.0, 3.0]))

    np.testing.assert_array_equal(smoothed, [np.nan, 1.0, 3.0])


@settings(deadline=None)
@given(
    arrays.arrays(
        np.float64,
        st.tuples(st.integers(1, 8), st.integers(1, 4)),
        elements=st.floats(-50, 50) | st.sampled_from([np.nan, np.inf, -np.inf]),
    ),
    st.floats(0.01, 1.0),
)
def test_smoothing_begins_anew_after_an_epoch_without_a_finite_loss(losses, weight):
    expected = np.empty_like(losses)
    for member in range(losses.shape[1]):
        last = None  # nothing finite to go on from
        for epoch in range(len(losses)):
            loss = losses[epoch, member]
            smoothed = loss if last is None else (1 - weight) * last + weight * loss
            last = smoothed if math.isfinite(smoothed) else None
            expected[epoch, member] = smoothed

    smoothed = np.full(losses.shape[1], np.nan)
    for epoch in range(len(losses)):
        smoothed = metrics.smooth(smoothed, losses[epoch], weight)
        np.testing.assert_array_equal(smoothed, expected[epoch])


def test_one_infinite_epoch_does_not_mark_a_recovered_member_as_diverged():
    smoothed = np.array([1.0])
    for loss in (np.inf, 2.0, 4.0):
        smoothed = metrics.smooth(smoothed, np.array([loss]))

    assert smoothed == pytest.approx([0.3 * 2.0 + 0.7 * 4.0])


def test_a_weight_of_one_does_not_smooth():
    assert metrics.smooth(np.array([1.0]), np.array([5.0]), new_weight=1.0) == 5.0


@pytest.mark.parametrize("weight", [0.0, -0.1, 1.1, math.nan])
def test_a_smoothing_weight_that_makes_no_sense_is_refused(weight):
    with pytest.raises(ValueError, match="smoothing: a weight"):
        metrics.smooth(np.zeros(1), np.zeros(1), weight)


# Poisson likelihood.


@settings(deadline=None)
@given(COUNTS, st.floats(1e-3, 20))
def test_poisson_nll_is_the_textbook_one(counts, rate):
    nll = metrics.poisson_nll(np.full(counts.shape, rate), counts)

    np.testing.assert_allclose(nll, -scipy.stats.poisson.logpmf(counts, rate), rtol=1e-9, atol=1e-9)


def test_the_exact_log_factorial_is_lgamma():
    counts = np.array([[0, 1, 2], [3, 50, 170]])

    np.testing.assert_allclose(metrics.log_factorial(counts), scipy.special.gammaln(counts + 1), rtol=1e-12)


@pytest.mark.parametrize(
    ("count", "stirling"), [(0, 0.0), (1, 0.0), (2, 0.651806), (3, 1.764082), (4, 3.157263)]
)
def test_stirlings_log_factorial_is_the_published_one(count, stirling):
    assert metrics.log_factorial(count, "Stirling") == pytest.approx(stirling, abs=1e-6)


def test_the_two_log_factorials_differ_by_a_constant_of_the_data(spikes):
    rates = np.random.default_rng(1).gamma(2.0, 0.2, size=spikes.shape)

    differences = [
        metrics.poisson_nll(each, spikes, "Stirling") - metrics.poisson_nll(each, spikes)
        for each in (rates, 2 * rates)
    ]

    np.testing.assert_allclose(*differences, atol=1e-12)


def test_a_rate_of_zero_counts_as_a_very_small_one():
    nll = metrics.poisson_nll(np.zeros(2), np.array([0.0, 1.0]))

    assert nll == pytest.approx([1e-9, 1e-9 - math.log(1e-9)])


def test_unknown_spikes_have_an_unknown_likelihood():
    nll = metrics.poisson_nll(np.ones(2), np.array([np.nan, 1.0]))

    np.testing.assert_array_equal(np.isnan(nll), [True, False])


# Bits per spike.


def test_the_golden_value_of_bits_per_spike():
    bits = metrics.bits_per_spike(np.array([[0.2], [0.8], [0.2], [0.8]]), np.array([[0], [1], [0], [1]]))

    assert bits == pytest.approx(0.6780719, abs=1e-7)


def test_bits_per_spike_are_the_definition_in_full(spikes):
    rates = np.random.default_rng(1).gamma(2.0, 0.2, size=spikes.shape)
    null = np.tile(spikes.astype(np.float64).mean(axis=(0, 1)), (20, 30, 1))

    def nll(expected):
        return (expected - spikes * np.log(expected) + scipy.special.gammaln(spikes + 1)).sum()

    expected = (nll(null) - nll(rates)) / (spikes.sum() * np.log(2))
    assert metrics.bits_per_spike(rates, spikes) == pytest.approx(expected, rel=1e-9)


def test_mean_rates_are_worth_nothing_and_any_other_constant_rate_less(spikes):
    mean = np.broadcast_to(spikes.astype(np.float64).mean(axis=(0, 1)), spikes.shape)

    assert metrics.bits_per_spike(mean, spikes) == pytest.approx(0, abs=1e-12)
    assert metrics.bits_per_spike(1.2 * mean, spikes) < 0


def test_the_null_knows_the_evaluated_spikes_of_each_neuron():
    # One neuron fires always, one never: their own means say it all, the common mean would not.
    spikes = np.tile([1.0, 0.0], (10, 1))

    assert metrics.bits_per_spike(spikes, spikes) == pytest.approx(0, abs=1e-6)


def test_unknown_spikes_are_left_out(spikes):
    rates = np.random.default_rng(1).gamma(2.0, 0.2, size=spikes.shape)
    with_gap = spikes.copy()
    with_gap[:, 20:] = np.nan

    bits = metrics.bits_per_spike(rates, with_gap)

    assert bits == pytest.approx(metrics.bits_per_spike(rates[:, :20], spikes[:, :20]))


def test_a_neuron_that_is_unknown_throughout_is_left_out(spikes):
    rates = np.random.default_rng(1).gamma(2.0, 0.2, size=spikes.shape)
    unknown = spikes.copy()
    unknown[..., 4] = np.nan

    bits = metrics.bits_per_spike(rates, unknown)

    assert bits == pytest.approx(metrics.bits_per_spike(rates[..., :4], spikes[..., :4]))


def test_a_rate_of_zero_costs_a_lot_but_not_everything():
    bits = metrics.bits_per_spike(np.array([[0.0], [0.5]]), np.array([[1.0], [0.0]]))

    null, model = 2 * 0.5 - math.log(0.5), 1e-9 - math.log(1e-9) + 0.5
    assert bits == pytest.approx((null - model) / math.log(2))


def test_a_silent_neuron_changes_bits_only_by_the_rate_it_is_given(spikes):
    rates = np.random.default_rng(1).gamma(2.0, 0.2, size=spikes.shape)
    silent = np.concatenate([spikes, np.zeros((20, 30, 1))], axis=2)

    quiet = metrics.bits_per_spike(np.concatenate([rates, np.zeros((20, 30, 1))], axis=2), silent)

    assert quiet == pytest.approx(metrics.bits_per_spike(rates, spikes), abs=1e-6)


def test_without_a_spike_there_are_no_bits_per_spike():
    assert math.isnan(metrics.bits_per_spike(np.ones((3, 2)), np.zeros((3, 2))))


def test_a_rate_that_is_not_a_number_is_not_hidden(spikes):
    rates = np.ones(spikes.shape)
    rates[0, 0, 0] = np.nan

    assert math.isnan(metrics.bits_per_spike(rates, spikes))


def test_arrays_of_different_shapes_are_refused(spikes):
    with pytest.raises(ValueError, match=r"found \(20, 30, 1\) and \(20, 30, 5\)"):
        metrics.bits_per_spike(np.ones((20, 30, 1)), spikes)


def test_the_oracle_has_a_share_of_one_and_mean_rates_of_zero():
    rng = np.random.default_rng(0)
    true_rates = rng.gamma(2.0, 0.5, size=(50, 40, 4))
    spikes = rng.poisson(true_rates)
    mean = np.broadcast_to(spikes.mean(axis=(0, 1)), spikes.shape)

    assert metrics.oracle_share(true_rates, true_rates, spikes) == 1
    assert metrics.oracle_share(mean, true_rates, spikes) == pytest.approx(0, abs=1e-12)
    between = metrics.oracle_share(0.5 * (mean + true_rates), true_rates, spikes)
    assert 0 < between < 1


def test_there_is_no_share_where_even_the_truth_tells_nothing():
    spikes = np.array([[0.0], [1.0]])

    assert math.isnan(metrics.oracle_share(np.full((2, 1), 0.4), np.full((2, 1), 0.5), spikes))


# Agreement with known rates.


def test_r2_is_one_for_the_truth_zero_for_its_mean_and_negative_beyond():
    truth = np.random.default_rng(0).gamma(2.0, size=(10, 20, 3))
    mean = np.broadcast_to(truth.mean(axis=(0, 1)), truth.shape)

    np.testing.assert_allclose(metrics.r2_per_neuron(truth, truth), 1)
    np.testing.assert_allclose(metrics.r2_per_neuron(truth, mean), 0, atol=1e-12)
    assert metrics.mean_r2(truth, -truth) < 0


def test_r2_is_the_definition_neuron_by_neuron():
    rng = np.random.default_rng(0)
    truth = rng.gamma(2.0, size=(10, 20, 3))
    rates = truth + rng.normal(size=truth.shape)

    expected = [
        1 - np.sum((truth[..., n] - rates[..., n]) ** 2) / (200 * np.var(truth[..., n])) for n in range(3)
    ]
    np.testing.assert_allclose(metrics.r2_per_neuron(truth, rates), expected)
    assert metrics.mean_r2(truth, rates) == pytest.approx(np.mean(expected))


def test_a_neuron_with_a_constant_true_rate_is_left_out():
    rng = np.random.default_rng(0)
    truth = rng.gamma(2.0, size=(10, 20, 3))
    truth[..., 1] = 0.1
    assert truth.reshape(-1, 3).mean(axis=0)[1] != 0.1  # rounding: the mean of equal numbers is another one
    rates = truth + rng.normal(size=truth.shape)

    each = metrics.r2_per_neuron(truth, rates)

    np.testing.assert_array_equal(np.isnan(each), [False, True, False])
    assert metrics.mean_r2(truth, rates) == pytest.approx(each[[0, 2]].mean())


def test_r2_of_nothing_but_constant_neurons_is_unknown():
    assert math.isnan(metrics.mean_r2(np.ones((4, 2)), np.zeros((4, 2))))


def test_pooled_squared_pearson_is_the_squared_correlation_of_all_values():
    rng = np.random.default_rng(0)
    truth = rng.gamma(2.0, size=(10, 20, 3))
    rates = truth + rng.normal(size=truth.shape)

    expected = np.corrcoef(truth.ravel(), rates.ravel())[0, 1] ** 2
    assert metrics.pooled_squared_pearson(truth, rates) == pytest.approx(expected)


def test_pooled_squared_pearson_forgives_scale_and_offset_and_r2_does_not():
    truth = np.random.default_rng(0).gamma(2.0, size=(10, 20, 3))

    assert metrics.pooled_squared_pearson(truth, 3 * truth + 1) == pytest.approx(1)
    assert metrics.mean_r2(truth, 3 * truth + 1) < 0


def test_a_constant_side_has_no_correlation():
    truth = np.random.default_rng(0).gamma(2.0, size=(4, 2))

    assert math.isnan(metrics.pooled_squared_pearson(truth, np.ones((4, 2))))
    assert math.isnan(metrics.pooled_squared_pearson(np.ones((4, 2)), truth))
