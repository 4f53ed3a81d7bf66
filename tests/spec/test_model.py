import pytest

from autolfads_spec.model import MODEL_PRESETS, ModelSpec

WIDTHS = {
    # preset: IC encoder, CI encoder, controller, inferred inputs, IC, generator, factors
    "Default": (64, 64, 64, 4, 64, 64, 40),
    "Small": (32, 32, 32, 1, 32, 32, 16),
    "Lorenz": (100, 64, 64, 1, 100, 100, 40),
    "MCMaze": (100, 80, 80, 4, 100, 100, 40),
    "LFADSTorchMaze": (64, 64, 64, 4, 64, 200, 100),
}


def widths(model):
    return (
        model.ic_encoder_units,
        model.ci_encoder_units,
        model.controller_units,
        model.inferred_inputs,
        model.ic_dim,
        model.generator_units,
        model.factors,
    )


@pytest.mark.parametrize("preset", WIDTHS)
def test_a_preset_sets_all_widths(preset):
    assert widths(ModelSpec(preset=preset)) == WIDTHS[preset]


def test_there_are_no_other_presets():
    assert set(MODEL_PRESETS) == set(WIDTHS)


def test_a_width_that_is_written_out_overrides_the_presets():
    model = ModelSpec(preset="Lorenz", factors=7)

    assert widths(model) == (100, 64, 64, 1, 100, 100, 7)


@pytest.mark.parametrize("width", ["ci_encoder_units", "controller_units", "inferred_inputs"])
def test_no_controller_without_each_of_its_widths(width):
    assert ModelSpec().has_controller
    assert not ModelSpec(**{width: 0}).has_controller
