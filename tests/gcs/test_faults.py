"""Runs in a bucket that really train, under faults of storage, data and training; each ends as it should.

Rows of the list of faults in the design that need no cluster. LFADS on TensorFlow, the real storage client,
a bucket that fails as it is told. One trainer is compiled for all runs, as a worker has one for all
generations; the oracle is the same run undisturbed.
"""

import functools
import json
import time
from dataclasses import replace

import numpy as np
import pytest
import yaml
from google.cloud import storage
from typer.testing import CliRunner

from autolfads_spec.attempt import AttemptEnd
from autolfads_spec.manifest import GenerationRecord, Manifest
from autolfads_spec.store import open_store
from faulty_storage import refusal
from lfads_worker import cli
from lfads_worker.execution.trainers import TensorFlowTrainer
from lfads_worker.results.commit import Commits

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# What a run is for, none of it measured.
RESULTS = ("best/weights.npz", "population.csv", "hyperparameters.csv", "decisions.csv", "rates.h5")
SPEC = {
    "model": {
        "icEncoderUnits": 6,
        "ciEncoderUnits": 6,
        "controllerUnits": 5,
        "generatorUnits": 8,
        "factors": 3,
    },
    "training": {"batchSize": 10, "klRamp": {"epochs": 0}, "l2Ramp": {"epochs": 0}},
    "population": {"size": 4, "generations": 4, "epochsPerGeneration": 5, "seed": 1},
    "compute": {"membersPerCohort": 2},
}
# A penalty so large that the gradient of whoever draws it is no number any more.
DEADLY = 1e38
SOME_DIE = {"name": "l2Generator", "distribution": "Choice", "values": [0.0, DEADLY]}
HALF = 1  # the last committed generation of a run that is gone on with


@pytest.fixture(scope="module")
def bucket(storage_emulator):
    """One bucket for all runs of this module, as gs://name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", storage_emulator)
        storage.Client(project="p").create_bucket("faults")
        yield "gs://faults"


class Altered:
    """A trainer that gets other tasks than those of its driver."""

    def __init__(self, trainer, altered):
        self._trainer, self._altered = trainer, altered

    def __getattr__(self, name):
        return getattr(self._trainer, name)

    def train_generation(self, task, progress=None):
        return self._trainer.train_generation(self._altered(task), progress)


class Lab:
    """A recording in a bucket, and runs on it."""

    def __init__(self, bucket, folder):
        self.bucket, self.folder = bucket, folder
        self.store = open_store(f"{bucket}/run")
        self.trainers = []
        self.record()

    def call(self, *words):
        return CliRunner().invoke(cli.app, [str(word) for word in words])

    def record(self, seed=0):
        shape = ("--neurons", 6, "--conditions", 4, "--trials-per-condition", 6, "--bins", 10)
        path = self.folder / "data.h5"
        assert self.call("synthesize", "lorenz", path, *shape, "--seed", seed, "--overwrite").exit_code == 0
        open_store(self.bucket).write_file("data.h5", path)

    def run(self, attempt, altered=lambda task: task):
        """An attempt at the run, by the command of the operator; what is trained may be altered before."""
        population = {**SPEC["population"], "searchSpace": [SOME_DIE]}
        output = {"uri": self.store.address, "posteriorSamples": 2, "report": False, "keepGenerations": 2}
        spec = {**SPEC, "data": {"uri": f"{self.bucket}/data.h5"}, "output": output, "population": population}
        head = {
            "apiVersion": "autolfads.dev/v1alpha1",
            "kind": "AutoLFADSRun",
            "metadata": {"name": "faults"},
        }
        path = self.folder / "run.yaml"
        path.write_text(yaml.safe_dump({**head, "spec": spec}))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cli, "make_trainer", functools.partial(self._trainer, altered))
            return self.call("run", path, "--workers", 0, "--attempt", attempt)

    def _trainer(self, altered, spec, data):
        def the_only_one(threads):
            if not self.trainers:
                self.trainers.append(TensorFlowTrainer(spec, data)(threads))
            return Altered(self.trainers[0], altered)

        return the_only_one

    def files(self):
        return {name: self.store.read(name).content for name in self.store.names()}

    def put(self, files):
        """The output folder as it was."""
        for name in self.store.names():
            self.store.delete(name)
        for name, content in files.items():
            self.store.write(name, content)

    def manifest(self):
        return Manifest.model_validate_json(self.store.read("manifest.json").content)

    def newest(self):
        """The record of the last committed generation."""
        return GenerationRecord.model_validate_json(
            self.store.read(self.manifest().generations[-1].record.name).content
        )

    def end(self, attempt):
        return AttemptEnd.model_validate_json(self.store.read(f"attempts/{attempt:02d}/end.json").content)

    def differing(self, expected):
        return [name for name in RESULTS if self.store.read(name).content != expected[name]]


@pytest.fixture(scope="module")
def module_lab(bucket, tmp_path_factory):
    """The lab, what the undisturbed run gives, and its folder when two of four generations were committed."""
    lab, half = Lab(bucket, tmp_path_factory.mktemp("faults")), {}

    def commit(commits, position):
        really(commits, position)
        if position.generations[-1].generation == HALF:
            half.update(lab.files())

    really = Commits.commit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Commits, "commit", commit)
        done = lab.run(1)
    assert done.exit_code == 0, done.output
    return lab, lab.files(), half


@pytest.fixture
def lab(module_lab, proxy):
    return module_lab[0]


@pytest.fixture
def undisturbed(module_lab):
    return module_lab[1]


@pytest.fixture
def half(module_lab, lab):
    """The run is half done; what its folder holds."""
    lab.put(module_lab[2])
    assert lab.manifest().generation == HALF
    return module_lab[2]


def finishes_the_same(lab, attempt, expected):
    done = lab.run(attempt)
    assert done.exit_code == 0, done.output
    assert lab.differing(expected) == []
    return done


# Storage that answers 429 or 503.


class Outage:
    """From the first write of a name on nothing but refusals, for some seconds or for good."""

    def __init__(self, name, seconds=None):
        self._name, self._seconds = name, seconds
        self._until, self._count = None, 0

    def __call__(self, request):
        if self._until is None and self._name in (request.name if request.kind in ("write", "begin") else ""):
            self._until = time.monotonic() + (self._seconds or 1e9)
        if self._until is None or time.monotonic() > self._until:
            return None
        self._count += 1
        return self._refused

    def _refused(self, request, pass_on):
        return refusal((429, 503)[self._count % 2])


def test_a_burst_of_refusals_makes_a_generation_late_and_loses_none(lab, half, undisturbed, proxy):
    proxy.script = Outage("checkpoints/000002", seconds=5)

    done = finishes_the_same(lab, 2, undisturbed)

    assert "does not answer as it should (HTTP" in done.stderr
    late = {entry.generation: entry.commit_seconds for entry in lab.manifest().generations}
    assert late[2] > 4.5
    assert lab.manifest().driver_epoch == 2  # the one before, and one that lived through it


def test_a_bucket_that_stays_away_ends_the_attempt_and_the_next_one_goes_on(
    lab, half, undisturbed, proxy, monkeypatch
):
    monkeypatch.setenv("AUTOLFADS_STORE_PATIENCE", "3")
    proxy.script = Outage("checkpoints/000002")

    given_up = lab.run(2)
    proxy.script = lambda request: None

    assert given_up.exit_code == 5
    assert f"(generation {HALF} and all before it are committed)" in given_up.stderr
    assert "the operator could not be told" in given_up.stderr
    assert lab.manifest().generation == HALF
    finishes_the_same(lab, 3, undisturbed)


# Damaged checkpoints.


def change(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES = [
    pytest.param(change, "has changed: its checksum is another one", id="one bit"),
    pytest.param(lambda content: content[: len(content) // 2], "bytes instead of", id="half"),
    pytest.param(None, "is missing", id="nothing"),
]


@pytest.mark.parametrize(("damage", "told"), DAMAGES)
def test_a_damaged_checkpoint_costs_its_generation_and_is_named(lab, half, undisturbed, damage, told):
    name = lab.newest().checkpoints[1].name
    lab.store.write(name, damage(half[name])) if damage else lab.store.delete(name)

    done = finishes_the_same(lab, 2, undisturbed)

    assert f"generation {HALF} cannot be gone on from" in done.stderr
    assert name in done.stderr
    assert told in done.stderr
    assert f"going on after generation {HALF - 1}" in done.stderr


def test_with_no_whole_checkpoint_the_run_begins_anew_and_says_so(lab, half, undisturbed):
    for name in lab.store.names("checkpoints/"):
        lab.store.write(name, change(half[name]))

    done = finishes_the_same(lab, 2, undisturbed)

    assert "no committed generation is whole: the run begins anew" in done.stderr


# A recording that is replaced.


def test_another_recording_ends_the_attempt_and_what_was_trained_stays(lab, half, undisturbed):
    lab.record(seed=9)

    refused = lab.run(2)

    assert refused.exit_code == 5
    assert lab.end(2).end_class == "data-changed"
    assert "data.h5 has another content now" in lab.end(2).message
    kept = ("manifest.json", "generations/", "checkpoints/", "lease.json")
    now = lab.files()
    assert [name for name in half if name.startswith(kept) and now.get(name) != half[name]] == []
    lab.record()
    finishes_the_same(lab, 3, undisturbed)


# Members that diverge.


def test_members_that_diverge_are_replaced_and_nobody_copies_them(lab, undisturbed):
    table = undisturbed["population.csv"].decode().splitlines()
    place = table[0].split(",").index("score")
    scores = [row.split(",")[place] for row in table[1:]]
    assert 0 < scores.count("") < len(scores)
    members = [
        GenerationRecord.model_validate_json(undisturbed[f"generations/{number:06d}.json"])
        for number in range(4)
    ]
    decisions = [decision for record in members for decision in record.decisions]
    diverged = [decision for decision in decisions if decision.score is None]
    assert diverged
    assert all(decision.source != decision.member for decision in diverged)
    assert all(decision.source_score is not None for decision in decisions)
    assert json.loads(undisturbed["results.json"])["best"]["score"] > 0


def test_a_population_that_diverges_keeps_its_best_earlier_model(lab):
    def without_numbers(task):
        if task.generation == 0:
            return task
        return replace(task, state=replace(task.state, weights=np.full_like(task.state.weights, np.nan)))

    lab.put({})

    failed = lab.run(1, without_numbers)

    assert failed.exit_code == 4
    assert lab.end(1).end_class == "diverged"
    assert (lab.end(1).generation, lab.manifest().generation) == (0, 0)
    assert "found all 4 diverged" in lab.end(1).message
    best = lab.newest().best
    assert (best.generation, lab.manifest().best.score) == (0, best.score)
    assert len(lab.store.read(best.checkpoint.name).content) == best.checkpoint.bytes
