"""The data check: numbers to recognise a recording by, and warnings."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lfads_worker.data.check import check, duplicate_neurons, readable_bytes
from lfads_worker.data.spikes import SpikeData


def recording(trials=100, time=20, neurons=6, **changes):
    spikes = np.random.default_rng(0).poisson(0.3, (trials, time, neurons)).astype(np.float32)
    data = SpikeData(
        spikes=spikes,
        train=np.flatnonzero(np.arange(trials) % 5).astype(np.int64),
        valid=np.arange(0, trials, 5),
        held_in_neurons=neurons - 1,
        encoded_bins=time,
        bin_width_ms=10.0,
        external_inputs=np.zeros((trials, time, 0), np.float32),
        true_rates=None,
        conditions=np.arange(trials) % 4,
        fingerprint="ab",
        source="a.mat",
    )
    return replace(data, **changes)


def changed(change):
    data = recording()
    spikes = data.spikes.copy()
    change(spikes)
    return replace(data, spikes=spikes)


def test_the_numbers_are_those_of_numpy():
    data = recording()

    report = check(data, memory_bytes=3_000_000_000)

    rates = data.spikes.mean(axis=(0, 1)) * 100
    assert report.mean_rate == pytest.approx(rates.mean())
    assert report.lowest_rate == pytest.approx(rates.min())
    assert report.highest_rate == pytest.approx(rates.max())
    assert report.maximum_count == data.spikes.max()
    assert report.total_spikes == data.spikes.sum()
    assert (report.training_trials, report.validation_trials, report.conditions) == (80, 20, 4)
    assert report.trial_ms == 200
    assert report.warnings == []


def test_the_table_is_short_and_says_it_all():
    rows = dict(check(recording(), memory_bytes=3_000_000_000).rows())

    assert rows["trials"] == "100 (80 training, 20 validation)"
    assert rows["bins"] == "20 of 10 ms = 200 ms a trial"
    assert rows["neurons"] == "6 (5 held in, 1 held out)"
    assert rows["mean rate"].endswith(" spikes/s")
    assert rows["silent neurons"] == "none"
    assert rows["memory"] == "about 3.0 GB"
    assert "memory" not in dict(check(recording()).rows())
    assert len(rows) == 15


def test_the_report_goes_into_json_and_back():
    report = check(recording())

    assert json.loads(json.dumps(report.to_json(), allow_nan=False))["neurons"] == 6


def test_silent_neurons_are_found():
    def silence(spikes):
        spikes[:, :, [1, 4]] = 0

    report = check(changed(silence))

    assert report.silent_neurons == [1, 4]
    assert report.duplicate_neurons == []
    assert (
        "no spike at all from 2 neurons (1, 4); remove silent neurons from the recording" in report.warnings
    )


def test_duplicate_neurons_are_grouped():
    def copy(spikes):
        spikes[:, :, 3] = spikes[:, :, 0]
        spikes[:, :, 5] = spikes[:, :, 0]

    report = check(changed(copy))

    assert report.duplicate_neurons == [[0, 3, 5]]
    assert dict(report.rows())["duplicate neurons"] == "0 = 3 = 5"
    assert any(warning.startswith("identical spike trains: 0 = 3 = 5") for warning in report.warnings)


def test_a_pair_of_neurons_is_a_group():
    spikes = np.ones((3, 4, 2), np.float32)

    assert duplicate_neurons(spikes) == [[0, 1]]


def test_neurons_that_differ_in_one_count_are_no_duplicates():
    spikes = np.ones((3, 4, 2), np.float32)
    spikes[2, 3, 1] = 2

    assert duplicate_neurons(spikes) == []


def test_quiet_neurons_and_impossible_rates_are_warned_of():
    def quiet(spikes):
        spikes[:, :, 2] = 0
        spikes[0, 0, 2] = 1

    def loud(spikes):
        spikes[:, :, 2] = 9

    assert any(
        "less than 0.5 spikes/s from neuron 2" in warning for warning in check(changed(quiet)).warnings
    )
    assert any(
        "a neuron fires 900 spikes/s on average; check data.binWidthMs" in warning
        for warning in check(changed(loud)).warnings
    )


def test_rates_that_no_population_has_point_to_the_bin_width():
    fast = check(recording(bin_width_ms=1.0)).warnings
    slow = check(recording(bin_width_ms=1000.0)).warnings

    assert any("neurons fire 30" in warning and "check data.binWidthMs" in warning for warning in fast)
    assert any("from 6 neurons" in warning and "check data.binWidthMs" in warning for warning in slow)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        pytest.param(recording(time=101), "101 bins a trial", id="long trials"),
        pytest.param(recording(trials=50), "40 training trials are few", id="few trials"),
        pytest.param(
            recording(orientation="neurons x time x trials", orientation_confirmed=False),
            "the axes were taken as neurons x time x trials",
            id="unconfirmed axes",
        ),
        pytest.param(
            recording(true_rates=np.full((100, 20, 6), 30, np.float32)),
            "true rates average 30 a bin",
            id="rates in Hz",
        ),
        pytest.param(
            recording(true_rates=np.zeros((100, 20, 6), np.float32)), "true rates average 0", id="zero rates"
        ),
    ],
)
def test_what_may_spoil_the_result_is_warned_of(data, sentence):
    assert any(sentence in warning for warning in check(data).warnings)


def test_true_rates_that_fit_pass():
    data = recording()

    assert check(replace(data, true_rates=np.full_like(data.spikes, 0.3))).warnings == []


def test_too_little_memory_is_warned_of():
    memory = {"memory_bytes": 4_000_000_000, "available_bytes": 2_000_000_000}

    warnings = check(recording(), **memory, cure="ask for at most 2 with --workers").warnings

    assert warnings == ["training needs about 4.0 GB, found 2.0 GB here; ask for at most 2 with --workers"]
    assert check(recording(), memory_bytes=1, available_bytes=2).warnings == []


def test_gaussian_values_are_not_called_rates():
    report = check(changed(lambda spikes: spikes.__isub__(0.5)), "Gaussian")

    rows = dict(report.rows())
    assert "mean rate" not in rows
    assert not rows["mean value"].endswith("spikes/s")
    assert report.warnings == []


def test_long_lists_of_neurons_are_cut_in_sentences():
    def silence(spikes):
        spikes[:] = 0
        spikes[:, :, 0] = 1

    data = recording(neurons=20)
    spikes = data.spikes.copy()
    silence(spikes)

    report = check(replace(data, spikes=spikes))

    assert dict(report.rows())["silent neurons"] == "19: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 9 more"


def test_bytes_are_said_as_people_say_them():
    assert readable_bytes(2_340_000_000) == "2.3 GB"
    assert readable_bytes(150_000_000) == "150 MB"
