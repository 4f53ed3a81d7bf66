"""Operators that die, wait for each other, or lose the API server; and what one costs and may do."""

import json
import time

import pytest
from kubernetes import client

from autolfads_spec.manifest import Lease
from kube.operator_process import unable_to_write_status

pytestmark = [pytest.mark.kube, pytest.mark.timeout(300)]


def writes_of_operator(cluster, namespace):
    changing = ("create", "update", "patch", "delete")
    return [
        event
        for event in cluster.audited("operator")
        if event["verb"] in changing and event["objectRef"].get("namespace") == namespace
    ]


def writes_nothing(cluster, namespace, seconds=5):
    """Whether operators let a namespace be for so long; asked again, since late news are no unrest."""
    before = len(writes_of_operator(cluster, namespace))
    time.sleep(seconds)
    return len(writes_of_operator(cluster, namespace)) == before


def test_two_operators_at_once_make_one_of_each_and_come_to_rest(cluster, run, start, eventually):
    start(LEADER_ELECTION="false", wait=False)
    start(LEADER_ELECTION="false")
    run.apply()
    eventually(run.is_started)

    eventually(lambda: writes_nothing(cluster, run.namespace))
    assert list(run.ray_jobs()) == ["reach-a01"]
    assert Lease.model_validate_json(run.store.read("lease.json").content).attempt == 1
    assert len(writes_of_operator(cluster, run.namespace)) < 40


def test_an_operator_that_was_killed_adopts_what_it_made(cluster, run, start, eventually):
    operator = start()
    with unable_to_write_status(cluster):
        run.apply()
        eventually(lambda: run.ray_jobs())
        operator.kill()
    assert "attempt" not in run.status
    (job,) = run.ray_jobs().values()
    operator.start()
    eventually(run.is_started)
    time.sleep(3)

    (adopted,) = run.ray_jobs().values()
    assert adopted["metadata"]["uid"] == job["metadata"]["uid"]
    assert run.status["attempt"] == 1


def test_an_operator_that_died_between_lease_and_ray_job_goes_on_with_the_same_attempt(
    run, start, eventually
):
    run.apply()
    uid = run.read()["metadata"]["uid"]
    run.store.write("lease.json", Lease(attempt=1, owner=uid).to_bytes())
    start()
    eventually(run.is_started)

    assert list(run.ray_jobs()) == ["reach-a01"]
    assert Lease.model_validate_json(run.store.read("lease.json").content).attempt == 1


def test_the_second_operator_waits_and_takes_over_at_once_when_the_first_ends_in_order(start, eventually):
    first = start("first", LEASE_SECONDS="60")
    second = start("second", is_standby=True)
    eventually(lambda: "Lease: not held" in second.ask("/readyz")[1])

    first.stop()
    assert first.exit_status == 0
    eventually(lambda: second.ask("/readyz")[0] == 200, seconds=40)  # it takes a second or two


def test_the_second_operator_takes_over_when_the_first_is_killed(start, eventually):
    first = start("first")
    second = start("second", is_standby=True)
    first.kill()

    eventually(lambda: second.ask("/readyz")[0] == 200)


def test_an_operator_whose_lease_is_taken_ends(cluster, start, eventually):
    operator = start("first")
    leases = client.CoordinationV1Api(cluster.client())
    body = {"spec": {"holderIdentity": "somebody-else"}}
    leases.patch_namespaced_lease("autolfads-operator", "autolfads-system", body)

    eventually(lambda: not operator.is_alive)
    assert operator.exit_status == 3
    leases.delete_namespaced_lease("autolfads-operator", "autolfads-system")


@pytest.fixture
def api_server(cluster):
    """The API server, which may be killed: those who watch it start anew afterwards."""
    yield cluster.apiserver
    cluster.start_missing()
    cluster.start_clients_anew()


def test_an_operator_without_an_api_server_ends_and_its_successor_goes_on(api_server, run, start, eventually):
    operator = start()
    run.apply()
    eventually(run.is_started)
    api_server.kill()
    eventually(lambda: not operator.is_alive)
    operator.launch()
    eventually(lambda: operator.ask("/readyz")[0] == 503)
    api_server.start()

    eventually(lambda: operator.ask("/readyz")[0] == 200)
    run.drive(generation=2)
    eventually(lambda: run.status["progress"]["summary"] == "3/4")
    assert len(run.ray_jobs()) == 1


def test_a_short_outage_is_survived(api_server, run, start, eventually):
    operator = start(LEASE_SECONDS="120", LEASE_GIVE_UP_SECONDS="100")
    run.apply()
    eventually(run.is_started)
    api_server.kill()
    time.sleep(3)
    api_server.start()
    run.drive(generation=2)

    eventually(lambda: run.status["progress"]["summary"] == "3/4", seconds=60)
    assert operator.is_alive
    assert len(run.ray_jobs()) == 1


def test_no_right_is_missing_and_no_secret_is_asked_for(cluster, run, start, eventually):
    before = len(cluster.audited("operator"))
    start()
    run.apply()
    eventually(run.is_started)
    run.drive()
    eventually(lambda: run.condition("DataReady").get("status") == "True")
    run.delete()
    eventually(lambda: run.read() is None, seconds=90)

    # Others are still being taken down with their namespaces, in which nothing can be made any more.
    own = (run.namespace, "autolfads-system", None)
    asked = [
        event
        for event in cluster.audited("operator")[before:]
        if event.get("objectRef", {}).get("namespace") in own
    ]
    refused = [event["requestURI"] for event in asked if event["responseStatus"].get("code") == 403]
    assert refused == []
    assert {event["objectRef"]["resource"] for event in asked if "objectRef" in event} <= {
        "autolfadsruns",
        "rayjobs",
        "rayclusters",
        "pods",
        "configmaps",
        "events",
        "leases",
        "customresourcedefinitions",
    }


def test_every_line_of_the_log_is_json_and_those_of_a_run_name_it(run, start, eventually):
    operator = start()
    run.apply()
    eventually(run.is_started)
    operator.stop()

    text, _, _ = operator.log.read_text().partition("asked to end")  # then Python itself may have remarks
    lines = [json.loads(line) for line in text.splitlines()[:-1] if not line.startswith("===")]
    uid = run.read()["metadata"]["uid"]
    mine = [line for line in lines if line.get("uid") == uid]
    assert any("RayJob" in line["message"] for line in mine)
    assert all(line["run"] == f"{run.namespace}/reach" for line in mine)
    assert [line for line in lines if line["severity"] in ("ERROR", "CRITICAL")] == []


def looks(operator):
    """How often it has looked at runs."""
    lines = operator.ask("/metrics")[1].splitlines()
    name = "autolfads_reconcile_seconds_count "
    return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))


def test_an_idle_run_costs_next_to_nothing(cluster, run, start, eventually):
    operator = start(POLL_STARTING_SECONDS="5", POLL_RUNNING_SECONDS="15")
    run.apply()
    eventually(run.is_started)
    eventually(lambda: writes_nothing(cluster, run.namespace))
    used, looked, asked = operator.cpu_seconds, looks(operator), len(cluster.audited("operator"))
    time.sleep(15)

    assert looks(operator) - looked < 10  # one in five seconds; without pauses it would be five in one
    assert operator.cpu_seconds - used < 1.5  # of 15 s, kopf's own included, on a busy machine
    things = [event["objectRef"] for event in cluster.audited("operator")[asked:]]
    # What earlier tests have left is still being cleaned up in namespaces of their own.
    assert len([thing for thing in things if thing.get("namespace") == run.namespace]) < 10
