"""Google Cloud at the operator's edges: who we are to it, whose runs look at it, and what acting leads to."""

import asyncio
import datetime

import pytest

from autolfads_operator import actions, cloud_side
from autolfads_operator.act import Actor
from autolfads_operator.cache import Cache
from autolfads_operator.cloud import CloudView
from autolfads_operator.errors import BusyError, NotOwnedError, OutdatedError, RefusedError, UnavailableError
from autolfads_operator.kinds import NAMESPACES, PODS, RUNS
from autolfads_operator.manifests import names
from autolfads_operator.metrics import Metrics
from autolfads_operator.observe import Observer
from autolfads_operator.observed import CloudProblem, NodePool
from autolfads_operator.pools import wanted
from autolfads_operator.reports import Reports
from autolfads_operator.settings import OperatorSettings
from autolfads_spec import SpecError
from autolfads_spec.store import FolderStore
from fake_kubernetes import FakeKubernetes

TERMS = OperatorSettings(cluster="projects/p/locations/l/clusters/c", install_id="lab")


class ToyGoogle:
    """Pools by name; every question and every write is remembered."""

    def __init__(self):
        self.pools, self.asked, self.error = {}, [], None

    async def node_pools(self):
        self.asked.append("list")
        return tuple(pool for pool in self.pools.values() if pool.is_ours)

    async def node_pool(self, name):
        self.asked.append("get")
        return self.pools.get(name)

    async def create(self, pool):
        await self._write("create", pool.name)
        self.pools[pool.name] = NodePool(pool.name, "PROVISIONING", True, run_uid=pool.run_uid)

    async def resize(self, name, max_nodes, etag=""):
        await self._write("resize", name, max_nodes, etag)

    async def delete(self, name, etag=""):
        await self._write("delete", name, etag)

    async def _write(self, *what):
        self.asked.append(what)
        if self.error is not None:
            raise self.error

    async def of(self, accelerator, provisioning):
        return ()


class World:
    def __init__(self, folder, mode):
        self.kube, self.cache, self.google = FakeKubernetes(), Cache(), ToyGoogle()
        self.reports = Reports(lambda address: FolderStore(folder), Metrics(), 2, 5)
        self.seconds = 100.0
        self.view = CloudView(self.google, self.google, 5, lambda: self.seconds)
        now = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
        self.observer = Observer(
            self.kube, self.cache, self.reports, lambda: now, lambda: self.seconds, (self.view, TERMS)
        )
        self.actor = Actor(self.kube, self.cache, self.reports, Metrics(), "me", str, self.view)
        compute = {"accelerator": {"type": "nvidia-l4"}, "nodePool": {"mode": mode}}
        spec = {"data": {"uri": "gs://lab/reach.h5"}, "output": {"uri": "gs://lab/out"}, "compute": compute}
        thing = self.kube.add(RUNS, {"metadata": {"name": "reach", "namespace": "lab"}, "spec": spec})
        self.cache.put(RUNS, thing)
        self.uid = thing["metadata"]["uid"]

    def look(self):
        return asyncio.run(self.observer.observe(self.uid))

    def change(self, status=None, **metadata):
        thing = self.kube.things[RUNS, "lab", "reach"]
        thing["metadata"] |= metadata
        changed = self.kube.change(RUNS, "lab", "reach", **({"status": status} if status else {}))
        self.cache.put(RUNS, changed)

    def do(self, action):
        asyncio.run(self.actor.carry_out(action, self.look().custom_resource))

    @property
    def pool(self):
        (found,) = wanted(self.look().custom_resource.run, self.look().custom_resource, TERMS)
        return found


@pytest.fixture
def make(tmp_path):
    made = []

    def world(mode="Dedicated"):
        made.append(World(tmp_path, mode))
        return made[-1]

    yield world
    for each in made:
        each.reports.close()


# Who we are.


def test_an_installation_is_named_by_its_cluster():
    kube = FakeKubernetes()
    kube.things[NAMESPACES, None, "kube-system"] = {"metadata": {"uid": "uid-of-the-cluster"}}
    settings = TERMS.model_copy(update={"install_id": ""})

    assert asyncio.run(cloud_side.named(settings, kube)).install_id == "uid-of-the-cluster"
    assert asyncio.run(cloud_side.named(TERMS, kube)).install_id == "lab"
    assert kube.requests == [("get", NAMESPACES.plural, "kube-system")]


def test_a_cluster_that_may_not_be_named_wants_a_setting():
    kube = FakeKubernetes()

    def refuse(*_):
        raise RefusedError("403")

    kube.broken = refuse

    with pytest.raises(SpecError, match="AUTOLFADS_INSTALL_ID: wanted a name for this installation"):
        asyncio.run(cloud_side.named(TERMS.model_copy(update={"install_id": ""}), kube))


def test_kubernetes_is_waited_for(monkeypatch):
    kube, tries = FakeKubernetes(), []
    kube.things[NAMESPACES, None, "kube-system"] = {"metadata": {"uid": "u"}}

    def away(*_):
        tries.append(1)
        if len(tries) < 3:
            raise UnavailableError("503")

    kube.broken = away
    monkeypatch.setattr(cloud_side, "PAUSE_SECONDS", 0)

    assert asyncio.run(cloud_side.named(TERMS.model_copy(update={"install_id": ""}), kube)).install_id == "u"


# Whose runs look.


@pytest.mark.parametrize(
    ("mode", "status", "asks"),
    [
        pytest.param("Dedicated", None, True, id="wants a pool"),
        pytest.param("Auto", None, False, id="GKE makes the nodes"),
        pytest.param(
            "Auto", {"name": "p", "managed": True, "status": "RUNNING"}, True, id="had a pool before"
        ),
        pytest.param("Auto", {"name": "p", "managed": True}, False, id="has given it back"),
        pytest.param("Auto", {"name": "p", "managed": False}, False, id="had somebody else's"),
    ],
)
def test_only_runs_with_pools_of_ours_cost_a_question(make, mode, status, asks):
    world = make(mode)
    if status is not None:
        world.change(status={"nodePool": status})

    found = world.look()

    assert (found.cloud is not None) == asks
    assert bool(world.google.asked) == asks


def test_a_run_that_has_ended_and_given_its_pool_back_asks_nothing_any_more(make):
    world = make()
    world.change(
        status={"phase": "Succeeded", "nodePool": {"name": "p", "managed": True, "status": "STOPPING"}}
    )
    world.look()
    assert world.google.asked == ["list", "get"]

    world.change(status={"phase": "Succeeded", "nodePool": {"name": "p", "managed": True}})
    assert world.look().cloud is None


def test_a_deleted_run_asks_gke_itself_before_it_may_go_and_only_then(make):
    world = make()
    labels = names.labels("reach", world.uid, 1) | {"ray.io/node-type": "head"}
    pod = world.kube.add(PODS, {"metadata": {"name": "head", "namespace": "lab", "labels": labels}})
    world.cache.put(PODS, pod)
    world.change(deletionTimestamp="2030-01-01T00:00:00Z")
    world.look()
    assert world.google.asked == ["list"]

    world.cache.drop(pod["metadata"]["uid"])
    world.look()
    assert world.google.asked == ["list", "get"]


def test_all_runs_are_known_to_the_sweeper(make):
    (run,) = make().observer.runs()

    assert (run.name, run.run.spec.compute.node_pool.mode) == ("reach", "Dedicated")


# Acting.


def test_the_three_writes_reach_google_and_the_next_look_sees_what_they_did(make):
    world = make()
    pool = world.pool
    world.do(actions.CreateNodePool(pool))
    world.do(actions.ResizeNodePool(pool.name, 3, "7"))
    world.do(actions.DeleteNodePool(pool.name, "8", "over"))

    writes = [what for what in world.google.asked if isinstance(what, tuple)]
    assert writes == [("create", pool.name), ("resize", pool.name, 3, "7"), ("delete", pool.name, "8")]
    assert [found.status for found in world.look().cloud.pools] == ["PROVISIONING"]


def test_a_write_that_fails_voids_the_plan_and_is_part_of_the_next_look(make):
    world = make()
    pool = world.pool
    world.google.error = BusyError("at another operation", 30.0)

    with pytest.raises(OutdatedError, match="at another operation"):
        world.do(actions.CreateNodePool(pool))

    found = world.look().cloud
    assert (found.problem, found.message) == (CloudProblem.BUSY, "at another operation")


def test_a_pool_of_somebody_else_is_told_to_the_plan(make):
    world = make()
    pool = world.pool
    world.google.error = NotOwnedError("not ours")

    with pytest.raises(OutdatedError):
        world.do(actions.CreateNodePool(pool))

    assert [found.is_ours for found in world.look().cloud.pools] == [False]


def test_without_a_cluster_nothing_is_written(make):
    world = make()
    pool = world.pool
    world.actor = Actor(world.kube, world.cache, world.reports, Metrics(), "me", str)

    with pytest.raises(OutdatedError, match="found no cluster set"):
        world.do(actions.CreateNodePool(pool))
