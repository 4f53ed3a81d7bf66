"""Runs on a real node that cannot succeed until their user mends something: each ends, and says what.

Rows of the list of faults in the design. Nothing is played: the kernel kills, KubeRay restarts, Ray reports.
"""

import math

import h5py
import numpy as np
import pytest

from autolfads_spec.store import open_store
from kube.lorenz import autolfads
from kube.storage import SOCKETS

pytestmark = [pytest.mark.kube, pytest.mark.gcs, pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1200)]

# What is gone on from: no later attempt may touch it before it knows the recording.
TRAINED = ("manifest.json", "generations/", "checkpoints/")


@pytest.fixture(scope="module")
def long_recording(tmp_path_factory):
    """A small file that takes gigabytes to look at: with barely too much, a head crawls for minutes."""
    path = tmp_path_factory.mktemp("long") / "long.h5"
    rng, shape = np.random.default_rng(0), (1200, 1500, 200)
    with h5py.File(path, "w") as file:
        spikes = file.create_dataset("spikes", shape, "u1", chunks=(1, *shape[1:]), compression=1)
        for trial in range(len(spikes)):
            spikes[trial] = rng.random(shape[1:]) < 0.01
        file["binWidthMs"] = 10.0
    return path


def test_a_head_with_too_little_memory_is_tried_three_times_and_the_field_is_named(
    lorenz, bucket, long_recording, eventually
):
    open_store(bucket).write_file("lorenz.h5", long_recording)
    lorenz.apply(compute={"head": {"cpu": "100m", "memory": "1300Mi"}})
    eventually(lambda: lorenz.status.get("phase") == "Failed", seconds=600, pause=0.5)

    failed = lorenz.condition("Failed")
    assert failed["reason"] == "HeadOutOfMemory"
    assert "raise spec.compute.head.memory" in failed["message"]
    # The kernel may kill a part of Ray beside the driver: that attempt ends as a head that was lost.
    ends = [attempt["endReason"] for attempt in lorenz.status["attempts"]]
    assert [reason for reason in ends if reason != "HeadLost"] == ["HeadOutOfMemory"] * 3


@SOCKETS
def test_a_recording_that_is_replaced_during_a_pause_fails_the_run_and_costs_nothing_that_was_trained(
    storage, lorenz, bucket, tmp_path, eventually
):
    storage.pace(3, almost_still_from=math.inf)
    lorenz.apply(population={"generations": 20})
    eventually(lambda: lorenz.generations >= 1, seconds=600)
    lorenz.patch(suspend=True)
    eventually(lambda: lorenz.status["phase"] == "Suspended", seconds=300)
    trained = {name: content for name, content in lorenz.results().items() if name.startswith(TRAINED)}
    shape = ("--neurons", "8", "--conditions", "6", "--trials-per-condition", "4", "--bins", "12")
    autolfads("synthesize", "lorenz", tmp_path / "other.h5", *shape, "--seed", "9")
    open_store(bucket).write_file("lorenz.h5", tmp_path / "other.h5")
    lorenz.patch(suspend=False)
    eventually(lambda: lorenz.status["phase"] == "Failed", seconds=300)

    failed = lorenz.condition("Failed")
    assert failed["reason"] == "DataChanged"
    assert f"found that {lorenz.data} has another content now" in failed["message"]
    assert (lorenz.condition("DataReady")["status"], lorenz.status["attempt"]) == ("False", 2)
    assert {len(content) > 0 for content in trained.values()} == {True}
    assert [name for name, content in trained.items() if lorenz.store.read(name).content != content] == []
    assert lorenz.status["progress"]["generation"] == lorenz.manifest().generation + 1
