"""The same run gives the same population, decisions and weights wherever its cohorts train.

Real TensorFlow and real Ray, by the command line. The serial pool is the oracle.
"""

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

WHERE = {"serial": 0, "one worker": 1, "two workers": 2}
# Who trained a cohort and for how long is all that may differ.
MEASURED = {"seconds", "worker", "cohort_seconds", "generation_seconds"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory, autolfads, example):
    """The output folder of the same small run, by where it was trained."""
    folder = tmp_path_factory.mktemp("same")
    autolfads(
        *("synthesize", "lorenz", "data.h5", "--neurons", 8, "--conditions", 6),
        *("--trials-per-condition", 4, "--bins", 12),
        cwd=folder,
    )
    run = example(
        "lorenz/run.yaml",
        data={"uri": "data.h5"},
        output={"posteriorSamples": 5},
        model={
            "icEncoderUnits": 8,
            "ciEncoderUnits": 8,
            "controllerUnits": 6,
            "generatorUnits": 10,
            "factors": 4,
        },
        training={"batchSize": 10, "klRamp": {"epochs": 2}, "l2Ramp": {"epochs": 2}},
        population={"size": 4, "generations": 4, "epochsPerGeneration": 2},
    )
    (folder / "run.yaml").write_text(yaml.safe_dump(run))
    for name, workers in WHERE.items():
        autolfads("run", "run.yaml", "--workers", workers, "--output", name, cwd=folder)
    return {name: folder / name for name in WHERE}


def rows(path: Path):
    with path.open() as file:
        return [
            {key: value for key, value in row.items() if key not in MEASURED} for row in csv.DictReader(file)
        ]


@pytest.mark.parametrize("where", ["one worker", "two workers"])
@pytest.mark.parametrize("table", ["population.csv", "hyperparameters.csv", "decisions.csv"])
def test_every_table_is_the_same(folders, where, table):
    assert rows(folders["serial"] / table) == rows(folders[where] / table)


@pytest.mark.parametrize("where", ["one worker", "two workers"])
def test_every_training_log_is_the_same(folders, where):
    logs = sorted(path.name for path in (folders["serial"] / "training_logs").iterdir())

    assert len(logs) == 4
    for name in logs:
        assert rows(folders["serial"] / "training_logs" / name) == rows(
            folders[where] / "training_logs" / name
        )


@pytest.mark.parametrize("where", ["one worker", "two workers"])
def test_weights_are_the_same_bit_for_bit(folders, where):
    oracle, other = (np.load(folders[name] / "best" / "weights.npz") for name in ("serial", where))

    assert set(oracle) == set(other)
    assert all(oracle[name].tobytes() == other[name].tobytes() for name in oracle)


@pytest.mark.parametrize("where", ["one worker", "two workers"])
def test_rates_are_the_same_bit_for_bit(folders, where):
    with h5py.File(folders["serial"] / "rates.h5") as oracle, h5py.File(folders[where] / "rates.h5") as other:
        assert oracle["rates"][:].tobytes() == other["rates"][:].tobytes()
        assert oracle["factors"][:].tobytes() == other["factors"][:].tobytes()


def test_the_population_really_evolved(folders):
    exploited = [row for row in rows(folders["serial"] / "decisions.csv") if row["exploited"] == "true"]

    assert exploited
    assert any(row["old_learning_rate"] != row["new_learning_rate"] for row in exploited)
