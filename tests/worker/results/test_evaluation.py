import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from lfads_worker.results.evaluation import evaluate


def bits(rates, spikes):
    """Bits per spike, from scipy's Poisson distribution."""
    null = np.broadcast_to(spikes.mean((0, 1)), spikes.shape)
    gain = stats.poisson.logpmf(spikes, rates).sum() - stats.poisson.logpmf(spikes, null).sum()
    return gain / spikes.sum() / math.log(2)


@pytest.mark.parametrize(
    ("part", "bins", "neurons"),
    [
        ("held_in", slice(0, 5), slice(0, 4)),
        ("held_out", slice(0, 5), slice(4, 5)),
        ("forward", slice(5, 6), slice(0, 5)),
    ],
)
@pytest.mark.parametrize("split", ["train", "valid"])
def test_each_part_is_judged_on_its_own_trials_bins_and_neurons(
    recording, posterior, split, part, bins, neurons
):
    trials = getattr(recording, split)
    cut = lambda values: values[trials, bins, neurons].astype(np.float64)  # noqa: E731

    found = evaluate(recording, posterior, "Poisson", 0)[split][part]

    oracle = bits(cut(recording.true_rates), cut(recording.spikes))
    ours = bits(cut(posterior.rates), cut(recording.spikes))
    nll = -stats.poisson.logpmf(cut(recording.spikes), cut(posterior.rates)).mean()
    assert found["bits_per_spike"] == pytest.approx(ours)
    assert found["nll"] == pytest.approx(nll)
    assert found["oracle_bits_per_spike"] == pytest.approx(oracle)
    assert found["share_of_oracle"] == (pytest.approx(ours / oracle) if oracle > 0 else None)


def test_agreement_with_true_rates_is_per_neuron_and_pooled(recording, posterior):
    found = evaluate(recording, posterior, "Poisson", 0)["valid"]["true_rates"]

    truth, inferred = (
        values[recording.valid].astype(np.float64).reshape(-1, 5)
        for values in (recording.true_rates, posterior.rates)
    )
    r2 = 1 - ((truth - inferred) ** 2).sum(0) / ((truth - truth.mean(0)) ** 2).sum(0)
    np.testing.assert_allclose(found["r2_per_neuron"], r2)
    assert found["r2_mean"] == pytest.approx(r2.mean())
    assert found["pooled_squared_pearson"] == pytest.approx(
        np.corrcoef(truth.ravel(), inferred.ravel())[0, 1] ** 2
    )


def test_the_true_rates_themselves_reach_all_of_the_oracle(recording, posterior):
    perfect = posterior._replace(rates=recording.true_rates)

    found = evaluate(recording, perfect, "Poisson", 0)["train"]

    assert found["held_in"]["share_of_oracle"] == pytest.approx(1)
    assert found["true_rates"]["r2_mean"] == pytest.approx(1)


def test_what_a_recording_does_not_have_is_none(recording, posterior):
    plain = replace(recording, held_in_neurons=5, encoded_bins=6, true_rates=None)

    found = evaluate(plain, posterior, "Poisson", 0)["valid"]

    assert found["held_out"] is None
    assert found["forward"] is None
    assert found["true_rates"] is None
    assert set(found["held_in"]) == {"nll", "bits_per_spike"}


def test_bins_of_the_initial_condition_segment_are_left_out(recording, posterior):
    rates = posterior.rates.copy()
    rates[:, :2] = np.nan

    found = evaluate(recording, posterior._replace(rates=rates), "Poisson", 2)

    spikes = recording.spikes[recording.valid, 2:5, :4].astype(np.float64)
    expected = bits(posterior.rates[recording.valid, 2:5, :4].astype(np.float64), spikes)
    assert found["valid"]["held_in"]["bits_per_spike"] == pytest.approx(expected)
    assert np.isfinite(found["valid"]["true_rates"]["r2_mean"])


def test_a_gaussian_output_is_judged_by_its_squared_error(recording, posterior):
    found = evaluate(recording, posterior, "Gaussian", 0)["valid"]["held_in"]

    difference = (posterior.rates - recording.spikes)[recording.valid, :5, :4]
    assert found == {"mean_squared_error": pytest.approx((difference**2).mean())}
