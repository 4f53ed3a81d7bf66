"""Rebinning, splitting, holding out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolfads_spec.data import DataSpec, ValidationSplit
from lfads_worker.data.preparation import bin_width, rebin, split_trials
from lfads_worker.errors import DataError


@given(st.integers(1, 20), st.integers(1, 25), st.integers(0, 99))
def test_rebinning_sums_neighbouring_bins_and_drops_the_rest(factor, bins, seed):
    counts = np.random.default_rng(seed).integers(0, 255, (2, bins, 3)).astype(np.uint8)
    whole = bins // factor

    summed = rebin(counts, factor)

    assert summed.shape == (2, whole, 3)
    assert summed.dtype == np.float32
    for new in range(whole):
        expected = sum(counts[:, new * factor + i].astype(int) for i in range(factor))
        assert np.array_equal(summed[:, new], expected)


def test_levels_are_averaged():
    assert rebin(np.array([[[1.0], [3.0], [5.0], [9.0]]]), 2, mean=True).ravel().tolist() == [2, 7]


@given(st.integers(2, 300), st.integers(2, 20))
def test_every_nth_trial_from_the_first_is_for_validation(trials, nth):
    split = split_trials(trials, ValidationSplit(every_nth=nth))

    assert split.valid.tolist() == list(range(0, trials, nth))
    assert sorted([*split.train, *split.valid]) == list(range(trials))


@given(st.integers(2, 300), st.floats(0.001, 0.999), st.integers(0, 50))
def test_a_fraction_is_drawn_from_the_seed_with_a_trial_on_each_side(trials, fraction, seed):
    split = split_trials(trials, ValidationSplit(fraction=fraction, seed=seed))

    again = split_trials(trials, ValidationSplit(fraction=fraction, seed=seed))

    assert np.array_equal(split.valid, again.valid)
    assert sorted([*split.train, *split.valid]) == list(range(trials))
    assert len(split.train) >= 1
    assert len(split.valid) >= 1
    assert abs(len(split.valid) - fraction * trials) <= 1
    assert np.array_equal(split.valid, np.sort(split.valid))


def test_another_seed_draws_other_trials():
    draws = {tuple(split_trials(40, ValidationSplit(fraction=0.2, seed=seed)).valid) for seed in range(5)}

    assert len(draws) == 5


@pytest.mark.parametrize(
    ("in_file", "asked", "rebin_ms", "expected"),
    [
        (1.0, None, None, (1.0, 1)),
        (None, 5.0, None, (5.0, 1)),
        (5.0, 5.0, 20.0, (20.0, 4)),
        (0.1, None, 0.3, (pytest.approx(0.3), 3)),
        (10.0, None, 10.0, (10.0, 1)),
    ],
)
def test_the_new_bin_is_a_whole_multiple(in_file, asked, rebin_ms, expected):
    assert bin_width(in_file, DataSpec(uri="a", bin_width_ms=asked, rebin_ms=rebin_ms)) == expected


@pytest.mark.parametrize("in_file", [0.0, -1.0, float("nan"), float("inf")])
def test_a_width_in_the_file_that_is_none_is_refused(in_file):
    with pytest.raises(DataError, match=r"data\.binWidthMs: a width above 0 ms is wanted"):
        bin_width(in_file, DataSpec(uri="a"))


def test_everything_is_rebinned_together(load, make_counts):
    spikes = make_counts(time=9)
    truth = spikes + 0.5

    data = load(
        "a.npz",
        {"spikes": spikes, "truth": truth, "u": truth[:, :, :1], "condition": np.arange(6)},
        rebin_ms=20.0,
        external_inputs="u",
    )

    pairs = truth[:, :8].reshape(6, 4, 2, 4)
    assert data.bin_width_ms == 20
    assert np.array_equal(data.spikes, spikes[:, :8].reshape(6, 4, 2, 4).sum(axis=2))
    assert np.allclose(data.true_rates, pairs.sum(axis=2))
    assert np.allclose(data.external_inputs, pairs.mean(axis=2)[:, :, :1])
    assert "the last 1 of 9 bins do not fill a bin of 20 ms and were dropped" in data.notes


def test_gaussian_observations_are_averaged(load, make_counts):
    values = make_counts() - 0.5

    data = load(
        "a.npz", {"spikes": values, "condition": np.arange(6)}, observations="Gaussian", rebin_ms=20.0
    )

    assert np.allclose(data.spikes, values.reshape(6, 4, 2, 4).mean(axis=2))


def test_the_last_neurons_and_bins_are_held_out(load, make_counts):
    data = load("a.npz", {"spikes": make_counts()}, held_out_neurons=1, forward_bins=2, rebin_ms=20.0)

    assert (data.held_in_neurons, data.held_out_neurons) == (3, 1)
    assert (data.encoded_bins, data.forward_bins) == (2, 2)


def test_new_bins_may_not_straddle_the_files_forward_bins(load, make_counts):
    spikes = make_counts(time=9)
    file = {"train_spikes_heldin": spikes[:, :5], "train_spikes_heldin_forward": spikes[:, 5:]}

    with pytest.raises(DataError, match="5 encoded bins do not divide by 2; choose another"):
        load("a.h5", file, rebin_ms=20.0)
