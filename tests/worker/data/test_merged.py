"""LFADS and lfads-torch files: two parts, one recording in trial order."""

import numpy as np
import pytest

from lfads_worker.errors import DataError

TRAIN, VALID = [0, 2, 3, 5], [1, 4]


def lfads_file(spikes, first=0, **more):
    return {
        "train_data": spikes[TRAIN],
        "valid_data": spikes[VALID],
        "train_inds": np.array(TRAIN) + first,
        "valid_inds": np.array(VALID) + first,
        **more,
    }


def torch_file(spikes, bins=6, neurons=3):
    return {
        "train_encod_data": spikes[TRAIN][:, :bins, :neurons],
        "train_recon_data": spikes[TRAIN],
        "valid_encod_data": spikes[VALID][:, :bins, :neurons],
        "valid_recon_data": spikes[VALID],
    }


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("name", ["a.h5", "a.npz"])
def test_an_lfads_file_is_merged_in_trial_order(load, make_counts, name, first):
    spikes = make_counts()

    data = load(name, lfads_file(spikes, first))

    assert np.array_equal(data.spikes, spikes)
    assert data.train.tolist() == TRAIN
    assert data.valid.tolist() == VALID
    assert data.split.endswith("merged in trial order by train_inds and valid_inds")
    assert data.orientation_confirmed


def test_the_files_split_wins_over_run_yaml(load, make_counts):
    data = load("a.h5", lfads_file(make_counts()), validation={"fraction": 0.5, "seed": 3})

    assert data.valid.tolist() == VALID


def test_trial_numbers_with_gaps_keep_their_order(load, make_counts):
    spikes = make_counts()
    file = lfads_file(spikes)
    file["train_inds"], file["valid_inds"] = np.array(TRAIN) * 10 + 3, np.array(VALID) * 10 + 3

    assert np.array_equal(load("a.h5", file).spikes, spikes)


def test_without_trial_numbers_training_trials_come_first(load, make_counts):
    spikes = make_counts()

    data = load("a.h5", {"train_data": spikes[TRAIN], "valid_data": spikes[VALID]})

    assert np.array_equal(data.spikes, spikes[TRAIN + VALID])
    assert data.train.tolist() == [0, 1, 2, 3]
    assert data.valid.tolist() == [4, 5]
    assert "training trials first" in data.split


def test_truth_and_external_inputs_are_merged_too(load, make_counts):
    spikes = make_counts()
    truth, inputs = spikes * 3.0, spikes[:, :, :2] + 0.5
    more = {"conversion_factor": 3.0}
    for part, trials in (("train", TRAIN), ("valid", VALID)):
        more[f"{part}_truth"], more[f"{part}_ext_input"] = truth[trials], inputs[trials]

    used = load("a.h5", lfads_file(spikes, **more), external_inputs="ext_input")
    unused = load("b.h5", lfads_file(spikes, **more))

    assert np.allclose(used.true_rates, spikes)
    assert np.array_equal(used.external_inputs, inputs)
    assert unused.n_features == 0
    assert "train_ext_input is not used; data.externalInputs: ext_input would use it" in unused.notes


def test_matlab_may_write_the_lfads_layout_its_own_way_round(load, make_counts):
    spikes = make_counts()
    file = {name: array.T if array.ndim == 3 else array for name, array in lfads_file(spikes, 1).items()}

    for name in ("a.mat", "a.v73.mat"):
        assert np.array_equal(load(name, file).spikes, spikes)


def test_an_lfads_file_turned_the_other_way_is_refused_until_layout_says_so(load, make_counts):
    spikes = make_counts()
    file = {name: array.T if array.ndim == 3 else array for name, array in lfads_file(spikes).items()}

    with pytest.raises(DataError, match=r"which makes the last axis trials; set data\.layout"):
        load("a.h5", file)
    assert np.array_equal(load("b.h5", file, layout="NeuronsTimeTrials").spikes, spikes)


def test_lfads_torch_shapes_say_what_is_held_out(load, make_counts):
    spikes = make_counts()

    data = load("a.h5", torch_file(spikes) | {"test_encod_data": spikes[:1, :6, :3]})

    assert np.array_equal(data.spikes, spikes[TRAIN + VALID])
    assert data.held_in_neurons == 3
    assert data.encoded_bins == 6
    assert "test_encod_data has no counts to predict and was left aside" in data.notes


def test_lfads_torch_without_anything_held_out(load, make_counts):
    data = load("a.h5", torch_file(make_counts(), bins=8, neurons=4))

    assert data.held_out_neurons == 0
    assert data.forward_bins == 0


def test_forward_bins_of_the_file_are_rebinned(load, make_counts):
    data = load("a.h5", torch_file(make_counts()), rebin_ms=20.0)

    assert data.time == 4
    assert data.encoded_bins == 3


def test_run_yaml_may_repeat_what_the_file_says_but_not_contradict(load, make_counts):
    assert load("a.h5", torch_file(make_counts()), held_out_neurons=1).held_in_neurons == 3
    with pytest.raises(DataError, match=r"data\.heldOutNeurons: 2 is given, the shapes in the file say 1"):
        load("b.h5", torch_file(make_counts()), held_out_neurons=2)


def test_encoded_data_must_be_the_beginning_of_the_predicted(load, make_counts):
    file = torch_file(make_counts())
    file["valid_encod_data"] = file["valid_encod_data"][:, ::-1]

    with pytest.raises(
        DataError, match="valid_encod_data: the first bins and neurons of valid_recon_data are wanted"
    ):
        load("a.h5", file)
