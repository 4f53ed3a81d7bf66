"""The published search spaces, number by number, as the design's table of them has them."""

import pytest

from autolfads_spec.search_space import (
    HYPERPARAMETER_ATTRIBUTES,
    HYPERPARAMETER_NAMES,
    SearchDimension,
    attribute_name,
    preset_dimensions,
)
from autolfads_spec.training import TrainingSpec

RATES = {"learningRate", "dropoutRate", "coordinatedDropoutRate"}
EXPECTED = {
    "Default": {
        "learningRate": (1e-5, 5e-3, 4e-3),
        "dropoutRate": (0, 0.6, None),
        "coordinatedDropoutRate": (0.01, 0.7, 0.5),
        "l2Generator": (1e-4, 1, None),
        "l2Controller": (1e-4, 1, None),
        "klInitialCondition": (1e-6, 1e-3, None),
        "klInferredInputs": (1e-6, 1e-4, None),
    },
    "Tutorial": {
        "learningRate": (1e-5, 1.5e-3, 1e-3),
        "dropoutRate": (0, 0.6, None),
        "coordinatedDropoutRate": (0.1, 0.7, 0.5),
        "l2Generator": (1e-5, 1, None),
        "l2Controller": (1e-5, 1, None),
        "l2IcEncoder": (1e-5, 1, None),
        "l2CiEncoder": (1e-5, 1, None),
        "klInitialCondition": (1e-6, 1e-3, None),
        "klInferredInputs": (1e-6, 1e-3, None),
    },
    "AutoLFADSTF2": {
        "learningRate": (1e-5, 5e-3, 4e-3),
        "dropoutRate": (0, 0.6, None),
        "coordinatedDropoutRate": (0.01, 0.7, 0.5),
        "l2Generator": (1e-4, 1, None),
        "l2Controller": (1e-4, 1, None),
        "klInitialCondition": (1e-5, 1e-3, None),
        "klInferredInputs": (1e-6, 1e-4, None),
    },
    "LFADSTorch": {
        "learningRate": (1e-5, 5e-3, 4e-3),
        "dropoutRate": (0, 0.6, None),
        "coordinatedDropoutRate": (0.01, 0.7, 0.5),
        "l2Generator": (1e-4, 1, None),
        "l2Controller": (1e-4, 1, None),
        "klInitialCondition": (1e-6, 1e-3, None),
        "klInferredInputs": (1e-6, 1e-4, None),
    },
    "None": {},
}


@pytest.mark.parametrize("preset", EXPECTED)
def test_a_preset_has_the_published_ranges_starts_and_weights(preset):
    found = {d.name: (d.min, d.max, d.init) for d in preset_dimensions(preset)}

    assert found == EXPECTED[preset]
    for dimension in preset_dimensions(preset):
        is_rate = dimension.name in RATES
        assert dimension.weight == (0.3 if is_rate else 0.8)
        assert dimension.distribution == ("Uniform" if is_rate else "LogUniform")


@pytest.mark.parametrize(("preset", "free"), [("Tutorial", True), ("AutoLFADSTF2", True), ("Default", False)])
def test_only_loss_weights_may_leave_their_range_and_only_where_they_could(preset, free):
    for dimension in preset_dimensions(preset):
        assert dimension.enforce_limits == (dimension.name in RATES or not free)


@pytest.mark.parametrize("name", HYPERPARAMETER_NAMES)
def test_every_hyperparameter_is_a_field_of_training(name):
    dimension = SearchDimension(name=name, distribution="Uniform", min=0.1, max=0.2)

    assert TrainingSpec.model_fields[dimension.attribute].alias == name


def test_the_nine_hyperparameters_in_python():
    assert HYPERPARAMETER_ATTRIBUTES == (
        "learning_rate",
        "dropout_rate",
        "coordinated_dropout_rate",
        "l2_generator",
        "l2_controller",
        "l2_ic_encoder",
        "l2_ci_encoder",
        "kl_initial_condition",
        "kl_inferred_inputs",
    )


def test_digits_do_not_split_a_name():
    assert attribute_name("l2IcEncoder") == "l2_ic_encoder"
