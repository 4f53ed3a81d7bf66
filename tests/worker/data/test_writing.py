"""Synthetic recordings on disk: read back, whole or absent, never silently replaced."""

import h5py
import numpy as np
import pytest

from autolfads_spec.data import DataSpec
from lfads_worker.data import writing
from lfads_worker.data.check import check
from lfads_worker.data.files import load_spikes
from lfads_worker.data.synthetic import chaotic_rnn, lorenz
from lfads_worker.data.writing import write_hdf5
from lfads_worker.errors import OutputError


@pytest.fixture
def made():
    return chaotic_rnn(neurons=6, conditions=4, trials_per_condition=5, bins=30, pulse=True)


def test_our_reader_takes_the_file_without_a_word_of_yaml(tmp_path, made):
    path = write_hdf5(made, tmp_path / "new" / "a.h5")

    data = load_spikes(DataSpec(uri=str(path), external_inputs="inputs"))

    assert np.array_equal(data.spikes, made.spikes)
    assert np.allclose(data.true_rates, made.true_rates)
    assert np.array_equal(data.external_inputs, made.inputs)
    assert np.array_equal(data.conditions, made.conditions)
    assert data.bin_width_ms == 10
    assert data.orientation_confirmed
    assert data.notes == ()


def test_equal_sizes_on_all_axes_leave_no_doubt(tmp_path):
    made = chaotic_rnn(neurons=10, conditions=5, trials_per_condition=2, bins=10)

    data = load_spikes(DataSpec(uri=str(write_hdf5(made, tmp_path / "a.h5"))))

    assert np.array_equal(data.spikes, made.spikes)
    assert data.orientation.endswith("confirmed: the file says TrialsTimeNeurons")


def test_a_lorenz_recording_passes_the_check(tmp_path):
    made = lorenz(conditions=20, trials_per_condition=6)

    report = check(load_spikes(DataSpec(uri=str(write_hdf5(made, tmp_path / "a.h5")))))

    assert report.warnings == []


def test_latents_and_settings_are_kept(tmp_path, made):
    with h5py.File(write_hdf5(made, tmp_path / "a.h5")) as file:
        assert np.allclose(file["latents"][()], made.latents, atol=1e-6)
        assert file.attrs["made_with_system"] == "chaotic-rnn"
        assert file.attrs["made_with_seed"] == 0


def test_the_same_data_give_the_same_bytes(tmp_path, made):
    first, second = write_hdf5(made, tmp_path / "a.h5"), write_hdf5(made, tmp_path / "b.h5")

    assert first.read_bytes() == second.read_bytes()


def test_an_existing_file_is_replaced_only_on_request(tmp_path, made):
    path = tmp_path / "a.h5"
    path.write_text("mine")

    with pytest.raises(OutputError, match="a new file is wanted, one is there already"):
        write_hdf5(made, path)
    assert path.read_text() == "mine"

    write_hdf5(made, path, overwrite=True)
    assert h5py.is_hdf5(path)


def test_a_write_that_fails_leaves_nothing_behind(tmp_path, made, monkeypatch):
    def run_out_of_space(data, path):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "_write", run_out_of_space)

    with pytest.raises(OutputError, match=r"a\.h5: .*No space left on device; choose another path"):
        write_hdf5(made, tmp_path / "a.h5")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path, made):
    (tmp_path / "file").write_text("")

    with pytest.raises(OutputError, match="a file that can be written is wanted"):
        write_hdf5(made, tmp_path / "file" / "a.h5")


def test_large_counts_are_not_cut(tmp_path, made):
    made.spikes[0, 0, 0] = 300

    assert load_spikes(DataSpec(uri=str(write_hdf5(made, tmp_path / "a.h5")))).spikes[0, 0, 0] == 300
