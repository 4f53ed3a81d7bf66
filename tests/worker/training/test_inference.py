"""Inference alone against the trainer's own at the end of a run."""

import numpy as np
import pytest

from lfads_worker.training.inference import infer


@pytest.fixture(scope="module")
def weights(trainer, trained):
    return trainer.model.layout.split_row(trained.state.weights[1])


@pytest.mark.parametrize("samples", [0, 3])
def test_the_same_recording_gives_the_same_bits(
    make_spec, make_recording, trainer, trained, weights, samples
):
    expected = trainer.posterior_averages(trained.state, 1, samples)

    found = infer(make_spec(), make_recording(), weights, 1, samples, compiled=False)

    for name, value in expected._asdict().items():
        if name == "samples":
            assert found.samples == samples
        else:
            assert getattr(found, name).tobytes() == value.tobytes(), name


def test_other_trials_of_the_same_neurons_are_inferred_too(make_spec, make_recording, weights):
    found = infer(make_spec(), make_recording(trials=3), weights, 1, 2, compiled=False)

    assert found.rates.shape == (3, 6, 4)
    assert np.isfinite(found.rates).all()


def test_the_posterior_mean_of_a_trial_does_not_depend_on_the_others(make_spec, make_recording, weights):
    recording = make_recording()
    few = make_recording(trials=23)
    few = type(few)(**{**vars(few), "spikes": few.spikes[:2], "external_inputs": few.external_inputs[:2]})

    whole = infer(make_spec(), recording, weights, 1, 0, compiled=False)
    part = infer(make_spec(), few, weights, 1, 0, compiled=False)

    np.testing.assert_allclose(part.rates, whole.rates[:2], rtol=1e-5)


def test_weights_of_another_model_are_refused(make_spec, make_recording, weights):
    fewer = {name: array for name, array in weights.items() if not name.startswith("generator/bias")}
    fewer["readout/kernel"] = np.zeros((1, 1), np.float32)

    with pytest.raises(ValueError, match="readout/kernel"):
        infer(make_spec(), make_recording(), fewer, 1, 0, compiled=False)
