"""One operator and one run on a real API server: what is made, what is said, what is left.

No Ray runs here: KubeRay makes its objects and their pods find no node. What a driver writes into the
bucket is written by the tests.
"""

import time

import pytest
from kubernetes import client

from autolfads_operator.manifests.names import FIELD_MANAGER, FINALIZER
from autolfads_spec.manifest import Lease

pytestmark = [pytest.mark.kube, pytest.mark.timeout(300)]


def test_an_applied_run_gets_what_it_needs_once_and_a_status(cluster, run, start, eventually):
    operator = start()
    run.apply()
    eventually(run.is_started)
    time.sleep(2)

    (job,) = run.ray_jobs().values()
    uid = run.read()["metadata"]["uid"]
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (uid, True, False)
    core = client.CoreV1Api(cluster.client())
    assert core.read_namespaced_config_map("reach-a01", run.namespace).immutable
    lease = Lease.model_validate_json(run.store.read("lease.json").content)
    assert (lease.attempt, lease.driver_epoch) == (1, 0)
    assert run.condition("Accepted")["status"] == "True"
    assert {"Accepted", "AttemptStarted"} <= set(run.events())
    assert 'autolfads_runs{phase="Failed"} 0.0' in operator.ask("/metrics")[1]


def test_nothing_is_left_in_the_run_but_our_finalizer_and_our_status(run, start, eventually):
    start()
    run.apply()
    eventually(run.is_started)

    metadata = run.read()["metadata"]
    assert metadata["finalizers"] == [FINALIZER]
    assert "annotations" not in metadata
    ours = [entry for entry in metadata["managedFields"] if entry["manager"] == FIELD_MANAGER]
    status = [entry for entry in ours if entry.get("subresource") == "status"]
    assert [entry["operation"] for entry in status] == ["Apply"]
    assert {entry["manager"] for entry in metadata["managedFields"]} == {"kubectl", FIELD_MANAGER}


def test_workers_are_asked_for_once_the_driver_has_accepted_the_data(run, start, eventually):
    def replicas():
        return [group["replicas"] for thing in run.clusters() for group in thing["spec"]["workerGroupSpecs"]]

    start()
    run.apply()
    eventually(lambda: replicas() == [0])
    run.drive()

    eventually(lambda: replicas() == [2])
    eventually(lambda: run.condition("DataReady")["status"] == "True")
    run.drive(generation=1)
    eventually(lambda: run.status["progress"]["summary"] == "2/4")


def test_fields_that_others_change_are_restored_and_fields_of_others_stay(run, start, eventually):
    start()
    run.apply()
    eventually(run.is_started)
    body = {"status": {"phase": "Succeeded", "attempt": 7, "cost": {"currency": "EUR"}}}
    run.custom.patch_namespaced_custom_object_status(*run.where, run.name, body)

    eventually(lambda: run.status["phase"] != "Succeeded" and run.status["attempt"] == 1)
    assert run.status["cost"] == {"currency": "EUR"}
    assert len(run.ray_jobs()) == 1


def test_a_ray_job_that_was_deleted_by_hand_is_replaced_by_the_next_attempt(cluster, run, start, eventually):
    start()
    run.apply()
    eventually(run.is_started)
    cluster.kubectl("delete", "rayjob", "reach-a01", "-n", run.namespace)

    eventually(lambda: run.is_started(2), seconds=60)
    assert run.status["attempts"][0]["endReason"] == "RayJobDeleted"
    assert "AttemptFailed" in run.events()


def test_a_deleted_run_leaves_nothing_but_its_results(run, start, eventually):
    start()
    run.apply()
    eventually(run.is_started)
    run.drive(generation=0)
    eventually(lambda: run.clusters())
    run.delete()

    eventually(lambda: not run.left(), seconds=90)
    assert {"lease.json", "manifest.json"} <= set(run.store.names())


def test_a_run_that_is_deleted_while_no_operator_runs_is_released_by_the_next(run, start, eventually):
    first = start()
    run.apply()
    eventually(run.is_started)
    first.stop()
    run.delete()
    time.sleep(1)
    assert run.read() is not None

    start()
    eventually(lambda: not run.left(), seconds=90)


def test_a_run_of_the_same_name_starts_anew_with_attempts_of_its_own(run, start, eventually):
    start()
    run.apply()
    eventually(run.is_started)
    first = run.read()["metadata"]["uid"]
    run.delete()
    eventually(lambda: run.read() is None, seconds=90)
    run.apply()

    eventually(lambda: run.ray_jobs(), seconds=60)
    (job,) = run.ray_jobs().values()
    assert job["metadata"]["ownerReferences"][0]["uid"] != first
