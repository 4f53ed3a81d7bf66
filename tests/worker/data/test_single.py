"""One variable: arrays, structs and cells, from every kind of file."""

import h5py
import numpy as np
import pytest

from autolfads_spec.data import DataSpec
from lfads_worker.data.files import load_spikes
from lfads_worker.errors import DataError

MATLAB_FILES = [pytest.param("a.mat", id="v5"), pytest.param("a.v73.mat", id="v7.3")]


@pytest.mark.parametrize("name", MATLAB_FILES)
def test_a_matlab_array_is_turned_to_trials_time_neurons(load, make_counts, name):
    spikes = make_counts()

    data = load(name, {"spikes": spikes.T, "condition": np.array([[1, 1, 2, 2, 3, 3]]), "binWidthMs": 5.0})

    assert np.array_equal(data.spikes, spikes)
    assert data.spikes.dtype == np.float32
    assert data.conditions.tolist() == [1, 1, 2, 2, 3, 3]
    assert data.bin_width_ms == 5
    assert data.orientation == (
        "neurons x time x trials, the convention of a MATLAB file; confirmed: condition has 6 values"
    )


@pytest.mark.parametrize("name", ["a.h5", "a.npz"])
def test_a_python_array_is_taken_as_it_is(load, make_counts, name):
    spikes = make_counts()

    data = load(name, {"spikes": spikes, "condition": np.arange(6)})

    assert np.array_equal(data.spikes, spikes)
    assert data.orientation_confirmed


@pytest.mark.parametrize("name", [*MATLAB_FILES, "a.h5", "a.npz"])
@pytest.mark.parametrize("layout", ["NeuronsTimeTrials", "TrialsTimeNeurons"])
def test_data_layout_is_what_the_writing_program_shows(load, make_counts, name, layout):
    spikes = make_counts()
    stored = spikes if layout == "TrialsTimeNeurons" else spikes.T

    data = load(name, {"spikes": stored}, layout=layout)

    assert np.array_equal(data.spikes, spikes)
    assert data.orientation.endswith("as data.layout says")


@pytest.mark.parametrize("name", MATLAB_FILES)
def test_a_struct_array_of_trials_is_read(load, make_counts, name):
    spikes = make_counts()
    trials = [
        {"data": trial.T, "condition": f"reach{i % 2}", "binWidthMs": np.array([[20.0]])}
        for i, trial in enumerate(spikes)
    ]

    data = load(name, {"D": trials}, variable="D", bin_width_ms=None)

    assert np.array_equal(data.spikes, spikes)
    assert data.conditions.tolist() == [0, 1, 0, 1, 0, 1]
    assert data.bin_width_ms == 20


@pytest.mark.parametrize("name", MATLAB_FILES)
def test_the_spikes_of_a_struct_array_may_have_another_name(load, make_counts, name):
    spikes = make_counts()
    trials = [{"counts": trial.T, "condition": float(i)} for i, trial in enumerate(spikes)]

    data = load(name, {"D": trials}, variable="D.counts")

    assert np.array_equal(data.spikes, spikes)
    assert data.conditions.tolist() == list(range(len(spikes)))


@pytest.mark.parametrize("name", MATLAB_FILES)
def test_a_bin_width_beside_the_struct_array_counts(load, make_counts, name):
    trials = [{"spikes": trial.T} for trial in make_counts()]

    assert load(name, {"spikes": trials, "binWidthMs": 4.0}).bin_width_ms == 4


@pytest.mark.parametrize("name", MATLAB_FILES)
@pytest.mark.parametrize("layout", ["Auto", "TrialsTimeNeurons"])
def test_a_cell_array_of_trials_is_read(load, make_counts, name, layout):
    spikes = make_counts()
    truth = spikes + 0.5
    turn = np.transpose if layout == "Auto" else np.asarray

    data = load(
        name,
        {
            "spikes": [turn(trial) for trial in spikes],
            "truth": [turn(trial) for trial in truth],
            "u": [turn(trial[:, :2]) for trial in spikes],
            "condition": np.arange(6),
        },
        layout=layout,
        external_inputs="u",
    )

    assert np.array_equal(data.spikes, spikes)
    assert np.array_equal(data.true_rates, truth)
    assert np.array_equal(data.external_inputs, spikes[:, :, :2])


@pytest.mark.parametrize("name", MATLAB_FILES)
def test_a_scalar_struct_may_hold_the_recording(load, make_counts, name):
    spikes = make_counts()
    session = {"spikes": spikes.T, "condition": np.arange(6), "binWidthMs": np.array([[2.0]])}

    by_struct = load(name, {"session": session}, variable="session", bin_width_ms=None)
    by_dots = load(name, {"session": session}, variable="session.spikes", bin_width_ms=None)

    for data in (by_struct, by_dots):
        assert np.array_equal(data.spikes, spikes)
        assert data.bin_width_ms == 2
        assert data.conditions.tolist() == list(range(6))


def test_an_hdf5_group_brings_its_neighbours(tmp_path, make_counts):
    spikes = make_counts()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["day1/spikes"] = spikes
        file["day1/condition"] = np.arange(6)
        file["condition"] = np.arange(99)  # not this one
        file.attrs["bin_width_ms"] = 10

    data = load_spikes(DataSpec(uri=str(tmp_path / "a.h5"), variable="day1/spikes"))

    assert data.conditions.tolist() == list(range(6))
    assert data.bin_width_ms == 10


@pytest.mark.parametrize("name", ["spikes", "spike", "data"])
def test_the_usual_names_are_found(load, make_counts, name):
    assert load("a.npz", {"other": np.ones(3), name: make_counts()}).trials == 6


def test_spikes_goes_before_data(load, make_counts):
    data = load("a.npz", {"data": make_counts(trials=9), "spikes": make_counts(trials=6)})

    assert data.trials == 6


def test_the_files_own_split_is_used_and_said(load, make_counts):
    data = load(
        "a.mat",
        {"spikes": make_counts().T, "train_inds": np.array([[1, 2, 4, 6]]), "valid_inds": np.array([[3, 5]])},
    )

    assert data.train.tolist() == [0, 1, 3, 5]
    assert data.valid.tolist() == [2, 4]
    assert data.split == "train_inds and valid_inds in the file, counted from 1"


def test_a_struct_path_that_leads_nowhere_lists_what_there_is(load, make_counts):
    with pytest.raises(
        DataError, match=r"session.spike is wanted, of session it holds spikes \(4 x 8 x 6 uint8\)"
    ):
        load("a.mat", {"session": {"spikes": make_counts().T}}, variable="session.spike")
    with pytest.raises(DataError, match=r"x.spikes is wanted, x is 4 x 8 x 6 uint8"):
        load("a.mat", {"x": make_counts().T}, variable="x.spikes")
