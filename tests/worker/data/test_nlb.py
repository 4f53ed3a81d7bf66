"""The Neural Latents Benchmark's tensors."""

import numpy as np
import pytest

from lfads_worker.errors import DataError


def nlb_file(spikes, bins=6, neurons=3):
    return {
        "train_spikes_heldin": spikes[:, :bins, :neurons],
        "train_spikes_heldout": spikes[:, :bins, neurons:],
        "train_spikes_heldin_forward": spikes[:, bins:, :neurons],
        "train_spikes_heldout_forward": spikes[:, bins:, neurons:],
    }


def test_the_blocks_make_one_rectangle(load, make_counts):
    spikes = make_counts(trials=10)

    data = load("a.h5", nlb_file(spikes) | {"eval_spikes_heldin": spikes[:2, :6, :3]})

    assert np.array_equal(data.spikes, spikes)
    assert data.held_in_neurons == 3
    assert data.encoded_bins == 6
    assert data.valid.tolist() == [0, 5]
    assert data.notes == ("eval_spikes_heldin: evaluation trials were left aside",)
    assert "train_spikes_heldout is 10 x 6 x 1" in data.orientation


def test_forward_bins_and_held_out_neurons_may_be_missing(load, make_counts):
    spikes = make_counts()
    file = nlb_file(spikes)

    only_held_in = load("a.h5", {"train_spikes_heldin": file["train_spikes_heldin"]})
    no_forward = load("b.h5", {key: file[key] for key in ("train_spikes_heldin", "train_spikes_heldout")})

    assert np.array_equal(only_held_in.spikes, spikes[:, :6, :3])
    assert only_held_in.held_out_neurons == 0
    assert np.array_equal(no_forward.spikes, spikes[:, :6])
    assert no_forward.forward_bins == 0


def test_behaviour_may_be_an_external_input(load, make_counts):
    file = nlb_file(make_counts(), bins=8) | {"train_behavior": np.ones((6, 8, 2))}
    file = {key: value for key, value in file.items() if not key.endswith("_forward")}

    assert load("a.h5", file, external_inputs="train_behavior").n_features == 2
    with pytest.raises(DataError, match=r"data\.externalInputs: speed is wanted"):
        load("b.h5", file, external_inputs="speed")


def test_files_of_the_preparation_helper_are_nlb_too(load, make_counts):
    spikes = make_counts()

    data = load(
        "a.h5", {"train_data": spikes[:4], "valid_data": spikes[4:]}, format="NLB", held_out_neurons=1
    )

    assert data.held_in_neurons == 3


@pytest.mark.parametrize(
    ("missing", "name"),
    [("train_spikes_heldin_forward", "heldin"), ("train_spikes_heldout_forward", "heldout")],
)
def test_a_rectangle_with_a_hole_is_refused(load, make_counts, missing, name):
    file = nlb_file(make_counts())
    del file[missing]

    with pytest.raises(
        DataError, match=f"train_spikes_{name}_forward: forward bins of all neurons or of none"
    ):
        load("a.h5", file)


def test_blocks_that_do_not_fit_are_refused(load, make_counts):
    file = nlb_file(make_counts())
    file["train_spikes_heldout_forward"] = file["train_spikes_heldout_forward"][:, :1]

    with pytest.raises(
        DataError, match=r"train_spikes_heldout_forward: 6 x 2 x 1 is wanted.*6 x 1 x 1 was found"
    ):
        load("a.h5", file)
