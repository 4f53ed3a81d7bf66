"""The loop of a run with the real plan, on a Kubernetes in memory and a folder."""

import asyncio
import contextlib
import datetime
import time

import pytest

from autolfads_operator import folders, handlers, listing
from autolfads_operator.act import Actor
from autolfads_operator.api import NotServedError
from autolfads_operator.cache import Cache
from autolfads_operator.errors import OperatorError
from autolfads_operator.kinds import CONFIG_MAPS, EVENTS, RAY_JOBS, RUNS
from autolfads_operator.manifests import names
from autolfads_operator.metrics import Metrics
from autolfads_operator.observe import Observer
from autolfads_operator.observed import KubeRay
from autolfads_operator.plan import plan
from autolfads_operator.reconcile import Reconciler
from autolfads_operator.reports import Reports
from autolfads_operator.settings import OperatorSettings
from autolfads_spec.errors import DeniedError
from autolfads_spec.manifest import Lease
from autolfads_spec.store import FolderStore
from fake_kubernetes import FakeKubernetes

SPEC = {
    "data": {"uri": "gs://lab/reach.mat"},
    "output": {"uri": "gs://lab/runs/reach"},
    "compute": {"accelerator": {"type": "None"}},
}


class Operator:
    """All of an operator process but kopf; its watch is `tell`."""

    def __init__(self, kube, folder, **chosen):
        self.kube, self.metrics, self.cache = kube, Metrics(), Cache()
        self.may_act = True
        self.settings = OperatorSettings(
            poll_starting_seconds=0.05,
            poll_running_seconds=0.05,
            status_interval_seconds=0,
            backoff_first_seconds=0.05,
            backoff_longest_seconds=0.2,
            **chosen,
        )
        self.reports = Reports(lambda address: FolderStore(folder), self.metrics, 4, 5)
        self.observer = Observer(kube, self.cache, self.reports, lambda: datetime.datetime.now(datetime.UTC))
        self.observer.kuberay = KubeRay.FINE
        actor = Actor(kube, self.cache, self.reports, self.metrics, "me", lambda: "2030-01-01T00:00:00Z")
        self.unserved = set()
        self.reconciler = Reconciler(
            self.observer,
            actor,
            lambda observed: plan(observed, self.settings),
            self.settings,
            self.metrics,
            lambda: self.may_act,
            time.monotonic,
        )

    @property
    def looks(self):
        """How many have ended."""
        return self.metrics.registry.get_sample_value("autolfads_reconcile_seconds_count")

    async def fill(self):
        await listing.fill(self.kube, self.cache, self.reconciler, ())

    async def compare(self):
        return await listing.compare(self.kube, self.cache, self.reconciler, (), self.unserved)

    def tell(self, kind, thing, gone=False):
        handlers.take_note(self.cache, self.reconciler, kind, gone, thing)

    async def stop(self):
        await self.reconciler.stop()
        self.reports.close()


@contextlib.asynccontextmanager
async def running(*operators):
    for operator in operators:
        await operator.fill()
    try:
        yield
    finally:
        for operator in operators:
            await operator.stop()


async def until(question, seconds=10):
    end = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < end, "it never came"
        await asyncio.sleep(0.01)


@pytest.fixture
def kube():
    kube = FakeKubernetes()
    kube.add(RUNS, {"metadata": {"name": "reach", "namespace": "lab"}, "spec": SPEC})
    return kube


def started(kube):
    return "reach-a01" in kube.of(RAY_JOBS) and kube.status("reach").get("attempt") == 1


@contextlib.asynccontextmanager
async def at_work(kube, tmp_path):
    """An operator that has started the run."""
    operator = Operator(kube, tmp_path)
    async with running(operator):
        await until(lambda: started(kube))
        yield operator


def writes(kube, since=0):
    return [request for request in kube.requests[since:] if request[0] not in ("get", "list", "serves")]


async def rest(kube, *operators, looks=3):
    """Waits until each has looked so often and nothing was written; those who never rest fail."""
    deadline = time.monotonic() + 20
    while True:
        since = len(kube.requests)
        for operator in operators:
            wanted = operator.looks + looks
            await until(lambda operator=operator, wanted=wanted: operator.looks >= wanted)
        if not writes(kube, since):
            return
        assert time.monotonic() < deadline, writes(kube, since)


def test_a_run_gets_a_finalizer_a_lease_a_config_map_and_one_ray_job(kube, tmp_path):
    async def work():
        async with running(Operator(kube, tmp_path)):
            await until(lambda: started(kube))

    asyncio.run(work())
    assert kube.of(RUNS)["reach"]["metadata"]["finalizers"] == [names.FINALIZER]
    assert Lease.model_validate_json((tmp_path / "lease.json").read_bytes()).attempt == 1
    assert list(kube.of(CONFIG_MAPS)) == ["reach-a01"]
    assert list(kube.of(RAY_JOBS)) == ["reach-a01"]
    assert "AttemptStarted" in kube.reasons()


def test_a_second_operator_that_starts_later_changes_nothing(kube, tmp_path):
    async def work():
        first, second = Operator(kube, tmp_path), Operator(kube, tmp_path)
        async with running(first):
            await until(lambda: started(kube))
            await rest(kube, first)
        kube.requests.clear()
        async with running(second):
            await until(lambda: second.looks >= 3)

    asyncio.run(work())
    assert [request for request in writes(kube) if request[1] != "events"] == []


def test_two_operators_at_once_make_one_of_each_and_come_to_rest(kube, tmp_path):
    async def work():
        both = Operator(kube, tmp_path), Operator(kube, tmp_path)
        async with running(*both):
            await until(lambda: started(kube))
            await rest(kube, *both)

    asyncio.run(work())
    assert list(kube.of(RAY_JOBS)) == ["reach-a01"]
    assert Lease.model_validate_json((tmp_path / "lease.json").read_bytes()).attempt == 1


def test_a_look_that_fails_is_repeated_with_growing_pauses_and_told_in_the_status(kube, tmp_path):
    def refuse(verb, kind, name):
        if verb == "apply" and kind == CONFIG_MAPS:
            raise OperatorError("wanted a ConfigMap, found no answer; waiting")

    def reconciling():
        conditions = kube.status("reach").get("conditions", [])
        return [
            each for each in conditions if each["type"] == "Reconciling" and "no answer" in each["message"]
        ]

    async def work():
        operator = Operator(kube, tmp_path)
        async with running(operator):
            kube.broken = refuse
            await until(reconciling)
            assert operator.metrics.reconcile_errors.labels("OperatorError")._value.get() >= 3
            kube.broken = lambda *_: None
            await until(lambda: started(kube))
            await until(lambda: not reconciling())

    asyncio.run(work())


def test_a_write_that_is_not_allowed_is_told_at_once_and_the_run_goes_on_once_it_is(
    kube, tmp_path, monkeypatch
):
    def refuse(*_):
        raise DeniedError("found that the operator may not; give it the role X")

    def storage():
        conditions = kube.status("reach").get("conditions", [])
        return [each for each in conditions if each["type"] == "StorageWritable"]

    async def work():
        operator = Operator(kube, tmp_path)
        async with running(operator):
            await until(storage)
            (told,) = storage()
            assert (told["status"], told["reason"]) == ("False", "StorageDenied")
            assert "give it the role X" in told["message"]
            await asyncio.sleep(0.5)
            assert storage() == [told]
            assert len(asked) < 10  # not at every look
            denied.undo()
            await until(lambda: started(kube))
            await until(lambda: storage()[0]["status"] == "True")

    asked = []
    monkeypatch.setattr(folders, "DENIED_SECONDS", 1.0)
    denied = pytest.MonkeyPatch()
    denied.setattr(FolderStore, "write", lambda *arguments: asked.append(arguments) or refuse())
    try:
        asyncio.run(work())
    finally:
        denied.undo()


def test_a_mistake_of_ours_does_not_end_the_loop(kube, tmp_path, caplog):
    async def work():
        operator = Operator(kube, tmp_path)
        observe, calls = operator.observer.observe, []

        async def broken(uid):
            calls.append(uid)
            if len(calls) < 3:
                raise ZeroDivisionError("ours")
            return await observe(uid)

        operator.observer.observe = broken
        async with running(operator):
            await until(lambda: started(kube))

    asyncio.run(work())
    assert "mistake in the operator" in caplog.text


def test_a_trouble_that_cannot_be_told_does_not_end_the_loop(kube, tmp_path, caplog):
    def refuse(verb, kind, name):
        if verb == "apply" and kind == CONFIG_MAPS:
            raise OperatorError("wanted a ConfigMap, found no answer; waiting")
        if verb == "apply status":
            raise ZeroDivisionError("ours")

    async def work():
        operator = Operator(kube, tmp_path)
        async with running(operator):
            kube.broken = refuse
            await until(lambda: operator.metrics.reconcile_errors.labels("OperatorError")._value.get() >= 5)
            kube.broken = lambda *_: None
            await until(lambda: started(kube))

    asyncio.run(work())
    assert "its status could not be written either" in caplog.text


def test_without_the_lease_nothing_is_done(kube, tmp_path):
    async def work():
        operator = Operator(kube, tmp_path)
        operator.may_act = False
        async with running(operator):
            await asyncio.sleep(0.5)
            assert writes(kube) == []
            operator.may_act = True
            await until(lambda: started(kube))

    asyncio.run(work())


def test_a_change_wakes_the_loop_long_before_the_end_of_its_pause(kube, tmp_path):
    async def work():
        operator = Operator(kube, tmp_path, poll_terminal_seconds=1000)
        kube.change(RUNS, "lab", "reach", spec={})  # not valid: nothing to do for a long time
        async with running(operator):
            await until(lambda: kube.status("reach").get("phase"))
            operator.tell(RUNS, kube.change(RUNS, "lab", "reach", spec=SPEC))
            await until(lambda: started(kube), seconds=3)

    asyncio.run(work())


def test_a_deleted_run_releases_everything_and_goes(kube, tmp_path):
    async def work():
        async with at_work(kube, tmp_path) as operator:
            await kube.delete(RUNS, "lab", "reach")
            operator.tell(RUNS, kube.of(RUNS)["reach"])
            await until(lambda: not kube.of(RAY_JOBS))
            # What KubeRay's and our own watches tell in a real cluster:
            for entry in operator.cache.made_for(next(iter(operator.cache.uids(RUNS))), RAY_JOBS):
                operator.cache.drop(entry.uid)
            await until(lambda: not kube.of(RUNS))
            for uid in operator.cache.uids(RUNS):
                operator.tell(RUNS, {"metadata": {"uid": uid}}, gone=True)
            assert operator.reconciler.phases == {}

    asyncio.run(work())
    assert (tmp_path / "lease.json").exists()


def test_a_deleted_run_that_cannot_give_back_its_pool_is_kept_told_and_counted(tmp_path):
    kube = FakeKubernetes()
    kube.add(
        RUNS,
        {
            "metadata": {
                "name": "reach",
                "namespace": "lab",
                "deletionTimestamp": "2020-01-01T00:00:00Z",
                "finalizers": [names.FINALIZER],
            },
            "spec": SPEC,
            "status": {"nodePool": {"name": "alr-l4-1", "managed": True, "status": "RUNNING"}},
        },
    )

    async def work():
        operator = Operator(kube, tmp_path)
        async with running(operator):
            gauge = operator.metrics.cleanup_blocked.labels("lab", "reach")
            await until(lambda: gauge._value.get() == 1)
        assert kube.of(RUNS)["reach"]["metadata"]["finalizers"] == [names.FINALIZER]
        assert "CleanupBlocked" in [event["reason"] for event in kube.of(EVENTS).values()]

    asyncio.run(work())


def test_a_deletion_that_no_watch_told_is_seen_by_comparing_lists(kube, tmp_path):
    async def work():
        async with at_work(kube, tmp_path) as operator:
            await asyncio.sleep(0.3)
            del kube.things[RUNS, "lab", "reach"]
            assert await operator.compare() == 1
            assert operator.reconciler.phases == {}

    asyncio.run(work())


def test_what_is_not_served_for_a_moment_is_not_gone(kube, tmp_path):
    async def work():
        async with at_work(kube, tmp_path) as operator:
            kube.not_served = {RUNS}
            with pytest.raises(NotServedError):
                await operator.compare()
            assert operator.reconciler.phases.total() == 1
            for _ in range(2):  # a moment each
                kube.not_served = {RAY_JOBS}
                assert await operator.compare() == 0
                kube.not_served = set()
                assert await operator.compare() == 0
            assert len(operator.cache.uids(RAY_JOBS)) == 1

    asyncio.run(work())


def test_what_went_with_kuberay_is_gone_for_the_second_list(kube, tmp_path):
    async def work():
        async with at_work(kube, tmp_path) as operator:
            kube.not_served = {RAY_JOBS}
            del kube.things[RAY_JOBS, "lab", "reach-a01"]
            assert [await operator.compare() for _ in range(3)] == [0, 1, 0]
            assert operator.cache.uids(RAY_JOBS) == set()
            assert operator.reconciler.phases.total() == 1

    asyncio.run(work())


def test_the_first_list_waits_for_runs_to_be_served(kube, tmp_path):
    async def work():
        operator = Operator(kube, tmp_path)
        kube.not_served = {RAY_JOBS, RUNS}
        with pytest.raises(NotServedError):
            await operator.fill()
        kube.not_served = {RAY_JOBS}
        async with running(operator):
            assert operator.reconciler.phases.total() == 1

    asyncio.run(work())


def test_no_more_than_the_allowed_number_of_looks_are_under_way(tmp_path):
    kube, under_way, most = FakeKubernetes(), [], []
    for number in range(20):
        output = {"uri": f"gs://lab/runs/{number}"}
        kube.add(
            RUNS, {"metadata": {"name": f"r{number}", "namespace": "lab"}, "spec": {**SPEC, "output": output}}
        )

    async def work():
        operator = Operator(kube, tmp_path, concurrency=3)
        observe = operator.observer.observe

        async def slow(uid):
            under_way.append(uid)
            most.append(len(under_way))
            await asyncio.sleep(0.01)
            under_way.remove(uid)
            return None if len(most) > 60 else await observe(uid)

        operator.observer.observe = slow
        async with running(operator):
            await until(lambda: len(most) > 60)

    asyncio.run(work())
    assert max(most) == 3
