"""One operator when much happens at once or nothing works: storms of runs, storage, clocks and watches.

Rows of the list of faults in the design, on a real API server with the operator as a process. What drivers
write into the bucket, and what KubeRay says of them, is played.
"""

import collections
import contextlib
import datetime
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from kubernetes import client

from autolfads_spec.attempt import AttemptEnd, EndClass, Wish
from autolfads_spec.manifest import BestMember, CommittedGeneration, Lease, Manifest, StoredFile
from gcs.conftest import refusal
from kube.operator_process import OperatorProcess
from kube.runs import GENERATIONS, Run
from kube.storage import SOCKETS
from kube.test_operator_watches import compact

pytestmark = [pytest.mark.kube, pytest.mark.timeout(600), SOCKETS]

HOUR = 3600
LONG_AGO = "2026-01-01T00:00:00+00:00"
MANY = 200
# After so long a driver is silent; the one of a test shares its processor with three other tests.
STALE_SECONDS = 30
STALE = {"HEARTBEAT_STALE_SECONDS": str(STALE_SECONDS), "HEARTBEAT_GENERATIONS": "0"}


def beat(run, later_seconds=0.0, **changes):
    """A sign of life of its driver, by a clock that may be wrong."""
    now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=later_seconds)
    manifest = Manifest.model_validate_json(run.store.read("manifest.json").content)
    run.store.write(
        "manifest.json", manifest.model_copy(update={"heartbeat": now.isoformat(), **changes}).to_bytes()
    )


@contextlib.contextmanager
def beating(run):
    """A driver that lives, whatever the test waits for meanwhile."""
    is_over = threading.Event()

    def live():
        while not is_over.wait(0.5):
            beat(run)

    driver = threading.Thread(target=live, name="driver")
    driver.start()
    try:
        yield
    finally:
        is_over.set()
        driver.join()


def end(run, end_class, message, generation):
    word = AttemptEnd(
        attempt=1,
        driver_epoch=1,
        end_class=end_class,
        message=message,
        generation=generation,
        ended_at=datetime.datetime.now(datetime.UTC).isoformat(),
    )
    run.store.write("attempts/01/end.json", word.to_bytes())


def fail(run, attempt=1, message="exit 5"):
    """What KubeRay says of a driver that has exited."""
    where = ("ray.io", "v1", run.namespace, "rayjobs", f"{run.name}-a{attempt:02d}")
    status = {
        "jobStatus": "FAILED",
        "jobDeploymentStatus": "Failed",
        "reason": "AppFailed",
        "message": message,
    }
    run.custom.patch_namespaced_custom_object_status(*where, {"status": status})


def ends_of(run):
    return [attempt.get("endReason") for attempt in run.status.get("attempts", ())]


# Watches that are lost.


def test_runs_that_came_and_went_while_no_watch_stood_are_noticed_after_compaction(
    cluster, run, start, eventually, bucket
):
    operator = start(LEADER_ELECTION="false", RESYNC_SECONDS="3")
    other = Run(cluster, run.namespace, bucket, "later")
    run.apply()
    eventually(run.is_started)
    os.kill(operator.pid, signal.SIGSTOP)
    free = (
        "patch",
        "alr",
        run.name,
        "-n",
        run.namespace,
        "--type=merge",
        "-p",
        '{"metadata":{"finalizers":null}}',
    )
    run.delete()
    cluster.kubectl(*free)  # by hand, as people do
    eventually(lambda: run.read() is None)
    other.apply()
    compact(cluster)
    cluster.apiserver.restart()
    os.kill(operator.pid, signal.SIGCONT)

    eventually(other.is_started, seconds=60)
    eventually(lambda: "run is gone" in operator.log.read_text(), seconds=30)
    eventually(
        lambda: list(run.ray_jobs()) == ["later-a01"], seconds=60
    )  # the rest is garbage, and collected


# Storage that does not answer.


def test_storage_that_is_away_is_told_and_only_a_driver_that_it_made_end_is_followed(
    run, start, eventually, storage
):
    def storage_is(status):
        return eventually(lambda: run.condition("StorageWritable")["status"] == status, seconds=60)

    start(**STALE, STORE_TIMEOUT_SECONDS="3")
    run.apply()
    eventually(run.is_started)
    run.drive(generation=1)
    storage_is("True")
    (job,) = run.ray_jobs().values()

    storage.fault = lambda request: lambda request, pass_on: refusal(503)
    storage_is("False")
    told = run.condition("StorageWritable")
    assert told["reason"] == "StorageUnavailable"
    assert "HTTP 503" in told["message"] or "found none" in told["message"]
    time.sleep(STALE_SECONDS + 2)  # nobody can give a sign of life
    storage.fault = lambda request: None
    storage_is("True")
    time.sleep(2)  # and the next one is not there at once
    with beating(run):
        time.sleep(4)
    (same,) = run.ray_jobs().values()
    assert same["metadata"]["uid"] == job["metadata"]["uid"]
    assert ends_of(run) == [None]

    storage.fault = lambda request: lambda request, pass_on: refusal(503)
    storage_is("False")
    fail(run)
    eventually(lambda: "waiting for the output folder" in run.condition("Progressing")["message"])
    time.sleep(4)
    assert list(run.ray_jobs()) == ["reach-a01"]  # nothing is started, nothing costs anything
    storage.fault = lambda request: None
    eventually(lambda: run.is_started(2), seconds=90)
    assert run.status["attempts"][0]["endReason"] == "StorageUnavailable"


NO_ROLE = (
    "autolfads-operator@lab.iam.gserviceaccount.com does not have storage.objects.create access to the "
    "Google Cloud Storage object. Permission 'storage.objects.create' denied on resource."
)


def only_reads(request):
    """What somebody is told who has a role to read and none to write."""
    is_write = request.kind in ("write", "begin", "part", "delete")
    return (lambda request, pass_on: refusal(403, NO_ROLE)) if is_write else None


def test_an_operator_that_may_not_write_says_which_role_is_missing_and_goes_on_once_it_has_it(
    run, start, eventually, storage
):
    start()
    storage.fault = only_reads
    run.apply()
    eventually(lambda: run.condition("StorageWritable").get("status") == "False", seconds=60)
    told = run.condition("StorageWritable")
    assert told["reason"] == "StorageDenied"
    assert (
        "autolfads-operator@lab.iam.gserviceaccount.com may not (storage.objects.create)" in told["message"]
    )
    bucket = "/".join(run.address.split("/")[:3])
    assert f"give it the role roles/storage.objectUser on {bucket}" in told["message"]
    assert run.status["message"] == told["message"]
    assert run.status["phase"] == "Pending"
    time.sleep(5)
    assert run.ray_jobs() == {}
    assert "attempt" not in run.status
    since = told["lastTransitionTime"]
    assert (
        run.condition("StorageWritable")["lastTransitionTime"] == since
    )  # tried again, it says nothing else
    assert sum(write.status == 403 for write in storage.writes) < 5

    storage.fault = lambda request: None
    eventually(run.is_started, seconds=90)
    eventually(lambda: run.condition("StorageWritable")["status"] == "True")
    assert not run.status.get("failedAttempts")


def test_pods_that_lack_a_role_cost_no_attempt_and_the_role_is_named(run, start, eventually):
    start()
    run.apply(retry={"maxAttempts": 1})
    eventually(run.is_started)
    end(run, EndClass.INPUT_DENIED, "data.uri: wanted to read it, found that X may not; give it Y", None)
    fail(run)
    eventually(lambda: run.condition("DataReady").get("reason") == "StorageDenied", seconds=60)
    assert run.condition("DataReady")["message"].startswith(
        "data.uri: wanted to read it, found that X may not"
    )
    assert "service account" in run.condition("DataReady")["message"]
    assert run.status["phase"] != "Failed"

    eventually(lambda: run.is_started(2), seconds=120)
    fail(run, 2, "Job entrypoint command failed with exit code 7. No logs available.")
    eventually(lambda: run.condition("StorageWritable")["status"] == "False", seconds=60)
    told = run.condition("StorageWritable")
    assert told["reason"] == "StorageDenied"
    assert "the role roles/storage.objectUser on gs://" in told["message"]
    assert ends_of(run) == ["StorageDenied", "StorageDenied"]
    assert not run.status.get("failedAttempts")
    assert run.status["phase"] != "Failed"


# Two runs and one folder.


def test_a_second_run_in_the_same_folder_waits_for_the_first_and_then_goes_on(
    cluster, run, start, eventually, bucket
):
    operator = start()
    other = Run(cluster, run.namespace, bucket, "later")
    run.apply()
    eventually(run.is_started)
    other.apply(output={"uri": run.address})
    told = eventually(lambda: other.condition("Progressing"), seconds=60)
    assert (told["status"], told["reason"]) == ("False", "OutputTaken")
    assert f"run {run.namespace}/reach" in told["message"]
    run.drive(generation=1)
    eventually(lambda: run.status.get("progress", {}).get("summary") == "2/4", seconds=60)
    operator.stop()
    start()  # one that remembers nothing
    with beating(run):
        time.sleep(6)
    lease = Lease.model_validate_json(run.store.read("lease.json").content)
    assert (lease.attempt, lease.owner) == (1, run.read()["metadata"]["uid"])
    assert list(run.ray_jobs()) == ["reach-a01"]
    assert ends_of(run) == [None]
    assert (other.status["phase"], other.status.get("attempt")) == ("Pending", None)
    assert "cost" not in other.status

    run.store.write("results.json", b"{}")
    beat(run, generation=3, stop_reason="all generations are trained")
    end(run, EndClass.OK, "done", generation=3)
    fail(run)
    eventually(lambda: run.status["phase"] == "Succeeded", seconds=60)
    eventually(lambda: other.status.get("attempt") == 2, seconds=90)
    assert "later-a02" in other.ray_jobs()


# Drivers that cannot go on.


def test_a_population_that_diverged_fails_the_run_and_keeps_its_best_model(run, start, eventually):
    start()
    run.apply()
    eventually(run.is_started)
    run.drive(generation=1)
    best = BestMember(generation=1, member=3, score=0.25, hyperparameters={"learning_rate": 0.004})
    beat(run, best=best)
    run.store.write("checkpoints/best.npz", b"weights")
    eventually(lambda: run.status.get("best"))
    end(run, EndClass.DIVERGED, "wanted a member with a finite loss, found none; do that", generation=1)
    fail(run)

    eventually(lambda: run.status["phase"] == "Failed", seconds=60)
    failed = run.condition("Failed")
    assert failed["reason"] == "AllMembersDiverged"
    assert failed["message"] == "wanted a member with a finite loss, found none; do that"
    assert ends_of(run) == ["AllMembersDiverged"]
    assert (run.status["best"]["generation"], run.status["best"]["member"]) == (1, 3)
    assert run.status["progress"]["summary"] == "2/4"
    assert run.store.read("checkpoints/best.npz").content == b"weights"


# More generations of a run that is complete.


def test_a_complete_run_goes_further_once_more_generations_are_asked_for(cluster, run, start, eventually):
    start()
    run.apply()
    eventually(run.is_started)
    run.drive(generation=GENERATIONS - 1)
    record = StoredFile(name="generations/000000.json", bytes=1, sha256="0" * 64)
    committed = [
        CommittedGeneration(
            generation=number, record=record, seconds=1, commit_seconds=1, committed_at=LONG_AGO
        )
        for number in range(GENERATIONS)
    ]
    beat(run, generations=tuple(committed), stop_reason="all generations are done")
    run.store.write("results.json", b"{}")
    end(run, EndClass.OK, "done", generation=GENERATIONS - 1)
    fail(run)
    eventually(lambda: run.condition("Complete").get("status") == "True", seconds=60)

    run.apply(population={"size": 4, "generations": GENERATIONS + 2})
    eventually(lambda: run.is_started(attempt=2), seconds=60)
    assert run.condition("Complete")["status"] == "False"
    assert run.status["progress"]["summary"] == f"{GENERATIONS}/{GENERATIONS + 2}"
    assert ends_of(run)[0] == "Succeeded"
    asked = client.CoreV1Api(cluster.client()).read_namespaced_config_map("reach-a02", run.namespace).data
    assert f"generations: {GENERATIONS + 2}" in "".join(asked.values())


# Clocks that jump, and an operator that was away.


@pytest.fixture
def start_shifted(cluster, tmp_path):
    """Starts an operator whose clock is wrong: start_shifted(seconds, **settings); .shift(seconds) jumps."""
    started = []

    def begin(seconds, **settings):
        file = tmp_path / f"shift-{len(started)}"
        process = OperatorProcess(cluster, f"shifted-{len(started)}", **settings)
        program = str(Path(__file__).with_name("shifted_operator.py"))
        process.arguments = ["-W", "error::ResourceWarning", program, str(file)]
        process.shift = lambda seconds: file.write_text(str(seconds))
        process.shift(seconds)
        started.append(process)
        process.start()
        return process

    yield begin
    for process in started:
        process.stop()


PATIENT = {"provisioningTimeout": "20h", "deadline": "24h"}


def test_a_clock_that_jumps_makes_no_driver_silent(run, start_shifted, eventually):
    operator = start_shifted(0, **STALE)
    run.apply(schedule=PATIENT)
    eventually(run.is_started)
    run.drive(generation=1)
    eventually(lambda: run.condition("DataReady")["status"] == "True")
    with beating(run):
        for jump in (HOUR, -HOUR):
            operator.shift(jump)
            time.sleep(STALE_SECONDS / 2 + 2)
            assert ends_of(run) == [None]

    operator.shift(HOUR)
    eventually(lambda: run.is_started(2), seconds=120)  # and one that is silent is still found out
    assert ends_of(run)[0] == "DriverStalled"


@pytest.fixture
def machines(cluster):
    """Pods find a node, on which they seem to run."""
    cluster.add_node("plays")
    yield
    cluster.remove_node("plays")


def test_an_operator_that_was_away_for_an_hour_goes_on_by_what_is_written(
    run, start_shifted, eventually, machines
):
    first = start_shifted(0)
    run.apply()
    eventually(run.is_started)
    run.drive(generation=0)
    eventually(lambda: run.condition("ClusterReady")["status"] == "True", seconds=60)
    first.stop()
    (job,) = run.ray_jobs().values()
    beat(run, HOUR, generation=2)  # the driver has gone on
    start_shifted(HOUR)

    eventually(lambda: run.status["progress"]["summary"] == "3/4", seconds=60)
    (same,) = run.ray_jobs().values()
    assert same["metadata"]["uid"] == job["metadata"]["uid"]
    assert ends_of(run) == [None]
    # The deadline counts from when the run began, not from when this operator did.
    run.apply(schedule={"provisioningTimeout": "10m", "deadline": "90m"})
    time.sleep(3)
    assert run.condition("Progressing")["reason"] != "DeadlineExceeded"
    run.apply(schedule={"provisioningTimeout": "10m", "deadline": "30m"})
    eventually(lambda: run.condition("Progressing")["reason"] == "DeadlineExceeded", seconds=60)
    wish = Wish.model_validate_json(run.store.read("wish.json").content)
    assert (wish.pause, wish.attempt) == (True, 1)
    assert "spec.schedule.deadline" in wish.why


# Many runs at once.


@pytest.fixture
def without_kuberay(cluster):
    """Nobody works on RayJobs: two hundred clusters at once are not what is tested."""
    cluster.kuberay.stop()
    yield
    cluster.kuberay.start()


def asked_by_operator(cluster, namespace, since):
    """Requests for objects of a namespace; what earlier tests have left is in others."""
    events = cluster.audited("operator")[since:]
    return [event for event in events if event.get("objectRef", {}).get("namespace") == namespace]


def is_calm(cluster, namespace, seconds=20):
    """Whether for so long there is less than one request a minute for each of many runs."""
    before = len(cluster.audited("operator"))
    time.sleep(seconds)
    asked = asked_by_operator(cluster, namespace, before)
    print(f"in {seconds} s: {dict(collections.Counter(event['verb'] for event in asked))}")
    return len(asked) < MANY * seconds / 60


def test_two_hundred_runs_at_once_are_started_in_turn_with_few_requests(
    cluster, namespace, bucket, start, eventually, without_kuberay
):
    polls = {"POLL_STARTING_SECONDS": "5", "POLL_RUNNING_SECONDS": "15", "STATUS_INTERVAL_SECONDS": "10"}
    operator = start(**polls)
    runs = [Run(cluster, namespace, bucket, f"run-{number:03d}") for number in range(MANY)]
    before, began = len(cluster.audited("operator")), time.monotonic()
    cluster.apply(*(run.described() for run in runs), actor="user")
    applied = time.monotonic() - began
    eventually(lambda: len(runs[0].ray_jobs()) == MANY, seconds=300, pause=1)
    took = time.monotonic() - began
    eventually(lambda: len(list_started(runs[0])) == MANY, seconds=60, pause=1)

    asked = asked_by_operator(cluster, namespace, before)
    made = [e for e in asked if (e["verb"], e["objectRef"]["resource"]) == ("create", "events")]
    changes = [e for e in asked if e["verb"] in ("create", "update", "patch", "delete")]
    print(f"{MANY} runs applied in {applied:.0f} s, started in {took:.0f} s")
    print(f"{len(asked)} requests, {len(made)} of them events")
    assert len(asked) < 16 * MANY
    assert {job["metadata"]["labels"]["autolfads.dev/attempt"] for job in runs[0].ray_jobs().values()} == {
        "1"
    }
    most = collections.Counter(event["objectRef"].get("name") for event in changes).most_common(1)[0]
    assert most[1] < 12, most
    check_that_nobody_was_overtaken(runs[0])

    # What the starts have to tell is told first.
    eventually(lambda: is_calm(cluster, namespace), seconds=120)

    late = Run(cluster, namespace, bucket, "late").apply()
    began = time.monotonic()
    eventually(lambda: late.name + "-a01" in late.ray_jobs())
    print(f"one more was started after {time.monotonic() - began:.1f} s")
    assert operator.ask("/livez")[0] == 200
    assert '"severity": "ERROR"' not in operator.log.read_text()
    cluster.kubectl("delete", "alr", "--all", "-n", namespace, "--wait=false", actor="user")
    eventually(lambda: not list_runs(late), seconds=300, pause=1)


def list_runs(run):
    return run.custom.list_namespaced_custom_object(*run.where)["items"]


def list_started(run):
    return [one for one in list_runs(run) if one.get("status", {}).get("attempt") == 1]


def check_that_nobody_was_overtaken(run):
    """Runs are started in the order in which they were made, near enough: eight are looked at together."""
    made = {one["metadata"]["name"]: one["metadata"]["creationTimestamp"] for one in list_runs(run)}
    started = {name: job["metadata"]["creationTimestamp"] for name, job in run.ray_jobs().items()}
    waited = []
    for name, when in made.items():
        from_, to = (datetime.datetime.fromisoformat(time) for time in (when, started[f"{name}-a01"]))
        waited.append((to - from_).total_seconds())
    print(f"waited {min(waited):.0f} to {max(waited):.0f} s, on average {sum(waited) / len(waited):.0f} s")
    ranks = [sorted(started.values()).index(started[f"{name}-a01"]) for name in sorted(made, key=made.get)]
    late = max(rank - place for place, rank in enumerate(ranks))
    assert late < MANY / 4, ranks
