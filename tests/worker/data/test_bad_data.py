"""Recordings that cannot be used, one a row, each with the sentence the user reads.

A sentence says what was wanted, what was found and what to do; `{path}` stands for the file.
"""

import numpy as np
import pytest

from autolfads_spec.data import DataSpec
from lfads_worker.data.files import load_spikes
from lfads_worker.errors import DataError

TRIALS, TIME, NEURONS = 6, 8, 4
SPIKES = np.random.default_rng(0).poisson(1.0, (TRIALS, TIME, NEURONS)).astype(np.uint8)
CONDITION = np.arange(TRIALS)
MERGED = {"train_data": SPIKES[:4], "valid_data": SPIKES[4:]}
TORCH = {
    "train_encod_data": SPIKES[:4],
    "train_recon_data": SPIKES[:4],
    "valid_encod_data": SPIKES[4:],
    "valid_recon_data": SPIKES[4:],
}


def with_value(value, dtype=float):
    changed = SPIKES.astype(dtype)
    changed[2, 3, 1] = changed[5, 0, 0] = value
    return changed


def objects(*items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def uneven(lengths):
    return [SPIKES[i, :length].T for i, length in enumerate(lengths)]


# id, file name, variables (or raw bytes, or None for no file), fields of `data`, sentence
BAD = [
    # the file
    (
        "no file",
        "a.mat",
        None,
        {},
        "data.uri: a recording is wanted, nothing was found at {path}; check the path",
    ),
    (
        "empty file",
        "a.mat",
        b"",
        {},
        "{path} is empty (0 bytes); copy or export it once more",
    ),
    (
        "text file",
        "a.csv",
        b"1,2,3\n" * 99,
        {},
        "data.uri: a MATLAB (.mat), HDF5 (.h5) or .npz file is wanted, a.csv is none of these; "
        "export the recording to one of them",
    ),
    (
        "text called mat",
        "a.mat",
        b"1,2,3\n" * 99,
        {},
        "data.uri: a readable recording is wanted, {path} is damaged or not of a known format",
    ),
    (
        "damaged zip",
        "a.npz",
        b"PK\x03\x04 not a zip",
        {},
        "{path} is damaged or not of a known format (File is not a zip file); copy or export it once more",
    ),
    (
        "single array",
        "a.npy",
        b"\x93NUMPY\x01\x00",
        {},
        "data.uri: named arrays are wanted, a.npy is a single .npy array; "
        "save it with np.savez(path, spikes=..., binWidthMs=...)",
    ),
    (
        "changed file",
        "a.npz",
        {"spikes": SPIKES},
        {"sha256": "0" * 64},
        "data.sha256: " + "0" * 64 + " is wanted, the file has ",
    ),
    (
        "not MATLAB",
        "a.h5",
        {"spikes": SPIKES},
        {"format": "Npz"},
        "data.format: an npz file is wanted, a.h5 is another kind; set data.format: Auto",
    ),
    (
        "not npz",
        "a.npz",
        {"spikes": SPIKES},
        {"format": "Matlab"},
        "data.format: a MATLAB file is wanted, a.npz is another kind; set data.format: Auto",
    ),
    # the variable
    (
        "no spikes",
        "a.mat",
        {"counts": SPIKES, "dt": 1.0},
        {},
        "data.variable: spikes, spike or data is wanted in a MATLAB file, it holds counts (6 x 8 x 4 "
        "uint8), dt (1 x 1 double); name the variable with the spikes",
    ),
    (
        "nothing inside",
        "a.h5",
        {},
        {},
        "is wanted in an HDF5 file, it holds nothing; name the variable with the spikes",
    ),
    (
        "misspelt variable",
        "a.npz",
        {"spikes": SPIKES},
        {"variable": "spikse"},
        "data.variable: spikse is wanted, it holds spikes (6 x 8 x 4 uint8); name one of these",
    ),
    (
        "text",
        "a.mat",
        {"spikes": "none"},
        {},
        "spikes: an array of numbers is wanted, text was found; save it as a numeric array",
    ),
    (
        "complex",
        "a.npz",
        {"spikes": SPIKES + 1j},
        {},
        "spikes: an array of numbers is wanted, 6 x 8 x 4 complex numbers was found",
    ),
    (
        "pickled",
        "a.npz",
        {"spikes": objects(SPIKES[0], SPIKES[1, :5])},
        {},
        "pickled Python objects were found; save it with np.savez as a numeric array (equally long "
        "trials stacked)",
    ),
    (
        "struct without spikes",
        "a.mat",
        {"D": [{"x": 1.0}, {"x": 2.0}]},
        {"variable": "D"},
        "is wanted in D, it holds x (a cell array of 2); name the variable with the spikes, as D.NAME",
    ),
    (
        "struct array without that field",
        "a.mat",
        {"D": [{"x": 1.0}, {"x": 2.0}]},
        {"variable": "D.counts"},
        "data.variable: counts of D is wanted, it holds x (a cell array of 2); name one of these",
    ),
    (
        "spike times",
        "a.mat",
        {"spikes": [np.array([[0.1, 0.2]]), np.array([[0.3]])]},
        {},
        "spikes: neurons x time in each trial is wanted, lists of 1 to 2 values were found; "
        "if they are spike times, count them in bins first (histcounts)",
    ),
    (
        "one trial of MATLAB",
        "a.mat",
        {"spikes": SPIKES[0]},
        {},
        "stack them; a single trial has an axis of length 1 too, in MATLAB a cell: spikes = {spikes}",
    ),
    (
        "two recordings",
        "a.h5",
        {**MERGED, "spikes": SPIKES},
        {},
        "data.format: one recording in the file is wanted, the LFADS layout and the variable spikes "
        "were found; set data.format to the layout or data.variable to the variable",
    ),
    # axes
    (
        "two axes",
        "a.mat",
        {"spikes": SPIKES[0].T},
        {},
        "spikes: three axes are wanted (data.layout NeuronsTimeTrials or TrialsTimeNeurons), 4 x 8 "
        "was found; cut the recording into equally long trials and stack them",
    ),
    (
        "four axes",
        "a.npz",
        {"spikes": SPIKES[None]},
        {},
        "spikes: three axes are wanted (data.layout NeuronsTimeTrials or TrialsTimeNeurons), 1 x 6 x "
        "8 x 4 was found",
    ),
    (
        "turned round",
        "a.mat",
        {"spikes": SPIKES, "condition": CONDITION},
        {},
        "spikes: neurons x time x trials is wanted in a MATLAB file, spikes is 6 x 8 x 4 but "
        "condition has 6 values, which makes the first axis trials; "
        "set data.layout to say which it is",
    ),
    (
        "turned round in Python",
        "a.h5",
        {"spikes": SPIKES.T, "condition": CONDITION},
        {},
        "spikes: trials x time x neurons is wanted in an HDF5 file, spikes is 4 x 8 x 6 but "
        "condition has 6 values, which makes the last axis trials; set data.layout",
    ),
    (
        "wrong layout",
        "a.h5",
        {"spikes": SPIKES, "condition": CONDITION},
        {"layout": "NeuronsTimeTrials"},
        "data.layout: NeuronsTimeTrials is wanted, spikes is 6 x 8 x 4 but condition has 6 values, "
        "which makes the first axis of spikes trials; correct data.layout or the file",
    ),
    (
        "conditions of other trials",
        "a.npz",
        {"spikes": SPIKES, "condition": np.arange(5)},
        {},
        "spikes: one entry per trial is wanted, condition has 5 values and spikes is 6 x 8 x 4; "
        "save both for the same trials, or rename the one that means something else",
    ),
    (
        "truth turned round",
        "a.npz",
        {"spikes": SPIKES, "truth": SPIKES.T * 1.0},
        {},
        "truth: the shape of the spikes, 6 x 8 x 4, is wanted, 4 x 8 x 6 was found; "
        "save truth with the same axes and bins, or under another name",
    ),
    # trials one by one
    (
        "unequal trials",
        "a.mat",
        {"spikes": uneven([8, 7, 5])},
        {},
        "spikes: equally long trials are wanted, 5 to 8 bins were found; "
        "cut or align the trials to one length",
    ),
    (
        "unequal trials in v7.3",
        "a.v73.mat",
        {"spikes": uneven([8, 7, 5])},
        {},
        "spikes: equally long trials are wanted, 5 to 8 bins were found",
    ),
    (
        "cells of time by neurons",
        "a.mat",
        {"spikes": [trial.T for trial in uneven([8, 7, 5])]},
        {},
        "spikes: neurons x time with the same neurons in each trial is wanted, 5 to 8 neurons were "
        "found; if the other axis is neurons, set data.layout",
    ),
    (
        "cell of vectors of cells",
        "a.mat",
        {"spikes": [SPIKES, SPIKES]},
        {},
        "spikes, trial 0 (from 0): neurons x time is wanted, 6 x 8 x 4 was found; save a matrix",
    ),
    (
        "cell with text",
        "a.mat",
        {"spikes": [SPIKES[0].T, "none"]},
        {},
        "spikes, trial 1 (from 0): an array of numbers is wanted, text was found",
    ),
    (
        "empty cell",
        "a.mat",
        {"spikes": np.empty((0, 0), object)},
        {},
        "spikes: a trial per cell is wanted, an empty cell array was found; save the trials in it",
    ),
    (
        "empty struct",
        "a.mat",
        {"D": np.empty((1, 0), dtype=[("spikes", object)])},
        {"variable": "D"},
        "D: an element per trial is wanted, an empty struct was found; save the trials in it",
    ),
    # values
    (
        "negative",
        "a.npz",
        {"spikes": with_value(-1)},
        {},
        "spikes: 2 of 6 trials have negative counts (the first is number 2, from 0); "
        "give whole counts >= 0, or model.outputDistribution: Gaussian",
    ),
    (
        "negative integers",
        "a.mat",
        {"spikes": with_value(-3, np.int16).T},
        {},
        "spikes: 2 of 6 trials have negative counts",
    ),
    (
        "fractional",
        "a.npz",
        {"spikes": with_value(0.5)},
        {},
        "spikes: 2 of 6 trials have fractional counts (the first is number 2, from 0); "
        "give whole counts (not smoothed or converted to rates), or model.outputDistribution: "
        "Gaussian",
    ),
    (
        "NaN",
        "a.v73.mat",
        {"spikes": with_value(np.nan).T},
        {},
        "spikes: 2 of 6 trials have NaN or infinite values (the first is number 2, from 0); "
        "remove these trials, or cut all to one length",
    ),
    (
        "infinite",
        "a.h5",
        {"spikes": with_value(-np.inf)},
        {},
        "spikes: 2 of 6 trials have NaN or infinite values",
    ),
    (
        "silent",
        "a.npz",
        {"spikes": np.zeros_like(SPIKES)},
        {},
        "spikes: spikes are wanted, all 6 trials are silent; check the variable and the export",
    ),
    (
        "no trials",
        "a.npz",
        {"spikes": SPIKES[:0]},
        {},
        "spikes: spikes are wanted, an empty array (0 trials x 8 bins x 4 neurons) was found; "
        "export the recording once more",
    ),
    (
        "no neurons",
        "a.mat",
        {"spikes": np.zeros((0, 8, 6))},
        {},
        "an empty array (6 trials x 8 bins x 0 neurons) was found",
    ),
    # bins
    (
        "no bin width",
        "a.npz",
        {"spikes": SPIKES},
        {"bin_width_ms": None},
        "data.binWidthMs: the width of a bin is wanted, the file does not say it (binWidthMs); "
        "set data.binWidthMs",
    ),
    (
        "two bin widths",
        "a.npz",
        {"spikes": SPIKES, "binWidthMs": 1.0},
        {"bin_width_ms": 5.0},
        "data.binWidthMs: 5 ms is given, the file says 1 ms; remove data.binWidthMs or correct it",
    ),
    (
        "bin width zero",
        "a.npz",
        {"spikes": SPIKES, "binWidthMs": 0.0},
        {},
        "data.binWidthMs: a width above 0 ms is wanted, the file says 0; correct it there",
    ),
    (
        "a list of bin widths",
        "a.npz",
        {"spikes": SPIKES, "binWidthMs": [1.0, 2.0]},
        {},
        "binWidthMs: one number is wanted, something else was found; save a scalar",
    ),
    (
        "no whole multiple",
        "a.npz",
        {"spikes": SPIKES, "binWidthMs": 10.0},
        {"rebin_ms": 25.0},
        "data.rebinMs: a whole multiple of the bins of 10 ms is wanted, 25 was found; "
        "set it to 20, for example",
    ),
    (
        "finer than the file",
        "a.npz",
        {"spikes": SPIKES, "binWidthMs": 10.0},
        {"rebin_ms": 1.0},
        "data.rebinMs: a whole multiple of the bins of 10 ms is wanted, 1 was found; "
        "set it to 10, for example",
    ),
    (
        "one bin left",
        "a.npz",
        {"spikes": SPIKES},
        {"rebin_ms": 80.0},
        "data: trials of 2 bins or more are wanted, 1 of 80 ms found, from 8 of 10 ms in the file; "
        "check that width and the order of the axes, use longer trials, or a smaller data.rebinMs",
    ),
    (
        "no bin left",
        "a.npz",
        {"spikes": SPIKES},
        {"rebin_ms": 100.0},
        "data: trials of 2 bins or more are wanted, 0 of 100 ms found",
    ),
    # what is held back
    (
        "all neurons held out",
        "a.npz",
        {"spikes": SPIKES},
        {"held_out_neurons": 4},
        "data.heldOutNeurons: fewer than the 4 neurons are wanted, 4 were found; leave some for the encoders",
    ),
    (
        "all bins forward",
        "a.npz",
        {"spikes": SPIKES},
        {"forward_bins": 8},
        "data.forwardBins: fewer than the 8 bins of a trial are wanted, 8 were found; "
        "leave some for the encoders",
    ),
    (
        "one encoded bin",
        "a.npz",
        {"spikes": SPIKES},
        {"forward_bins": 7},
        "data: trials of 2 encoded bins or more are wanted, 1 of 10 ms found",
    ),
    (
        "two trials",
        "a.npz",
        {"spikes": SPIKES[:2]},
        {},
        "data: at least 2 training trials and 1 for validation are wanted, 1 and 1 found; "
        "give more trials or change data.validation",
    ),
    (
        "no validation trial",
        "a.npz",
        {"spikes": SPIKES, "train_inds": CONDITION, "valid_inds": np.zeros(0)},
        {},
        "data: at least 2 training trials and 1 for validation are wanted, 6 and 0 found",
    ),
    (
        "trial twice",
        "a.npz",
        {"spikes": SPIKES, "train_inds": [0, 1, 2, 3], "valid_inds": [3, 4]},
        {},
        "train_inds, valid_inds: each of 6 trials once is wanted (numbers from 0 or 1), 6 numbers "
        "from 0 to 4 were found; correct or remove them",
    ),
    (
        "fractional trial numbers",
        "a.npz",
        {"spikes": SPIKES, "train_inds": [0.5, 1], "valid_inds": [2]},
        {},
        "train_inds: whole numbers are wanted, fractions or NaN were found; save whole numbers",
    ),
    # external inputs
    (
        "no such input",
        "a.npz",
        {"spikes": SPIKES},
        {"external_inputs": "u"},
        "data.externalInputs: u is wanted, it holds spikes (6 x 8 x 4 uint8); name one of these or remove it",
    ),
    (
        "input of other bins",
        "a.npz",
        {"spikes": SPIKES, "u": np.zeros((6, 4, 2))},
        {"external_inputs": "u"},
        "data.externalInputs: 6 trials x 8 bins x features is wanted, 6 x 4 x 2 was found; "
        "save the inputs in the bins and with the axes of the spikes",
    ),
    (
        "input with NaN",
        "a.npz",
        {"spikes": SPIKES, "u": np.full((6, 8, 1), np.nan)},
        {"external_inputs": "u"},
        "data.externalInputs: 6 of 6 trials have NaN or infinite values",
    ),
    (
        "input of two axes",
        "a.npz",
        {"spikes": SPIKES, "u": np.zeros((6, 8))},
        {"external_inputs": "u"},
        "u: three axes are wanted (data.layout NeuronsTimeTrials or TrialsTimeNeurons), 6 x 8 was found",
    ),
    # true rates
    (
        "negative rates",
        "a.npz",
        {"spikes": SPIKES, "truth": SPIKES - 1.0},
        {},
        "trials have negative rates (the first is number 0, from 0); "
        "give the expected count per bin, or leave them out",
    ),
    (
        "conversion factor",
        "a.npz",
        {"spikes": SPIKES, "truth": SPIKES * 1.0, "conversion_factor": 0.0},
        {},
        "conversion_factor: a number above 0 is wanted, 0 was found; "
        "save truth divided by the expected count per bin",
    ),
    # published layouts
    (
        "half a layout",
        "a.h5",
        {"train_data": SPIKES},
        {},
        "data.format: the LFADS layout needs valid_data, it holds train_data (6 x 8 x 4 uint8); "
        "add them, or name one array in data.variable",
    ),
    (
        "parts of other neurons",
        "a.h5",
        {"train_data": SPIKES[:4], "valid_data": SPIKES[4:, :, :3]},
        {},
        "valid_data: the same bins and neurons as in train_data are wanted, train_data is 4 x 8 x 4 "
        "and valid_data is 2 x 8 x 3; cut both alike",
    ),
    (
        "trial in both parts",
        "a.h5",
        {**MERGED, "train_inds": [0, 1, 2, 3], "valid_inds": [3, 4]},
        {},
        "train_inds, valid_inds: each trial once is wanted, trial 3 was found 2 times; "
        "a trial cannot be in both sets",
    ),
    (
        "too few trial numbers",
        "a.h5",
        {**MERGED, "train_inds": [0, 1, 2], "valid_inds": [3, 4]},
        {},
        "train_data: one entry per trial is wanted, train_inds has 3 values and train_data is 4 x 8 x 4",
    ),
    (
        "truth for one part",
        "a.h5",
        {**MERGED, "train_truth": SPIKES[:4] * 1.0},
        {},
        "truth: train_truth and valid_truth are wanted, only train_truth was found; "
        "add the other or remove it",
    ),
    (
        "truth of other trials",
        "a.h5",
        {**MERGED, "train_truth": SPIKES[:3] * 1.0, "valid_truth": SPIKES[4:] * 1.0},
        {},
        "train_truth: 4 trials are wanted, 3 were found; save the same trials as the spikes",
    ),
    (
        "truth of fewer neurons",
        "a.h5",
        {**MERGED, "train_truth": SPIKES[:4, :, :3] * 1.0, "valid_truth": SPIKES[4:, :, :3] * 1.0},
        {},
        "train_truth: the shape of the spikes, 6 x 8 x 4, is wanted, 6 x 8 x 3 was "
        "found; save rates of the same trials, bins and neurons",
    ),
    (
        "inputs missing in layout",
        "a.h5",
        MERGED,
        {"external_inputs": "ext_input"},
        "data.externalInputs: ext_input is wanted, it holds train_data (4 x 8 x 4 uint8), valid_data "
        "(2 x 8 x 4 uint8)",
    ),
    (
        "lfads-torch without targets",
        "a.h5",
        {"train_encod_data": SPIKES},
        {},
        "the lfads-torch layout needs train_recon_data, valid_encod_data, valid_recon_data, it holds",
    ),
    (
        "encoded more than predicted",
        "a.h5",
        {**TORCH, "train_recon_data": SPIKES[:4, :, :3], "valid_recon_data": SPIKES[4:, :, :3]},
        {},
        "train_encod_data: at most the trials, bins and neurons of train_recon_data are wanted, 4 x "
        "8 x 4 of 4 x 8 x 3 was found",
    ),
    (
        "held out otherwise",
        "a.h5",
        {**TORCH, "train_encod_data": SPIKES[:4, :, :3], "valid_encod_data": SPIKES[4:, :, :3]},
        {"held_out_neurons": 2},
        "data.heldOutNeurons: 2 is given, the shapes in the file say 1; "
        "remove data.heldOutNeurons or export the file anew",
    ),
    (
        "forward otherwise",
        "a.h5",
        {**TORCH, "train_encod_data": SPIKES[:4, :6], "valid_encod_data": SPIKES[4:, :6]},
        {"forward_bins": 3},
        "data.forwardBins: 3 is given, the shapes in the file say 2",
    ),
    (
        "NLB forward bins in part",
        "a.h5",
        {"train_spikes_heldin": SPIKES, "train_spikes_heldout_forward": SPIKES[:, :2]},
        {},
        "forward bins of all neurons or of none are wanted, only a part was found",
    ),
]


@pytest.mark.parametrize(
    ("name", "content", "fields", "sentence"), [pytest.param(*row[1:], id=row[0]) for row in BAD]
)
def test_bad_data_gets_its_sentence(tmp_path, write_file, name, content, fields, sentence):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        write_file(path, content)
    fields = {
        "bin_width_ms": None if isinstance(content, dict) and "binWidthMs" in content else 10.0
    } | fields

    with pytest.raises(DataError) as refused:
        load_spikes(DataSpec(uri=str(path), **fields), "Poisson")

    assert sentence.replace("{path}", str(path)) in str(refused.value)


def test_a_folder_is_no_recording(tmp_path):
    with pytest.raises(
        DataError, match=r"data\.uri: one file is wanted, .* is a folder; name the file in it"
    ):
        load_spikes(DataSpec(uri=str(tmp_path)), "Poisson")


def test_the_table_is_long_enough_and_names_each_row_once():
    assert len(BAD) >= 35
    assert len({row[0] for row in BAD}) == len(BAD)
