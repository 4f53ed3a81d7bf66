"""Runs the command line as a user does: another process, a folder of its own, nothing of the test's in it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from end_to_end.runs import GENERATIONS, REAL, Runs

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def autolfads():
    """`autolfads(*arguments, cwd)`: the finished process; fails the test with its output when it failed."""

    def call(*arguments, cwd, status=0):
        done = subprocess.run(
            [str(Path(sys.executable).parent / "autolfads"), *map(str, arguments)],
            cwd=cwd,
            capture_output=True,
            text=True,
            env={**os.environ, "COLUMNS": "120"},
        )
        assert done.returncode == status, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return call


@pytest.fixture(scope="session")
def example():
    """`example(path, **blocks)`: an example's YAML as a mapping, blocks of its spec merged in."""

    def load(path, **blocks):
        document = yaml.safe_load((ROOT / "examples" / path).read_text())
        for name, block in blocks.items():
            document["spec"][name] = {**document["spec"].get(name, {}), **block}
        return document

    return load


@pytest.fixture(scope="session")
def toy_run(autolfads):
    """`toy_run(folder, **population)`: a tiny recording and its run.yaml, for `toy_autolfads.py`."""

    def make(folder, **population):
        autolfads(
            *("synthesize", "lorenz", "data.h5", "--neurons", 5, "--conditions", 4),
            *("--trials-per-condition", 15, "--bins", 6),
            cwd=folder,
        )
        run = {
            "apiVersion": "autolfads.dev/v1alpha1",
            "kind": "AutoLFADSRun",
            "metadata": {"name": "toy"},
            "spec": {
                "data": {"uri": "data.h5"},
                "output": {"uri": "out", "posteriorSamples": 2, "report": False},
                "training": {"klRamp": {"epochs": 2}, "l2Ramp": {"epochs": 2}},
                "population": {"epochsPerGeneration": 3, **population},
            },
        }
        (folder / "run.yaml").write_text(yaml.safe_dump(run))
        return folder

    return make


@pytest.fixture(scope="session")
def results_of():
    """results.json of a folder, as attributes."""

    def load(folder):
        return json.loads((folder / "results.json").read_text(), object_hook=lambda d: SimpleNamespace(**d))

    return load


@pytest.fixture(scope="session")
def small_run(tmp_path_factory, autolfads, example):
    """`small_run(folder)`: a recording and a run.yaml of LFADS in a folder, which it gives back.

    It trains for seconds, in two cohorts; without a report, which takes longer than that.
    """
    made = tmp_path_factory.mktemp("small")
    sizes = ("--neurons", 8, "--conditions", 6, "--trials-per-condition", 4, "--bins", 12)
    autolfads("synthesize", "lorenz", "data.h5", *sizes, cwd=made)
    run = example(
        "lorenz/run.yaml",
        data={"uri": "data.h5"},
        output={"uri": "out", "posteriorSamples": 5, "report": False},
        model={
            **{"icEncoderUnits": 8, "ciEncoderUnits": 8, "controllerUnits": 6},
            **{"generatorUnits": 10, "factors": 4},
        },
        training={"batchSize": 10, "klRamp": {"epochs": 2}, "l2Ramp": {"epochs": 2}},
        population={"size": 4, "generations": GENERATIONS, "epochsPerGeneration": 50},
        compute={"accelerator": {"type": "None"}, "workers": {"desired": 2, "min": 1}},
    )
    (made / "run.yaml").write_text(yaml.safe_dump(run))

    def copy(folder):
        shutil.copytree(made, folder, dirs_exist_ok=True)
        return folder

    return copy


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, small_run):
    """Results of the small run, by name, trained in one process that nobody disturbs."""
    runs = Runs(small_run(tmp_path_factory.mktemp("undisturbed")), REAL, workers=0)
    runs.finish()
    return runs.results()
