"""From a path to `SpikeData`, whatever the file is called."""

import hashlib

import numpy as np
import pytest

from autolfads_spec.data import DataSpec
from lfads_worker.data.check import check
from lfads_worker.data.files import load_new_trials, load_spikes
from lfads_worker.errors import DataError


@pytest.mark.parametrize("name", ["a.mat", "a.v73.mat", "a.h5", "a.npz"])
def test_the_first_bytes_decide_and_not_the_name(tmp_path, write_file, make_counts, name):
    spikes = make_counts()
    stored = spikes.T if ".mat" in name else spikes
    path = write_file(tmp_path / name, {"spikes": stored, "condition": np.arange(6), "binWidthMs": 10.0})
    renamed = path.rename(tmp_path / "recording.dat")

    data = load_spikes(DataSpec(uri=str(renamed)))

    assert np.array_equal(data.spikes, spikes)
    assert data.source == str(renamed)
    assert data.fingerprint == hashlib.sha256(renamed.read_bytes()).hexdigest()


@pytest.mark.parametrize(("name", "kind"), [("a.mat", "Matlab"), ("a.v73.mat", "Matlab"), ("a.npz", "Npz")])
def test_a_format_that_the_file_has_passes(load, make_counts, name, kind):
    spikes = make_counts()

    assert load(name, {"spikes": spikes}, format=kind, layout="TrialsTimeNeurons").trials == 6


def test_an_hdf5_file_called_mat_is_matlabs_only_when_run_yaml_says_so(tmp_path, write_file, make_counts):
    spikes = make_counts()
    path = write_file(tmp_path / "a.h5", {"spikes": spikes}).rename(tmp_path / "a.mat")

    with pytest.raises(DataError, match=r"data\.format: MATLAB's marks are wanted in a \.mat file"):
        load_spikes(DataSpec(uri=str(path), bin_width_ms=10.0))
    data = load_spikes(DataSpec(uri=str(path), bin_width_ms=10.0, format="Matlab"))
    assert np.array_equal(data.spikes, spikes)


@pytest.mark.parametrize("name", ["a.mat", "a.v73.mat", "a.h5", "a.npz"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_damaged_file_is_refused_in_a_sentence(tmp_path, write_file, make_counts, name, kept):
    path = write_file(tmp_path / name, {"spikes": make_counts(trials=40), "binWidthMs": 10.0})
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])

    with pytest.raises(DataError) as refused:
        load_spikes(DataSpec(uri=str(path), layout="TrialsTimeNeurons"))
    assert len(str(refused.value)) < 400


def test_a_single_new_trial_is_enough_and_counts_as_validation(tmp_path, write_file, make_counts):
    path = write_file(tmp_path / "a.npz", {"spikes": make_counts(trials=1), "binWidthMs": 10.0})
    asked = DataSpec(uri=str(path), layout="TrialsTimeNeurons")

    data = load_new_trials(asked)

    assert (data.train.tolist(), data.valid.tolist()) == ([], [0])
    with pytest.raises(DataError, match="at least 2 training trials"):
        load_spikes(asked)


def test_new_trials_are_what_training_would_read(tmp_path, write_file, make_counts):
    path = write_file(tmp_path / "a.npz", {"spikes": make_counts(trials=12), "binWidthMs": 10.0})
    asked = DataSpec(uri=str(path), layout="TrialsTimeNeurons", rebin_ms=20.0, held_out_neurons=1)

    new, trained_on = load_new_trials(asked), load_spikes(asked)

    assert np.array_equal(new.spikes, trained_on.spikes)
    assert new.held_in_neurons == trained_on.held_in_neurons
    assert new.valid.tolist() == list(range(12))


def test_the_real_recording_is_read_from_its_matlab_layout(reach):
    data = load_spikes(DataSpec(uri=str(reach), rebin_ms=10.0, held_out_neurons=15))

    report = check(data)

    assert data.spikes.shape == (210, 40, 61)
    assert data.held_in_neurons == 46
    assert data.valid.tolist() == list(range(0, 210, 5))
    assert data.conditions.tolist() == sorted(list(range(1, 8)) * 30)
    assert data.orientation.endswith("confirmed: condition has 210 values")
    assert report.mean_rate == pytest.approx(9.83, abs=0.01)
    assert report.silent_neurons == []
    assert report.duplicate_neurons == []


def test_the_real_recording_without_conditions_is_still_told_by_its_counts(reach, tmp_path):
    import scipy.io

    spikes = scipy.io.loadmat(reach)["spikes"]
    for name, array in (("right", spikes), ("wrong", spikes.T), ("time first", spikes.transpose(1, 0, 2))):
        scipy.io.savemat(tmp_path / f"{name}.mat", {"spikes": array, "binWidthMs": 1.0})

    right = load_spikes(DataSpec(uri=str(tmp_path / "right.mat"), rebin_ms=10.0))

    assert right.orientation.endswith("only that axis varies in rate like neurons do")
    for name in ("wrong", "time first"):
        with pytest.raises(DataError, match="varies in rate like neurons do"):
            load_spikes(DataSpec(uri=str(tmp_path / f"{name}.mat"), rebin_ms=10.0))
