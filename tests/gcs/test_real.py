"""The real thing from a bucket to a bucket: TensorFlow, by the command line, with the bits of a local run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
import yaml

from autolfads_spec.store import open_store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MEASURED = ("autolfads.log", "timing.csv", "manifest.json", "lease.json", "generations/", "checkpoints/", ".")
# They say where the results are, or hold the checksum of the one that does.
WITH_ADDRESS = {"run.yaml", "results.json", "report/report.html"}


@pytest.fixture
def autolfads(tmp_path):
    def call(*arguments):
        command = [str(Path(sys.executable).parent / "autolfads"), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "COLUMNS": "120"}
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return call


def results_of(address):
    store = open_store(str(address))
    return {name: store.read(name).content for name in store.names() if not name.startswith(MEASURED)}


def test_a_run_in_a_bucket_is_that_of_a_folder_bit_for_bit(autolfads, bucket, tmp_path):
    sizes = ("--neurons", 8, "--conditions", 6, "--trials-per-condition", 4, "--bins", 12)
    autolfads("synthesize", "lorenz", "data.h5", *sizes)
    open_store(bucket).write_file("lab/data.h5", tmp_path / "data.h5")
    units = {"icEncoderUnits": 8, "ciEncoderUnits": 8, "controllerUnits": 6, "generatorUnits": 10}
    run = {
        "apiVersion": "autolfads.dev/v1alpha1",
        "kind": "AutoLFADSRun",
        "metadata": {"name": "tiny"},
        "spec": {
            "data": {"uri": f"{bucket}/lab/data.h5"},
            "output": {"uri": f"{bucket}/runs/tiny", "posteriorSamples": 3},
            "model": {"preset": "Small", **units, "factors": 4},
            "training": {"batchSize": 10, "klRamp": {"epochs": 2}, "l2Ramp": {"epochs": 2}},
            "population": {"size": 4, "generations": 2, "epochsPerGeneration": 5},
        },
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))

    said = autolfads("run", "run.yaml", "--workers", 0)
    autolfads("run", "run.yaml", "--workers", 0, "--output", "out")
    autolfads("infer", f"{bucket}/runs/tiny", f"{bucket}/lab/data.h5", "--out", "again.h5")

    assert f"results: {bucket}/runs/tiny (rates.h5" in said
    there, here = results_of(f"{bucket}/runs/tiny"), results_of(tmp_path / "out")
    assert there.keys() == here.keys()
    assert {name for name in here if here[name] != there[name]} == WITH_ADDRESS
    assert json.loads(here["results.json"])["metrics"] == json.loads(there["results.json"])["metrics"]
    (tmp_path / "rates.h5").write_bytes(there["rates.h5"])
    with h5py.File(tmp_path / "rates.h5") as own, h5py.File(tmp_path / "again.h5") as again:
        assert own["rates"][:].tobytes() == again["rates"][:].tobytes()
