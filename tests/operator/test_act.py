"""Each action on a Kubernetes in memory and a folder: once, twice, and when the world is another."""

import asyncio
import datetime

import pytest

from autolfads_operator import actions, objects
from autolfads_operator.act import Actor
from autolfads_operator.cache import Cache
from autolfads_operator.errors import OutdatedError, RefusedError, UnavailableError
from autolfads_operator.kinds import CONFIG_MAPS, EVENTS, RAY_CLUSTERS, RAY_JOBS, RUNS
from autolfads_operator.manifests import names
from autolfads_operator.metrics import Metrics
from autolfads_operator.reports import Reports
from autolfads_operator.times import parsed_or_none
from autolfads_spec.attempt import Wish
from autolfads_spec.cost import CostRecord
from autolfads_spec.errors import DeniedError
from autolfads_spec.manifest import Lease
from autolfads_spec.status import Phase, RunStatus
from autolfads_spec.store import FolderStore
from fake_kubernetes import FakeKubernetes

SPEC = {
    "data": {"uri": "gs://lab/reach.mat"},
    "output": {"uri": "gs://lab/runs/reach"},
    "compute": {"accelerator": {"type": "None"}},
}


class World:
    """An operator's hands, and what they reach."""

    def __init__(self, folder):
        self.kube, self.cache, self.metrics = FakeKubernetes(), Cache(), Metrics()
        self.reports = Reports(lambda address: FolderStore(folder / address[5:]), self.metrics, 2, 5)
        self.store = FolderStore(folder / "lab/runs/reach")
        self.actor = Actor(
            self.kube, self.cache, self.reports, self.metrics, "me", lambda: "2030-01-01T00:00:00Z"
        )
        self.thing = self.kube.add(RUNS, {"metadata": {"name": "reach", "namespace": "lab"}, "spec": SPEC})

    @property
    def run(self):
        return objects.custom_resource_of(self.thing, objects.spec_of(self.thing))

    def do(self, *several):
        async def all_of_them():
            for action in several:
                await self.actor.carry_out(action, self.run)

        asyncio.run(all_of_them())

    def manifest(self, name="reach-a01", uid=None, **parts):
        labels = names.labels("reach", uid or self.run.uid, 1)
        return {"metadata": {"name": name, "namespace": "lab", "labels": labels}, **parts}


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    world.reports.close()


def test_a_lease_is_written_once_and_a_second_writer_is_outdated(world):
    write = actions.WriteLease(Lease(attempt=1), None)
    world.do(write)

    with pytest.raises(OutdatedError):
        world.do(write)
    assert Lease.model_validate_json(world.store.read("lease.json").content).attempt == 1


def test_a_lease_replaces_only_the_version_that_was_observed(world):
    version = world.store.write("lease.json", Lease(attempt=1).to_bytes())
    world.store.write("lease.json", Lease(attempt=1, driver_epoch=1).to_bytes())

    with pytest.raises(OutdatedError):
        world.do(actions.WriteLease(Lease(attempt=2), version))


def test_the_last_wish_counts(world):
    world.do(
        actions.WriteWish(Wish(attempt=1, pause=True, why="suspended")),
        actions.WriteWish(Wish(attempt=1, pause=False, why="go on")),
    )

    assert not Wish.model_validate_json(world.store.read("wish.json").content).pause


@pytest.mark.parametrize(
    "action",
    [
        pytest.param(actions.WriteLease(Lease(attempt=1), None), id="lease"),
        pytest.param(actions.WriteWish(Wish(attempt=1, pause=True)), id="wish"),
    ],
)
def test_a_write_that_is_not_allowed_is_looked_at_anew_and_remembered(world, action, monkeypatch):
    def refuse(*_):
        raise DeniedError("found that the operator may not")

    monkeypatch.setattr(FolderStore, "write", refuse)
    with pytest.raises(OutdatedError, match="may not"):
        world.do(action)

    assert world.reports.denial("gs://lab/runs/reach").message == "found that the operator may not"


def test_the_cost_replaces_only_the_record_that_was_counted_on_and_its_failure_stops_nothing(world, caplog):
    record = CostRecord(amount=1.0, currency="USD", as_of="2030-01-01T00:00:00+00:00")
    world.do(actions.WriteCost(record, None))
    world.do(actions.WriteCost(record.model_copy(update={"amount": 9.0}), None))
    assert "cost not kept" in caplog.text

    version = world.store.version("cost.json")
    world.do(actions.WriteCost(record.model_copy(update={"amount": 2.0}), version))

    assert CostRecord.model_validate_json(world.store.read("cost.json").content).amount == 2.0


def test_a_ray_job_is_made_once(world):
    world.store.write("lease.json", Lease(attempt=1).to_bytes())
    apply = actions.ApplyRayJob(world.manifest(spec={"a": 1}), 1)
    world.do(apply, apply)

    assert list(world.kube.of(RAY_JOBS)) == ["reach-a01"]
    assert [request[0] for request in world.kube.requests] == ["get", "apply", "get"]
    assert len(world.cache.made_for(world.run.uid, RAY_JOBS)) == 1


@pytest.mark.parametrize("lease", [None, Lease(attempt=2)], ids=["no lease", "another attempt"])
def test_no_ray_job_is_made_for_an_attempt_that_does_not_hold_the_lease(world, lease):
    if lease is not None:
        world.store.write("lease.json", lease.to_bytes())

    with pytest.raises(OutdatedError):
        world.do(actions.ApplyRayJob(world.manifest(), 1))
    assert world.kube.of(RAY_JOBS) == {}


def test_a_ray_job_of_another_run_is_never_taken_over(world):
    world.store.write("lease.json", Lease(attempt=1).to_bytes())
    world.kube.add(RAY_JOBS, world.manifest(uid="of-an-earlier-run", spec={"old": True}))

    with pytest.raises(OutdatedError, match="another run"):
        world.do(actions.ApplyRayJob(world.manifest(spec={"old": False}), 1))
    assert world.kube.of(RAY_JOBS)["reach-a01"]["spec"] == {"old": True}


def test_an_immutable_config_map_of_other_content_is_outdated_and_another_refusal_is_told(world):
    def refuse(verb, kind, name):
        if verb == "apply":
            raise RefusedError("field is immutable")

    world.kube.add(CONFIG_MAPS, world.manifest(data={"run.yaml": "old"}))
    world.kube.broken = refuse

    with pytest.raises(OutdatedError, match="delete it"):
        world.do(actions.ApplyConfigMap(world.manifest(data={"run.yaml": "new"})))
    with pytest.raises(RefusedError, match="immutable"):
        world.do(actions.ApplyConfigMap(world.manifest(data={"run.yaml": "old"})))


def cluster(**group):
    return {"workerGroupSpecs": [{"groupName": "workers", "replicas": 0, "maxReplicas": 2, **group}]}


def test_workers_are_scaled_in_place_and_nothing_else_of_the_group_changes(world):
    world.kube.add(RAY_CLUSTERS, world.manifest("c", spec=cluster(template={"x": 1})))
    world.do(actions.ScaleWorkers("c", "workers", 4))

    group = world.kube.of(RAY_CLUSTERS)["c"]["spec"]["workerGroupSpecs"][0]
    assert group == {"groupName": "workers", "replicas": 4, "maxReplicas": 4, "template": {"x": 1}}


def test_scaling_a_cluster_that_is_gone_or_another_is_outdated(world):
    with pytest.raises(OutdatedError):
        world.do(actions.ScaleWorkers("c", "workers", 4))

    world.kube.add(RAY_CLUSTERS, world.manifest("c", spec=cluster(groupName="other")))
    with pytest.raises(OutdatedError):
        world.do(actions.ScaleWorkers("c", "workers", 4))


def test_only_the_very_ray_job_is_deleted(world):
    job = world.kube.add(RAY_JOBS, world.manifest())
    world.do(actions.DeleteRayJob("reach-a01", "another uid", "why"))
    assert "reach-a01" in world.kube.of(RAY_JOBS)

    delete = actions.DeleteRayJob("reach-a01", job["metadata"]["uid"], "why")
    world.do(delete, delete)
    assert world.kube.of(RAY_JOBS) == {}


def test_our_finalizer_comes_and_goes_and_those_of_others_stay(world):
    world.kube.things[RUNS, "lab", "reach"]["metadata"]["finalizers"] = ["of/another"]
    add = actions.AddFinalizer("ours/x")
    world.do(add, add)
    assert world.kube.of(RUNS)["reach"]["metadata"]["finalizers"] == ["of/another", "ours/x"]

    remove = actions.RemoveFinalizer("ours/x")
    world.do(remove, remove)
    assert world.kube.of(RUNS)["reach"]["metadata"]["finalizers"] == ["of/another"]


def test_finalizers_that_somebody_changes_meanwhile_are_not_overwritten(world):
    def meanwhile(verb, kind, name):
        if verb == "patch":
            metadata = world.kube.things[RUNS, "lab", "reach"]["metadata"]
            world.kube.change(RUNS, "lab", "reach", metadata={**metadata, "finalizers": ["of/another"]})

    world.kube.broken = meanwhile
    with pytest.raises(OutdatedError):
        world.do(actions.AddFinalizer("ours/x"))
    assert world.kube.of(RUNS)["reach"]["metadata"]["finalizers"] == ["of/another"]


def test_a_run_that_is_gone_has_no_finalizer_to_remove(world):
    run = world.run
    del world.kube.things[RUNS, "lab", "reach"]

    asyncio.run(world.actor.carry_out(actions.RemoveFinalizer("ours/x"), run))
    asyncio.run(world.actor.write_status(run, RunStatus(phase=Phase.DELETING)))
    assert world.kube.of(RUNS) == {}


def test_an_event_is_posted_once_and_costs_no_second_request(world):
    event = actions.PostEvent("reach.1", "Normal", "Accepted", "m" * 2000)
    world.do(event, event)

    posted = world.kube.of(EVENTS)["reach.1"]
    assert posted["involvedObject"]["uid"] == world.run.uid
    assert len(posted["message"]) <= 1024
    assert len(world.kube.requests) == 1


def test_an_event_that_another_operator_posted_is_no_error(world):
    event = actions.PostEvent("reach.1", "Normal", "Accepted", "m")
    world.do(event)
    second = Actor(world.kube, world.cache, world.reports, world.metrics, "other", lambda: "")

    asyncio.run(second.carry_out(event, world.run))
    assert len(world.kube.of(EVENTS)) == 1


def test_an_event_that_cannot_be_posted_stops_nothing_and_is_tried_again(world):
    def down(verb, kind, name):
        raise UnavailableError("down")

    event = actions.PostEvent("reach.1", "Normal", "Accepted", "m")
    world.kube.broken = down
    world.do(event)
    world.kube.broken = lambda *_: None
    world.do(event)

    assert world.kube.reasons() == ["Accepted"]


def test_a_status_is_written_for_this_very_run_only(world):
    run = world.run
    del world.kube.things[RUNS, "lab", "reach"]
    world.kube.add(RUNS, {"metadata": {"name": "reach", "namespace": "lab"}, "spec": SPEC})

    with pytest.raises(OutdatedError):
        asyncio.run(world.actor.write_status(run, RunStatus(phase=Phase.RUNNING)))
    assert world.kube.status("reach") == {}


def test_every_action_there_is_can_be_carried_out(world):
    assert set(world.actor._doers) == set(actions.Action.__args__)


def test_the_run_itself_is_removed_only_if_it_is_this_one(world):
    world.do(actions.RemoveRun("another uid", "ttl"))
    assert "reach" in world.kube.of(RUNS)

    world.do(actions.RemoveRun(world.run.uid, "ttl"))
    assert world.kube.of(RUNS) == {}


def test_times_of_events_are_utc(world):
    world.do(actions.PostEvent("reach.1", "Normal", "Accepted", "m"))

    posted = world.kube.of(EVENTS)["reach.1"]["lastTimestamp"]
    assert parsed_or_none(posted) == datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
