import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

from lfads_worker.results import rates_hdf5
from lfads_worker.results.quantities import all_quantities

# What the output file of lfads-torch holds, per split.
LFADS_TORCH = (
    "output_params",
    "factors",
    "ic_mean",
    "ic_std",
    "co_means",
    "co_stds",
    "gen_states",
    "gen_init",
    "gen_inputs",
    "con_states",
    "encod_data",
    "recon_data",
)
# What posterior_samples.h5 of autolfads-tf2 holds, per split.
AUTOLFADS_TF2 = (
    "rates",
    "factors",
    "gen_states",
    "gen_inputs",
    "gen_init",
    "ic_post_mean",
    "ic_post_logvar",
    "inds",
)
MERGED = (
    "rates",
    "rates_std",
    "rates_hz",
    "rates_hz_std",
    "factors",
    "factors_std",
    "generator_states",
    "generator_states_std",
    "inferred_inputs",
    "inferred_inputs_std",
    "generator_inputs",
    "controller_states",
    "co_means",
    "co_stds",
    "ic_mean",
    "ic_std",
    "initial_states",
    "initial_states_std",
    "spikes",
    "true_rates",
    "true_rates_hz",
    "conditions",
)


@pytest.fixture
def write(tmp_path, posterior, provenance):
    def write_file(recording, output_distribution="Poisson"):
        path = tmp_path / "rates.h5"
        quantities = all_quantities(recording, posterior, output_distribution)
        rates_hdf5.write(path, quantities, recording, provenance, posterior.samples)
        return h5py.File(path, "r")

    return write_file


@pytest.mark.parametrize("split", ["train", "valid"])
@pytest.mark.parametrize("names", [LFADS_TORCH, AUTOLFADS_TF2], ids=["lfads-torch", "autolfads-tf2"])
def test_the_names_of_other_programs_are_there(write, recording, split, names):
    with write(recording) as file:
        assert {f"{split}_{name}" for name in names} <= set(file)


def test_merged_arrays_are_in_trial_order(write, recording, posterior):
    with write(recording) as file:
        assert set(MERGED) <= set(file)
        np.testing.assert_array_equal(file["rates"][()], posterior.rates)
        np.testing.assert_array_equal(file["initial_states_std"][()], posterior.initial_states_std)
        np.testing.assert_array_equal(file["conditions"][()], recording.conditions)


def test_train_and_valid_put_together_by_inds_are_the_merged_arrays(write, recording):
    with write(recording) as file:
        for short, name in [
            ("rates", "rates"),
            ("gen_states", "generator_states"),
            ("gen_init", "initial_states"),
        ]:
            rebuilt = np.full(file[name].shape, np.nan, np.float32)
            for split in ("train", "valid"):
                rebuilt[file[f"{split}_inds"][()]] = file[f"{split}_{short}"][()]
            np.testing.assert_array_equal(rebuilt, file[name][()])


def test_every_split_array_holds_its_own_quantity(write, recording, posterior):
    expected = {
        "output_params": posterior.rates,
        "output_params_std": posterior.rates_std,
        "factors": posterior.factors,
        "factors_std": posterior.factors_std,
        "ic_mean": posterior.ic_mean,
        "ic_std": posterior.ic_std,
        "co_means": posterior.co_means,
        "co_stds": posterior.co_stds,
        "gen_states": posterior.generator_states,
        "gen_states_std": posterior.generator_states_std,
        "gen_init": posterior.initial_states,
        "gen_init_std": posterior.initial_states_std,
        "gen_inputs": posterior.generator_inputs,
        "inferred_inputs": posterior.inferred_inputs,
        "inferred_inputs_std": posterior.inferred_inputs_std,
        "con_states": posterior.controller_states,
        "recon_data": recording.spikes,
        "encod_data": recording.spikes[:, :5, :4],
        "truth": recording.true_rates,
        "ic_post_logvar": np.log(posterior.ic_std**2),
    }
    with write(recording) as file:
        for name, values in expected.items():
            np.testing.assert_allclose(file[f"valid_{name}"][()], values[[0, 5]], rtol=1e-6, atol=1e-6)


def test_aliases_are_hard_links_that_take_no_space(write, recording):
    with write(recording) as file:
        for alias, name in [
            ("rates", "output_params"),
            ("ic_post_mean", "ic_mean"),
            ("rates_std", "output_params_std"),
        ]:
            assert isinstance(file.get(f"train_{alias}", getlink=True), h5py.HardLink)
            assert file[f"train_{alias}"] == file[f"train_{name}"]


def test_encoded_data_is_an_alias_when_nothing_is_held_out(write, recording):
    with write(replace(recording, held_in_neurons=5, encoded_bins=6)) as file:
        assert file["train_encod_data"] == file["train_recon_data"]


def test_rates_come_in_spikes_per_bin_and_per_second(write, recording):
    with write(recording) as file:
        assert file["rates"].attrs["units"] == "spikes per bin"
        assert file["rates_hz"].attrs["units"] == "spikes per second"
        np.testing.assert_allclose(file["rates_hz"][()], file["rates"][()] * 50, rtol=1e-6)  # bins of 20 ms
        np.testing.assert_allclose(file["valid_rates_hz"][()], file["valid_rates"][()] * 50, rtol=1e-6)


def test_a_gaussian_output_has_no_spikes_per_second_and_says_its_units(write, recording):
    with write(recording, "Gaussian") as file:
        assert not [name for name in file if "hz" in name]
        assert file["rates"].attrs["units"] == "units of the recording (mean of a Gaussian)"
        assert file.attrs["units"] == file["rates"].attrs["units"]


def test_every_dataset_names_its_axes_and_units(write, recording):
    with write(recording) as file:
        for name, dataset in file.items():
            assert len(dataset.attrs["axes"]) == dataset.ndim, name
            assert dataset.attrs["units"], name
        assert list(file["rates"].attrs["axes"]) == ["trials", "time", "neurons"]
        assert list(file["initial_states"].attrs["axes"]) == ["trials", "generator_units"]


def test_arrays_are_compressed(write, recording):
    with write(recording) as file:
        assert (file["rates"].compression, file["rates"].shuffle) == ("gzip", True)


def test_the_file_says_where_it_comes_from(write, recording, provenance):
    with write(recording) as file:
        attributes = dict(file.attrs)
    assert attributes.pop("code_version")
    assert json.loads(attributes.pop("hyperparameters")) == provenance.hyperparameters
    assert attributes == {
        "format": "autolfads rates 1",
        "run_name": "demo",
        "seed": 7,
        "data_source": "data.h5",
        "data_fingerprint": "ab" * 32,
        "output_distribution": "Poisson",
        "generation": 1,
        "member": 2,
        "score": 0.25,
        "posterior_samples": 50,
        "bin_width_ms": 20.0,
        "units": "spikes per bin",
        "held_in_neurons": 4,
        "encoded_bins": 5,
    }


def test_a_model_without_controller_and_a_recording_without_truth_are_written_too(
    tmp_path, recording, posterior, provenance
):
    bare = replace(recording, true_rates=None, conditions=None)
    nothing = posterior.inferred_inputs[..., :0]
    without = posterior._replace(inferred_inputs=nothing, co_means=nothing, controller_states=nothing)

    quantities = all_quantities(bare, without, "Poisson")
    rates_hdf5.write(tmp_path / "rates.h5", quantities, bare, provenance, 50)

    with h5py.File(tmp_path / "rates.h5") as file:
        assert file["inferred_inputs"].shape == (10, 6, 0)
        assert file["train_con_states"].shape == (8, 6, 0)
        assert not {"true_rates", "train_truth", "conditions"} & set(file)


def test_words_for_conditions_are_written_beside_their_numbers_and_always_the_same(
    tmp_path, recording, posterior, provenance
):
    named = replace(recording, condition_names=("left", "réach up", "go"))
    quantities = all_quantities(named, posterior, "Poisson")

    for name in ("one.h5", "two.h5"):
        rates_hdf5.write(tmp_path / name, quantities, named, provenance, 50)

    with h5py.File(tmp_path / "one.h5") as file:
        assert file["condition_names"].asstr()[:].tolist() == ["left", "réach up", "go"]
        np.testing.assert_array_equal(file["conditions"][:], recording.conditions)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


def test_chunks_hold_whole_trials(tmp_path, recording, posterior, provenance, monkeypatch):
    monkeypatch.setattr(rates_hdf5, "CHUNK_BYTES", 3 * 6 * 5 * 4)  # three trials of 6 bins and 5 neurons

    rates_hdf5.write(
        tmp_path / "rates.h5", all_quantities(recording, posterior, "Poisson"), recording, provenance, 50
    )

    with h5py.File(tmp_path / "rates.h5") as file:
        assert file["rates"].chunks == (3, 6, 5)
        np.testing.assert_array_equal(file["rates"][()], posterior.rates)
