import pytest

from autolfads_spec import load_run
from toy_command import invoke  # noqa: F401 (a fixture: the command line)


@pytest.fixture
def make_run():
    """A small run, with whatever a test wants different: `make_run(population={"size": 4})`."""

    def make(**blocks):
        population = {
            "size": 5,
            "generations": 4,
            "epochsPerGeneration": 3,
            "seed": 1,
            "searchSpacePreset": "None",
            "searchSpace": [
                {"name": "learningRate", "distribution": "LogUniform", "min": 1e-3, "max": 0.5},
                {"name": "dropoutRate", "distribution": "Uniform", "min": 0.0, "max": 0.6},
            ],
        }
        ramp = {"startEpoch": 1, "epochs": 4}
        spec = {
            "data": {"uri": "data.h5"},
            "output": {"uri": "out"},
            "training": {"klRamp": ramp, "l2Ramp": {"epochs": 2}},
        }
        spec |= {name: {**spec.get(name, {}), **block} for name, block in blocks.items()}
        spec["population"] = {**population, **blocks.get("population", {})}
        return load_run(
            {
                "apiVersion": "autolfads.dev/v1alpha1",
                "kind": "AutoLFADSRun",
                "metadata": {"name": "toy"},
                "spec": spec,
            }
        )

    return make
