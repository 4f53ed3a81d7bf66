"""Runs the command line as a user does: another process, a folder of its own, nothing of the test's in it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

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
