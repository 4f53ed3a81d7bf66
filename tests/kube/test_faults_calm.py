"""Faults around a run that it must not notice: one attempt, one driver, the same machines, the same weights.

One run takes them all, one after the other, in a bucket so slow that it lasts: machines that wait cost
nothing. Each fault is a row of the list of faults in the design, and a subtest of its name. The oracle is the
same run outside of the cluster.
"""

import re
import time

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from autolfads_spec.manifest import Lease, Manifest
from faulty_storage import Faults
from kube import test_crd
from kube.lorenz import LASTING, RESULTS, Lorenz
from kube.operator_process import kept_running
from kube.stage import Stage, another_namespace
from kube.storage import SOCKETS, content
from kube.wrong_runs import wrong_runs_are_applied

pytestmark = [pytest.mark.kube, pytest.mark.gcs, pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1500)]

BLOCKS = {"population": LASTING, "output": {"report": True}}
# A generation takes so long to commit; the last ones wait for the faults to be over.
SECONDS, LAST = 6, 50
OUTAGE_SECONDS = 120
# The generation whose commit goes unanswered.
UNHEARD = 2


def kuberay_is_missing(stage):
    stage.run.apply(**BLOCKS)

    found = stage.eventually(lambda: stage.run.condition("KubeRayCompatible"), seconds=60)
    assert (found["status"], found["reason"]) == ("False", "KubeRayMissing")
    assert stage.run.operator.ask("/readyz")[0] == 200
    assert stage.run.store.names() == []


def operator_is_killed_between_lease_and_ray_job(stage):
    there = []

    def kill(request, pass_on):
        pass_on(request)
        stage.run.operator.kill()
        there.append(stage.run.ray_jobs())

    stage.storage.fault = lambda request: (
        kill if not there and request.name and request.name.endswith("lease.json") else None
    )
    stage.installation.bring_back(before=True)
    stage.eventually(lambda: there, seconds=90)
    stage.storage.fault = lambda request: lost_commit(stage, request)

    assert there == [{}]
    assert Lease.model_validate_json(stage.run.store.read("lease.json").content).attempt == 1


def two_operators_are_at_work(stage):
    other = stage.start(LEADER_ELECTION="false", wait=False, **stage.run.settings)
    stage.eventually(lambda: stage.run.generations >= UNHEARD + 2, seconds=400)
    stage.machines = stage.run.machines()
    before, written = stage.run.generations, stage.changes("autolfadsruns", 200)
    stage.passes(4)
    passed = stage.run.generations - before
    written = stage.changes("autolfadsruns", 200) - written
    both = (stage.run.operator.is_alive, other.is_alive)
    other.stop()

    assert both == (True, True)
    assert written <= 3 * passed + 4, (written, passed)
    assert stage.changes("rayjobs", 201) == 1
    assert list(stage.run.ray_jobs()) == ["lorenz-a01"]
    assert Lease.model_validate_json(stage.run.store.read("lease.json").content).attempt == 1


def lost_commit(stage, request):
    """Loses the first answer to each write of one generation's commit."""
    name = (request.name or "").removeprefix(stage.run.store.address.split("/", 3)[3] + "/")
    parts = (f"checkpoints/{UNHEARD:06d}/cohort", f"generations/{UNHEARD:06d}", "manifest.json")
    if request.kind != "write" or name in stage.unheard or not name.startswith(parts):
        return None
    if name == "manifest.json" and Manifest.model_validate_json(content(request)).generation != UNHEARD:
        return None
    stage.unheard.append(name)
    return Faults.lost_reply


def answers_to_a_commit_were_lost(stage):
    kinds = {re.sub(r"[\d_].*", "", name.rpartition("/")[2]) for name in stage.unheard}
    record = f"generations/{UNHEARD:06d}.json"

    assert {"cohort", "manifest.json"} <= kinds
    assert record in stage.unheard
    answers = [w.status for w in stage.storage.writes if w.name and w.name.endswith(record)]
    assert answers == [None, 412]  # it was there already, and it was its own
    assert set(stage.run.drivers()) == {(1, 1)}


def somebody_else_writes_the_status(stage):
    theirs, phase = {"lastError": "none that I know of"}, stage.run.status["phase"]
    body = {"status": {"phase": "Failed", "attempt": 7, "message": "mine", "nodePool": theirs}}
    stage.run.custom.patch_namespaced_custom_object_status(*stage.run.where, stage.run.name, body)

    stage.eventually(lambda: (stage.run.status["phase"], stage.run.status["attempt"]) == (phase, 1))
    assert stage.run.status["message"] != "mine"
    stage.passes(1)
    assert stage.run.status["nodePool"] == theirs


def somebody_changes_what_cannot_change(stage):
    api = client.CustomObjectsApi(stage.cluster.client("user"))
    before = stage.run.read()
    for path, value in {**test_crd.NEVER, **test_crd.WHILE_SUSPENDED}.items():
        body = {"spec": test_crd.nested(path, value)}
        with pytest.raises(ApiException, match=re.escape(f"spec.{path.split('.')[0]}")) as refused:
            api.patch_namespaced_custom_object(*stage.run.where, stage.run.name, body)
        assert refused.value.status == 422

    after = stage.run.read()
    assert after["spec"] == before["spec"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    stage.passes(1)


def a_run_of_the_same_name_is_elsewhere(stage):
    bucket = stage.run.address.rpartition("/runs/")[0]
    with another_namespace(stage.cluster) as namespace:
        folder = stage.run.folder / namespace
        folder.mkdir()
        other = Lorenz(stage.cluster, namespace, bucket, folder, stage.run.operator, stage.run.settings)
        other.apply(**BLOCKS)
        stage.eventually(other.is_started, seconds=60)
        owners = {
            Lease.model_validate_json(run.store.read("lease.json").content).owner: run.read()["metadata"][
                "uid"
            ]
            for run in (stage.run, other)
        }
        other.delete()
        stage.eventually(lambda: not other.left(), seconds=120)
        left = other.store.names()

    assert list(owners) == list(owners.values())
    assert len(owners) == 2
    assert left in (["lease.json"], ["cost.json", "lease.json"])  # what its machines cost stays known
    stage.passes(1)


def another_run_has_the_same_folder(stage):
    """A second run of the same experiment, in the folder in which the first one is at work."""
    with another_namespace(stage.cluster) as namespace:
        folder = stage.run.folder / namespace
        folder.mkdir()
        bucket = stage.run.address.rpartition("/runs/")[0]
        other = Lorenz(stage.cluster, namespace, bucket, folder, stage.run.operator, stage.run.settings)
        other.address = stage.run.address
        other.apply(**BLOCKS)
        told = stage.eventually(lambda: other.condition("Progressing"), seconds=60)
        stage.passes(2)
        after, made = other.status, other.ray_jobs()
        other.delete()
        stage.eventually(lambda: not other.left(), seconds=120)

    assert (told["status"], told["reason"]) == ("False", "OutputTaken")
    assert f"run {stage.run.namespace}/{stage.run.name}" in told["message"]
    assert (after["phase"], after.get("attempt"), made) == ("Pending", None, {})
    owner = stage.run.read()["metadata"]["uid"]
    assert Lease.model_validate_json(stage.run.store.read("lease.json").content).owner == owner
    stage.passes(1)


def kuberay_is_restarted(stage):
    stage.cluster.kuberay.kill()
    try:
        stage.passes(1)
    finally:
        asked = len(stage.cluster.audited("kuberay"))
        stage.cluster.kuberay.start()
    kuberay_takes_the_run_up(stage, asked)


def kuberay_is_upgraded(stage):
    """It takes machines over that an older one has made, instead of making them anew."""
    events = stage.cluster.audited("kuberay")
    before = events[-1]["userAgent"]
    stage.installation.bring_back()

    kuberay_takes_the_run_up(stage, len(events))
    after = stage.cluster.audited("kuberay")[-1]["userAgent"]
    assert before.startswith("kuberay-operator/v1.6.0"), before
    assert not after.startswith("kuberay-operator/v1.6.0"), after


def kuberay_takes_the_run_up(stage, asked):
    """It has been started anew, when it had asked for so much, and finds all as it was."""
    stage.eventually(lambda: any(map(asks_head, stage.cluster.audited("kuberay")[asked:])))

    stage.passes(1)
    assert stage.run.condition("KubeRayCompatible")["reason"] != "KubeRayMissing"
    assert stage.run.operator.ask("/readyz")[0] == 200


def asks_head(event):
    """Whether a request went to Ray's dashboard, how its driver does."""
    return event.get("objectRef", {}).get("subresource") == "proxy"


def the_api_server_is_away_for_two_minutes(stage):
    before = stage.run.manifest().generation
    ended, events = list(stage.ended), len(stage.run.events())
    stage.cluster.apiserver.kill()
    try:
        time.sleep(OUTAGE_SECONDS)
        during, ended_then = stage.run.manifest().generation, list(stage.ended)
    finally:
        asked = len(stage.cluster.audited("operator"))
        stage.cluster.apiserver.start()
        stage.cluster.start_missing()  # what did not bear it, its own Deployment would start
    assert during >= before + OUTAGE_SECONDS // SECONDS // 3  # training goes on
    assert ended_then == [*ended, 3]  # and the operator gives its Lease up, once

    stage.eventually(lambda: stage.run.generations > during, seconds=60)
    stage.passes(2)
    assert stage.ended == [*ended, 3]
    assert len(stage.run.events()) - events < 10
    since = [event.get("objectRef", {}) for event in stage.cluster.audited("operator")[asked:]]
    assert len([thing for thing in since if thing.get("resource") != "leases"]) < 200


def the_run_ends_the_same(stage, expected):
    stage.storage.hurry()
    stage.eventually(lambda: stage.run.status["phase"] in ("Succeeded", "Failed"), seconds=600)
    status = stage.run.status

    assert (status["phase"], status["attempt"]) == ("Succeeded", 1), status["message"]
    assert status["nodePool"] == {"lastError": "none that I know of"}
    assert stage.run.drivers() == [(1, 1)] * LASTING["generations"]
    assert stage.run.differing(expected) == []


def the_run_is_deleted_and_applied_anew(stage, expected):
    """With the same folder: refused if it must be new, taken as it is if it may be there."""
    results = (*RESULTS, "results.json", "rates.h5", "report/report.html")
    before = {name: stage.run.store.version(name) for name in results}
    delete(stage)
    stage.run.apply(**BLOCKS, resume={"policy": "Never"})
    stage.eventually(lambda: stage.run.status.get("phase") == "Failed", seconds=60)
    assert stage.run.condition("Failed")["reason"] == "OutputTaken"
    assert stage.run.left() == ["lorenz"]
    delete(stage)
    stage.run.apply(**BLOCKS)
    stage.eventually(lambda: stage.run.status.get("phase") in ("Succeeded", "Failed"), seconds=300)

    assert stage.run.status["phase"] == "Succeeded"
    assert {name: stage.run.store.version(name) for name in results} == before
    assert stage.run.differing(expected) == []


def delete(stage):
    stage.run.delete()
    stage.eventually(lambda: not stage.run.left(), seconds=120)


FAULTS = (
    kuberay_is_missing,
    operator_is_killed_between_lease_and_ray_job,
    two_operators_are_at_work,
    answers_to_a_commit_were_lost,
    somebody_else_writes_the_status,
    somebody_changes_what_cannot_change,
    wrong_runs_are_applied,
    a_run_of_the_same_name_is_elsewhere,
    another_run_has_the_same_folder,
    kuberay_is_restarted,
    kuberay_is_upgraded,
    the_api_server_is_away_for_two_minutes,
)
ENDS = (the_run_ends_the_same, the_run_is_deleted_and_applied_anew)


@SOCKETS
def test_a_run_goes_on_untouched(
    subtests, cluster, storage, lorenz, installation, start, undisturbed, eventually
):
    expected = undisturbed(**LASTING)
    stage = Stage(cluster, lorenz, storage, installation, start, eventually)
    storage.pace(SECONDS, almost_still_from=LAST)
    lorenz.operator.stop()
    installation.remove()
    lorenz.operator.start()
    with kept_running(lorenz.operator) as stage.ended:
        for fault in FAULTS:
            with subtests.test(fault.__name__):
                fault(stage)
        for end in ENDS:
            with subtests.test(end.__name__):
                end(stage, expected)
