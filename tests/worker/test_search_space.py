import pytest

from autolfads_spec.search_space import HYPERPARAMETER_ATTRIBUTES
from lfads_worker.pbt.hyperparameters import Hyperparameter
from lfads_worker.search_space import complete_values, search_space


def test_dimensions_become_hyperparameters(make_run):
    entries = [
        {"name": "klInferredInputs", "distribution": "LogUniform", "min": 1e-6, "max": 1e-4, "weight": 0.8},
        {
            "name": "dropoutRate",
            "distribution": "Uniform",
            "min": 0.0,
            "max": 0.6,
            "init": 0.1,
            "enforceLimits": False,
        },
        {"name": "l2Generator", "distribution": "Choice", "values": [0.1, 1.0]},
    ]
    run = make_run(population={"searchSpace": entries})

    assert search_space(run.spec.population).hyperparameters == (
        Hyperparameter("kl_inferred_inputs", "log_uniform", 1e-6, 1e-4, weight=0.8),
        Hyperparameter("dropout_rate", "uniform", 0.0, 0.6, start=0.1, enforce_limits=False),
        Hyperparameter("l2_generator", "choice", choices=(0.1, 1.0)),
    )


@pytest.mark.parametrize("preset", ["Default", "Tutorial", "AutoLFADSTF2", "LFADSTorch", "None"])
def test_every_preset_can_be_searched(make_run, preset):
    run = make_run(population={"searchSpacePreset": preset, "searchSpace": []})

    space = search_space(run.spec.population)

    assert len(space.hyperparameters) == len(run.spec.population.search_space)
    assert set(space.names) <= set(HYPERPARAMETER_ATTRIBUTES)


def test_values_that_are_not_searched_are_the_specs(make_run):
    training = make_run(training={"klInitialCondition": 0.5, "dropoutRate": 0.25}).spec.training

    values = complete_values(training, {"dropout_rate": 0.125})

    assert tuple(values) == HYPERPARAMETER_ATTRIBUTES
    assert values["kl_initial_condition"] == 0.5
    assert values["dropout_rate"] == 0.125
