"""Whatever breaks under a run that really trains, it goes on by itself and ends with the same weights.

Each test is a row of the list of faults in the design. The oracle is the same run outside of the cluster.
"""

import json
import re

import h5py
import numpy as np
import pytest

from autolfads_spec.store import open_store
from kube.lorenz import local_run

pytestmark = [pytest.mark.kube, pytest.mark.gcs, pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1200)]

# Long enough to be hit in the middle.
LONG = {"generations": 8}
# What a run is for, none of it measured, none of it with the run's name in it.
RESULTS = ("best/weights.npz", "population.csv", "hyperparameters.csv", "decisions.csv")


@pytest.fixture(scope="module")
def undisturbed(recording, tmp_path_factory):
    """Results of the same population on this machine, in one process, without any fault."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return local_run(folder, recording, population=LONG)


@pytest.fixture
def ends_the_same(lorenz, undisturbed, eventually):
    """Waits until the run is complete, and compares."""

    def check(*attempts):
        eventually(lambda: lorenz.status.get("phase") in ("Succeeded", "Failed"), seconds=900, pause=0.5)
        status = lorenz.status
        assert status["phase"] == "Succeeded", status["message"]
        assert status["attempt"] in attempts
        found = {name: lorenz.store.read(name).content for name in RESULTS}
        assert [name for name in RESULTS if found[name] != undisturbed[name]] == []
        numbers = [name for name in lorenz.store.names() if re.fullmatch(r"generations/\d+\.json", name)]
        assert len(numbers) == LONG["generations"]

    return check


@pytest.fixture
def trains(lorenz, eventually):
    """The run has committed a generation and is in the middle of another."""
    lorenz.apply(population=LONG)
    eventually(lambda: lorenz.generations >= 1, seconds=600)
    assert lorenz.generations < LONG["generations"]
    return lorenz


def delete_pod(run, name):
    run.cluster.kubectl("delete", "pod", name, "-n", run.namespace, "--force", "--grace-period=0")


def test_a_recording_that_cannot_be_used_fails_the_run_before_any_worker_is_asked_for(
    cluster, lorenz, bucket, tmp_path, eventually
):
    with h5py.File(tmp_path / "bad.h5", "w") as file:
        file["firing"] = np.zeros((4, 5, 6))
    open_store(bucket).write_file("lorenz.h5", tmp_path / "bad.h5")

    lorenz.apply()
    eventually(lambda: lorenz.status.get("phase") == "Failed", seconds=300)

    failed = lorenz.condition("Failed")
    assert (failed["status"], failed["reason"]) == ("True", "BadInput")
    assert "firing" in failed["message"]  # what was found
    assert (lorenz.status["attempt"], lorenz.condition("DataReady")["status"]) == (1, "False")
    asked = [(event["verb"], event.get("objectRef", {})) for event in cluster.audited("kuberay")]
    made = [
        thing
        for verb, thing in asked
        if verb == "create" and (thing.get("resource"), thing.get("namespace")) == ("pods", lorenz.namespace)
    ]
    assert len(made) == 1  # the head


def test_a_head_that_is_killed_costs_at_most_a_generation(trains, ends_the_same):
    (head,) = trains.pods("head")
    delete_pod(trains, head)

    # KubeRay makes another head and submits the driver again, or gives up: then it is another attempt.
    ends_the_same(1, 2)
    assert trains.pods("head") != [head]


def test_a_worker_that_is_killed_in_a_generation_costs_no_attempt(trains, ends_the_same):
    delete_pod(trains, trains.pods("worker")[0])

    ends_the_same(1)


def test_a_ray_job_that_is_deleted_by_hand_is_followed_by_another_attempt(trains, ends_the_same):
    trains.cluster.kubectl("delete", "rayjob", "lorenz-a01", "-n", trains.namespace, "--wait=false")

    ends_the_same(2)
    assert trains.status["attempts"][0]["endReason"] == "RayJobDeleted"
    assert "AttemptFailed" in trains.events()


def test_an_operator_that_is_killed_finds_the_ray_job_it_has_made(lorenz, eventually, ends_the_same):
    lorenz.apply(population=LONG)
    eventually(lambda: "lorenz-a01" in lorenz.ray_jobs(), seconds=60, pause=0)
    lorenz.operator.kill()
    (made,) = lorenz.ray_jobs().values()
    lorenz.operator.start()

    ends_the_same(1)
    (found,) = lorenz.ray_jobs().values()
    assert found["metadata"]["uid"] == made["metadata"]["uid"]


def test_a_run_that_is_suspended_gives_its_machines_back_and_goes_on_where_it_was(
    trains, eventually, ends_the_same
):
    trains.cluster.kubectl(*patch(trains, suspend=True), actor="user")
    eventually(lambda: trains.status["phase"] == "Suspended", seconds=300)
    assert trains.ray_jobs() == {}
    eventually(lambda: trains.pods("worker") + trains.pods("head") == [], seconds=60)
    before = trains.generations
    assert 1 <= before < LONG["generations"]

    trains.cluster.kubectl(*patch(trains, suspend=False), actor="user")

    ends_the_same(2)
    assert "Paused" in trains.events()


def patch(run, **spec):
    return (
        "patch",
        "alr",
        run.name,
        "-n",
        run.namespace,
        "--type=merge",
        "-p",
        json.dumps({"spec": spec}),
    )
