"""A run in a bucket, killed at chosen moments of what it writes: it goes on and ends with the same bytes.

The proxy knows the moment: it kills the process before a request is passed on, or after it but before the
answer. A toy trains, so that all moments are moments of committing and of writing results.
"""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
import yaml

from autolfads_spec.manifest import Lease, Manifest
from autolfads_spec.store import open_store

TOY = [sys.executable, str(Path(__file__).parents[1] / "end_to_end" / "toy_autolfads.py")]
# All that may differ; docs/interruptions.md lists the same.
MEASURED = ("autolfads.log", "timing.csv", "manifest.json", "lease.json", "generations/", "checkpoints/")

pytestmark = pytest.mark.timeout(900)


class Run:
    """A toy run in a bucket by processes of its own."""

    def __init__(self, folder, bucket, proxy):
        self.folder, self.proxy = folder, proxy
        self.store = open_store(f"{bucket}/runs/toy")
        subprocess.run(
            [*TOY, "synthesize", "lorenz", "data.h5", "--neurons", "5", "--conditions", "4", "--bins", "6"],
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        open_store(bucket).write_file("data.h5", folder / "data.h5")
        run = {
            "apiVersion": "autolfads.dev/v1alpha1",
            "kind": "AutoLFADSRun",
            "metadata": {"name": "toy"},
            "spec": {
                "data": {"uri": f"{bucket}/data.h5"},
                "output": {"uri": self.store.address, "posteriorSamples": 2, "report": False},
                "training": {"klRamp": {"epochs": 2}, "l2Ramp": {"epochs": 2}},
                "population": {"size": 4, "generations": 4, "epochsPerGeneration": 3},
            },
        }
        (folder / "run.yaml").write_text(yaml.safe_dump(run))

    def start(self, epoch_seconds=0.0):
        return subprocess.Popen(
            [*TOY, "run", "run.yaml", "--workers", "0"],
            cwd=self.folder,
            env={**os.environ, "TOY_EPOCH_SECONDS": str(epoch_seconds), "COLUMNS": "120"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self):
        out, said = (process := self.start()).communicate(timeout=600)
        assert process.returncode == 0, out + said
        return said

    def results(self):
        names = [name for name in self.store.names() if not name.startswith(MEASURED)]
        return {name: self.store.read(name).content for name in names}

    def manifest(self):
        return Manifest.model_validate_json(self.store.read("manifest.json").content)

    def forget(self):
        for name in self.store.names():
            self.store.delete(name)


@pytest.fixture
def run(tmp_path, bucket, proxy):
    return Run(tmp_path, bucket, proxy)


def written(request):
    """The name of what a request writes, below the run's folder."""
    if request.kind not in ("write", "begin"):
        return ""
    return request.name.removeprefix("runs/toy/")


MOMENTS = [
    pytest.param("lease.json", 1, "after", id="lease"),
    pytest.param("manifest.json", 1, "after", id="taking over"),
    pytest.param("checkpoints/000001/cohort_001", 1, "before", id="a checkpoint"),
    pytest.param("generations/000002.json", 1, "after", id="a record"),
    pytest.param("manifest.json", 4, "before", id="before a commit"),
    pytest.param("manifest.json", 4, "after", id="a commit"),
    pytest.param("results.json", 1, "before", id="before the mark"),
    pytest.param("results.json", 1, "after", id="the mark"),
]


def kill_at(process, name, number, when):
    """A script that kills the process at the n-th write of a name."""
    seen = 0

    def killing(request, pass_on):
        if when == "after":
            pass_on(request)
        process.kill()

    def script(request):
        nonlocal seen
        if written(request).startswith(name):
            seen += 1
            if seen == number:
                return killing
        return None

    return script


def test_a_run_killed_at_a_write_ends_with_the_same_bytes(run, faults):
    run.finish()
    undisturbed = run.results()
    assert {"rates.h5", "rates.mat", "results.json", "best/weights.npz"} <= undisturbed.keys()

    for moment in MOMENTS:
        run.forget()
        process = run.start()
        run.proxy.script = kill_at(process, *moment.values)
        process.communicate(timeout=600)
        faults.once("nothing")
        assert process.returncode == -signal.SIGKILL, moment.id

        said = run.finish()

        assert run.results() == undisturbed, moment.id
        begun = moment.values[0] not in ("lease.json", "manifest.json") or moment.values[1] > 1
        assert ("going on after generation" in said) == (begun and moment.id != "the mark"), moment.id


def test_a_bucket_on_a_bad_day_changes_no_byte(run, faults):
    run.finish()
    undisturbed = run.results()
    run.forget()
    bad = [faults.lost_reply, faults.status(503), faults.cut, faults.status(429), faults.lost_request]
    kinds, hits, lock = Counter(), Counter(), threading.Lock()

    def script(request):
        """Every fourth request of a kind goes wrong, each time in another way."""
        with lock:
            kinds[request.kind] += 1
            if kinds[request.kind] % 4:
                return None
            hits[request.kind] += 1
            return bad[hits[request.kind] % len(bad)]

    run.proxy.script = script
    run.finish()
    faults.once("nothing")

    assert hits["write"] > len(bad)
    assert run.results() == undisturbed
    assert Lease.model_validate_json(run.store.read("lease.json").content).driver_epoch == 1
    assert len(run.store.names("generations/")) == 4 * 4  # record and log, each with its copy


def test_of_two_drivers_the_later_one_goes_on(run):
    """Cloud Storage has no locks: the first finds out when it commits and leaves everything to the other."""
    run.finish()
    undisturbed = run.results()
    run.forget()
    held, go_on = threading.Event(), threading.Event()

    def hold(request, pass_on):
        run.proxy.script = lambda request: None
        held.set()
        go_on.wait(300)
        return pass_on(request)

    run.proxy.script = lambda request: (
        hold if written(request).startswith("generations/000001.json") else None
    )
    first = run.start()
    assert held.wait(300)

    said = run.finish()
    finished = {name: run.store.version(name) for name in run.store.names()}
    go_on.set()
    _, refused = first.communicate(timeout=300)

    assert "going on after generation 0" in said
    assert first.returncode == 5
    assert (
        f"only driver of the run in {run.store.address}, found that another one has taken it over" in refused
    )
    assert run.results() == undisturbed
    assert run.manifest().driver_epoch == 2
    assert {name: run.store.version(name) for name in finished} == finished
