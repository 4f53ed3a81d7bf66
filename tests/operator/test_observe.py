"""What is known about a run, and how few requests that takes; a folder and a Kubernetes in memory."""

import asyncio
import datetime

import pytest

from autolfads_operator.api import ForbiddenError
from autolfads_operator.cache import Cache
from autolfads_operator.errors import RefusedError
from autolfads_operator.folders import DENIED_SECONDS, FULL_EVERY
from autolfads_operator.kinds import CONFIG_MAPS, CRDS, NODES, PODS, RAY_JOBS, RUNS
from autolfads_operator.manifests import names
from autolfads_operator.metrics import Metrics
from autolfads_operator.observe import Observer
from autolfads_operator.observed import FolderProblem, KubeRay, Machine, Rival
from autolfads_operator.reports import Reports
from autolfads_spec.attempt import AttemptEnd, EndClass
from autolfads_spec.cost import CostRecord
from autolfads_spec.errors import DeniedError, UnavailableError
from autolfads_spec.manifest import Lease, Manifest
from autolfads_spec.store import FolderStore
from fake_kubernetes import FakeKubernetes

NOW = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)
SPEC = {
    "data": {"uri": "gs://lab/reach.mat"},
    "output": {"uri": "gs://lab/runs/reach"},
    "compute": {"accelerator": {"type": "None"}},
}


class CountingStore(FolderStore):
    """A folder that knows how often it was asked."""

    def __init__(self, folder):
        super().__init__(folder)
        self.asked = []
        self.trouble = None

    def read(self, name):
        self._ask(name)
        return super().read(name)

    def version(self, name):
        self._ask(f"version of {name}")
        return super().version(name)

    def _ask(self, what):
        self.asked.append(what)
        if self.trouble is not None:
            raise self.trouble


class World:
    def __init__(self, folder):
        self.kube, self.cache, self.store = FakeKubernetes(), Cache(), CountingStore(folder)
        self.now = NOW
        self.seconds = 100.0
        self.reports = Reports(lambda address: self.store, Metrics(), 2, 5, lambda: self.seconds)
        self.observer = Observer(self.kube, self.cache, self.reports, lambda: self.now, lambda: self.seconds)
        self.uid = self.add(RUNS, "reach", spec=SPEC)["metadata"]["uid"]

    def add(self, kind, name, attempt=1, **parts):
        metadata = {"name": name, "namespace": "lab"}
        if kind != RUNS:
            metadata["labels"] = names.labels("reach", self.uid, attempt)
            metadata["annotations"] = {names.SPEC_HASH: f"spec of {name}"}
        thing = self.kube.add(kind, {"metadata": metadata, **parts})
        if kind != CONFIG_MAPS:
            self.cache.put(kind, thing)
        return thing

    def change_run(self, **parts):
        self.cache.put(RUNS, self.kube.change(RUNS, "lab", "reach", **parts))

    def look(self):
        self.store.asked.clear()
        self.kube.requests.clear()
        return asyncio.run(self.observer.observe(self.uid))

    def train(self, heartbeat=NOW, **parts):
        """A run that trains as it should."""
        self.store.write("lease.json", Lease(attempt=1, driver_epoch=1).to_bytes())
        self.commit(heartbeat, **parts)
        self.add(RAY_JOBS, "reach-a01", status={"jobDeploymentStatus": "Running"})

    def commit(self, heartbeat=NOW, **parts):
        manifest = Manifest(
            run="reach",
            fingerprint="f",
            cohorts=((0, 1),),
            generations_asked=5,
            attempt=1,
            driver="host:1",
            heartbeat=heartbeat.isoformat(),
            versions={},
            **{"driver_epoch": 1, **parts},
        )
        self.store.write("manifest.json", manifest.to_bytes())


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    world.reports.close()


def test_a_new_run_has_nothing(world):
    observed = world.look()

    assert observed.custom_resource.run.spec.output.uri == "gs://lab/runs/reach"
    assert observed.folder.lease is None
    assert observed.folder.manifest is None
    assert observed.ray_jobs == ()
    assert observed.config_maps == {}
    assert observed.now == NOW


def test_a_run_that_is_gone_is_none(world):
    world.cache.drop(world.uid)

    assert world.look() is None


def test_a_run_that_simply_trains_costs_one_request_and_none_to_kubernetes(world):
    world.train()
    world.look()
    observed = world.look()

    assert world.store.asked == ["version of manifest.json"]
    assert world.kube.requests == []
    assert observed.folder.lease.attempt == 1
    assert observed.config_maps == {"reach-a01": "spec of reach-a01"}


def test_a_new_manifest_is_read(world):
    world.train()
    world.look()
    world.commit(generation=3)

    assert world.look().folder.manifest.generation == 3
    assert world.store.asked == ["version of manifest.json", "manifest.json"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda world: world.commit(driver_epoch=2), id="another driver"),
        pytest.param(lambda world: world.commit(stop_reason="generations"), id="the training ended"),
        pytest.param(
            lambda world: setattr(world, "now", NOW + datetime.timedelta(seconds=91)),
            id="the heartbeat is late",
        ),
        pytest.param(lambda world: world.change_run(spec={**SPEC, "suspend": True}), id="suspended"),
        pytest.param(
            lambda world: world.cache.drop(world.cache.made_for(world.uid, RAY_JOBS)[0].uid), id="no RayJob"
        ),
        pytest.param(lambda world: world.observer.doubt(world.uid), id="the operator did something"),
    ],
)
def test_when_anything_is_otherwise_all_files_are_read(world, change):
    world.train()
    world.look()
    change(world)
    world.look()

    assert {"lease.json", "wish.json", "attempts/01/end.json"} <= set(world.store.asked)


def start(world, attempt=1, **job):
    """An attempt whose driver has not taken the run over yet."""
    world.store.write("lease.json", Lease(attempt=attempt, driver_epoch=attempt - 1).to_bytes())
    status = {"jobDeploymentStatus": "Initializing", **job}
    world.add(RAY_JOBS, f"reach-a{attempt:02d}", attempt, status=status)


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_run_that_waits_for_its_machines_costs_one_request(world, attempt):
    if attempt == 2:
        world.commit()
    start(world, attempt)
    first = world.look()

    assert world.look().folder == first.folder
    assert world.store.asked == ["version of manifest.json" if attempt == 2 else "manifest.json"]
    assert world.kube.requests == []


def test_a_driver_that_ends_before_it_has_begun_is_heard(world):
    start(world)
    world.look()
    end = AttemptEnd(
        attempt=1,
        driver_epoch=1,
        end_class=EndClass.BAD_INPUT,
        message="m",
        generation=None,
        ended_at=NOW.isoformat(),
    )
    world.store.write("attempts/01/end.json", end.to_bytes())
    ended = {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED"}
    world.cache.put(RAY_JOBS, world.kube.change(RAY_JOBS, "lab", "reach-a01", status=ended))

    assert world.look().folder.ends == {1: end}


def test_the_first_manifest_of_an_attempt_makes_all_files_be_read(world):
    start(world)
    world.look()
    world.commit()

    assert world.look().folder.manifest.attempt == 1
    assert "lease.json" in world.store.asked


def test_all_files_are_read_from_time_to_time(world):
    world.train()
    asked = []
    for _ in range(2 * FULL_EVERY):
        world.look()
        asked.append("lease.json" in world.store.asked)

    assert asked.count(True) == 3  # the first look and every twentieth


def test_why_the_driver_ended_is_read(world):
    world.train()
    end = AttemptEnd(
        attempt=1,
        driver_epoch=1,
        end_class=EndClass.DIVERGED,
        message="m",
        generation=2,
        ended_at="2030-01-01T00:00:00Z",
    )
    world.store.write("attempts/01/end.json", end.to_bytes())

    assert world.look().folder.ends[1].end_class is EndClass.DIVERGED


def test_a_driver_is_silent_for_as_long_as_it_was_listened_to_in_vain(world):
    world.train()
    silences = []

    def listen(seconds):
        world.seconds += seconds
        silences.append(world.look().folder.silence_seconds)

    listen(0)
    listen(30)
    world.now += datetime.timedelta(hours=1)  # somebody sets the clock
    listen(30)
    world.commit(NOW + datetime.timedelta(seconds=30))
    listen(5)
    listen(5)
    world.store.trouble = UnavailableError("away")
    world.look()
    world.store.trouble = None
    listen(900)  # nobody could have heard anything

    assert silences == [0, 30, 60, 0, 5, 0]


def test_results_are_looked_for_once_training_ended(world):
    world.train(stop_reason="generations")
    assert not world.look().folder.has_results

    world.store.write("results.json", b"{}")
    assert world.look().folder.has_results


def test_the_absence_of_the_ray_job_is_checked_at_the_server(world):
    """A watch that is late must not make a second RayJob, nor a new attempt."""
    world.store.write("lease.json", Lease(attempt=1).to_bytes())
    labels = names.labels("reach", world.uid, 1)
    world.kube.add(RAY_JOBS, {"metadata": {"name": "reach-a01", "namespace": "lab", "labels": labels}})

    assert [job.name for job in world.look().ray_jobs] == ["reach-a01"]


def test_a_ray_job_of_another_run_with_its_name_is_not_its_ray_job(world):
    world.store.write("lease.json", Lease(attempt=1).to_bytes())
    labels = names.labels("reach", "another", 1)
    world.kube.add(RAY_JOBS, {"metadata": {"name": "reach-a01", "namespace": "lab", "labels": labels}})

    assert world.look().ray_jobs == ()


def test_a_config_map_without_its_ray_job_is_found(world):
    world.store.write("lease.json", Lease(attempt=1).to_bytes())
    world.add(CONFIG_MAPS, "reach-a01")

    assert world.look().config_maps == {"reach-a01": "spec of reach-a01"}


@pytest.mark.parametrize(
    ("trouble", "problem"),
    [
        pytest.param(UnavailableError("no answer"), FolderProblem.UNAVAILABLE, id="down"),
        pytest.param(DeniedError("no role"), FolderProblem.DENIED, id="denied"),
    ],
)
def test_a_folder_that_cannot_be_read_is_a_fact_and_no_failure(world, trouble, problem):
    world.train()
    world.look()
    world.store.trouble = trouble

    folder = world.look().folder
    assert (folder.problem, folder.message, folder.manifest) == (problem, str(trouble), None)

    world.store.trouble = None
    assert world.look().folder.manifest is not None


def test_a_write_that_is_not_allowed_is_a_fact_until_one_is_and_tried_again_after_a_while(world, monkeypatch):
    def refuse(*_):
        raise DeniedError("found that the operator may not")

    def write():
        return asyncio.run(world.reports.write_lease("gs://lab/runs/reach", Lease(attempt=1), None))

    def told():
        folder = world.look().folder
        return folder.problem, folder.denied, folder.is_due

    assert told() == (None, "", True)
    with monkeypatch.context() as patch:
        patch.setattr(world.store, "write", refuse)
        with pytest.raises(DeniedError):
            write()
        assert told() == (None, "found that the operator may not", False)
        world.seconds += DENIED_SECONDS
        assert told() == (None, "found that the operator may not", True)
    write()
    assert told() == (None, "", True)


def test_who_else_has_the_lease_is_known_with_whether_it_is_at_work(world):
    def told():
        return world.look().rival

    def change(**status):
        world.cache.put(RUNS, world.kube.change(RUNS, "lab", "other", **status))

    world.store.write("lease.json", Lease(attempt=1, owner=world.uid).to_bytes())
    assert told() is None
    world.store.write("lease.json", Lease(attempt=1, owner="of-another-cluster").to_bytes())
    assert told() is None
    other = world.add(RUNS, "other", spec=SPEC)["metadata"]["uid"]
    world.store.write("lease.json", Lease(attempt=1, owner=other).to_bytes())
    assert told() == Rival("run lab/other", is_at_work=True)  # it has only begun
    for phase, is_at_work in (("Running", True), ("Suspended", False), ("Succeeded", False)):
        change(status={"phase": phase})
        assert told() == Rival("run lab/other", is_at_work)
    labels = names.labels("other", other, 1)
    job = {"metadata": {"name": "other-a01", "namespace": "lab", "labels": labels}}
    world.cache.put(RAY_JOBS, world.kube.add(RAY_JOBS, job))
    assert told().is_at_work  # whatever its status says, a driver may be


def test_a_damaged_manifest_is_none_but_its_version_is_known(world):
    world.train()
    world.store.write("manifest.json", b"{}")

    folder = world.look().folder
    assert folder.manifest is None
    assert folder.manifest_version is not None


def test_a_spec_that_is_not_valid_has_no_folder(world):
    world.change_run(spec={})

    observed = world.look()
    assert observed.folder is None
    assert observed.custom_resource.problems


def test_a_spec_is_checked_again_only_when_it_changed(world, monkeypatch):
    world.look()
    monkeypatch.setattr("autolfads_operator.objects.load_run", lambda content: 1 / 0)
    world.change_run(status={"phase": "Running"})

    assert world.look().custom_resource.run is not None


def crd(*of_status, of_spec=("preRunningDeadlineSeconds",)):
    fields = {"spec": of_spec, "status": of_status}
    properties = {name: {"properties": {field: {} for field in each}} for name, each in fields.items()}
    schema = {"openAPIV3Schema": {"properties": properties}}
    return {
        "metadata": {"name": "rayjobs.ray.io", "namespace": None},
        "spec": {"versions": [{"name": "v1", "schema": schema}]},
    }


def look_for_kuberay(world):
    asyncio.run(world.observer.look_for_kuberay())
    return world.observer.kuberay


def test_kuberay_is_missing_too_old_or_fine(world):
    world.kube.not_served.add(RAY_JOBS)
    assert look_for_kuberay(world) is KubeRay.MISSING

    world.kube.not_served.clear()
    world.kube.add(CRDS, crd("jobStatus", of_spec=()))
    assert look_for_kuberay(world) is KubeRay.UNUSABLE

    world.kube.add(CRDS, crd("jobStatus"))
    assert look_for_kuberay(world) is KubeRay.TOO_OLD

    world.kube.add(CRDS, crd("jobStatus", "jobStatusCheckFailureStartTime"))
    assert look_for_kuberay(world) is KubeRay.FINE


def test_the_large_crd_is_fetched_only_when_it_changed(world):
    world.kube.add(CRDS, crd("jobStatusCheckFailureStartTime"))
    look_for_kuberay(world)
    world.kube.requests.clear()
    look_for_kuberay(world)

    assert [verb for verb, *_ in world.kube.requests] == ["serves", "get"]  # one of them for the version


def test_without_the_right_to_see_crds_kuberay_is_taken_as_fine(world):
    def refuse(verb, kind, name):
        if kind == CRDS:
            raise RefusedError("no right")

    world.kube.broken = refuse
    assert look_for_kuberay(world) is KubeRay.FINE


def test_what_was_paid_is_read_with_the_other_files_and_damage_is_told_by_its_version(world):
    world.train()
    assert (world.look().folder.cost, world.look().folder.cost_version) == (None, None)
    record = CostRecord(amount=1.5, currency="USD")
    version = world.store.write("cost.json", record.to_bytes())
    world.observer.doubt(world.uid)

    folder = world.look().folder
    assert (folder.cost, folder.cost_version) == (record, version)

    world.store.write("cost.json", b"half")
    world.observer.doubt(world.uid)
    folder = world.look().folder
    assert folder.cost is None
    assert folder.cost_version not in (None, version)


def test_the_nodes_of_workers_are_looked_at_once_each(world):
    labels = {**names.labels("reach", world.uid, 1), "ray.io/node-type": "worker"}
    pod = {
        "metadata": {"name": "w1", "namespace": "lab", "labels": labels},
        "spec": {"nodeName": "n1", "containers": [{"resources": {"limits": {"nvidia.com/gpu": "2"}}}]},
    }
    world.cache.put(PODS, world.kube.add(PODS, pod))
    spot = {"node.kubernetes.io/instance-type": "g2-standard-24", "cloud.google.com/gke-spot": "true"}
    world.kube.add(NODES, {"metadata": {"name": "n1", "namespace": None, "labels": spot}})

    first = world.look()
    asked = [request[0] for request in world.kube.requests if request[2] == "n1"]
    second = world.look()

    assert first.machines == second.machines == {"n1": Machine("g2-standard-24", "Spot")}
    assert first.pods[0].gpus == 2
    assert asked == ["get"]
    assert not any(request[2] == "n1" for request in world.kube.requests)
    assert not second.nodes_denied


def test_without_the_right_to_read_nodes_everything_goes_on(world):
    def refuse(verb, kind, name):
        if kind == NODES:
            raise ForbiddenError("nodes is forbidden")

    labels = {**names.labels("reach", world.uid, 1), "ray.io/node-type": "worker"}
    pod = {"metadata": {"name": "w1", "namespace": "lab", "labels": labels}, "spec": {"nodeName": "n1"}}
    world.cache.put(PODS, world.kube.add(PODS, pod))
    world.kube.broken = refuse

    for _ in range(3):
        observed = world.look()
    assert (observed.machines, observed.nodes_denied) == ({}, True)
    assert not any(request[2] == "n1" for request in world.kube.requests)  # not asked again at once

    world.kube.broken = lambda verb, kind, name: None
    world.kube.add(NODES, {"metadata": {"name": "n1", "namespace": None}})
    world.seconds += 601
    assert world.look().machines == {"n1": Machine(None)}
