import numpy as np
import pytest

ARRAYS = (
    *("spikes", "rates", "rates_std", "true_rates", "factors", "inputs", "input_means", "input_stds"),
    *("conditions", "train", "valid"),
)


@pytest.mark.parametrize("inputs", [1, 2])
def test_the_matlab_file_alone_tells_the_same(finished, read, inputs, tmp_path):
    from lfads_worker.report import folder
    from lfads_worker.results.output import in_folder

    both = read(inputs=inputs, held_out=2, forward=3)
    (tmp_path / "out" / "rates.h5").unlink()
    matlab = folder.read(in_folder(tmp_path / "out")).inferred

    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(both.inferred, name), getattr(matlab, name), err_msg=name)
    assert matlab.held_in_neurons == both.inferred.held_in_neurons == 3
    assert matlab.encoded_bins == 9
    assert matlab.counts


@pytest.mark.parametrize("formats", [["HDF5"], ["Matlab"]])
def test_conditions_have_the_words_of_the_recording(read, formats):
    words = ("left", "right", "up é", "down and back again")

    inferred = read(condition_names=words, formats=formats).inferred

    assert inferred.condition_names == words
    assert inferred.condition_name(2) == "up é"


def test_conditions_without_words_are_called_by_their_numbers(read):
    assert read().inferred.condition_name(2) == "2"


def test_a_model_without_controller_has_inputs_of_width_0_in_both_files(read):
    assert read(inputs=0, formats=["HDF5"]).inferred.inputs.shape == (20, 12, 0)


def test_matlab_keeps_inputs_of_width_0(read):
    assert read(inputs=0, formats=["Matlab"]).inferred.inputs.shape[2] == 0


def test_rates_of_counts_are_per_second(read):
    inferred = read().inferred

    assert inferred.unit == "spikes/s"
    np.testing.assert_allclose(inferred.observed, inferred.spikes * 50)  # bins of 20 ms
    assert inferred.rates.mean() == pytest.approx(inferred.observed.mean(), rel=0.2)
    assert inferred.time_ms[:2].tolist() == [10.0, 30.0]


def test_gaussian_rates_stay_in_the_units_of_the_recording(read):
    inferred = read(gaussian=True).inferred

    assert inferred.unit == "recorded units"
    np.testing.assert_array_equal(inferred.observed, inferred.spikes)


def test_what_is_not_known_is_none(read):
    inferred = read(truth=False, conditions=0).inferred

    assert inferred.true_rates is None
    assert inferred.conditions is None
