"""Before the operator goes: runs are paused, then everything is given back, within a bound and for good."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolfads_operator import drain as drain_module
from autolfads_operator.drain import Drain
from autolfads_operator.draining import Clock, DrainedJob, DrainedRun, Seen, decided
from autolfads_operator.errors import BusyError, CloudDeniedError, OutdatedError, UnavailableError
from autolfads_operator.kinds import LEASES, RAY_CLUSTERS, RAY_JOBS, RUNS
from autolfads_operator.manifests.names import FINALIZER, labels
from autolfads_operator.observed import NodePool
from autolfads_operator.settings import OperatorSettings
from fake_kubernetes import FakeKubernetes

OPERATOR_HOLDS = Clock(5, 60, 120, is_alone=False, is_silent=False)
ALONE = Clock(5, 60, 120, is_alone=True, is_silent=True)


def run(name="reach", is_active=True, is_suspended=True, has_finalizer=True):
    return DrainedRun("lab", name, f"uid-{name}", is_active, is_suspended, has_finalizer)


def job(is_live=True, is_going=False):
    return DrainedJob("lab", "reach-a01", "uid-job", is_live, is_going)


def seen(runs=(), jobs=(), left=(), pools=()):
    return Seen(tuple(runs), tuple(jobs), tuple(left), tuple(pools))


def test_runs_that_have_not_ended_are_suspended_and_others_left_as_they_are():
    trains, ended = run("trains", is_suspended=False), run("ended", is_active=False, is_suspended=False)

    steps = decided(seen([trains, ended], [job()]), OPERATOR_HOLDS)

    assert steps.suspend == (trains,)
    assert not steps.take_lease


def test_a_driver_gets_its_time_and_no_more():
    trains = seen([run()], [job()], ["RayJob lab/reach-a01"])

    assert not decided(trains, OPERATOR_HOLDS).take_lease
    assert decided(trains, OPERATOR_HOLDS._replace(elapsed_seconds=60)).take_lease


def test_nobody_is_waited_for_when_there_is_no_operator_to_pause_anything():
    assert decided(seen([run()], [job()]), OPERATOR_HOLDS._replace(is_silent=True)).take_lease


def test_a_job_that_has_ended_is_not_waited_for():
    assert decided(seen([run()], [job(is_live=False)]), OPERATOR_HOLDS).take_lease


def test_nothing_is_deleted_or_released_while_an_operator_could_put_it_back():
    steps = decided(seen([run()], [job()], ["x"], [NodePool("alr-a", "RUNNING", True)]), OPERATOR_HOLDS)

    assert (steps.delete_jobs, steps.delete_pools, steps.release, steps.is_done) == ((), (), (), False)


def test_finalizers_stay_until_everything_is_gone_or_the_time_is_over():
    waits = seen([run()], [job(is_going=True)], ["pod lab/reach"])

    assert decided(waits, ALONE).release == ()
    assert decided(waits, ALONE._replace(elapsed_seconds=120)).release == (run(),)
    assert decided(seen([run()]), ALONE).release == (run(),)


@given(
    st.builds(
        Seen,
        st.lists(st.builds(run, st.just("a"), st.booleans(), st.booleans(), st.booleans())).map(tuple),
        st.lists(st.builds(job, st.booleans(), st.booleans())).map(tuple),
        st.lists(st.just("pod lab/reach")).map(tuple),
        st.lists(st.just(NodePool("alr-a", "RUNNING", True))).map(tuple),
    ),
    st.booleans(),
    st.booleans(),
)
def test_whatever_is_left_there_is_always_a_next_step_and_an_end(left, is_alone, is_silent):
    late = decided(left, Clock(1000, 60, 120, is_alone, is_silent))

    if not is_alone:
        assert late.suspend or late.take_lease
    elif any(each.has_finalizer for each in left.runs):
        assert late.release
    else:
        assert late.is_done


class Kubernetes(FakeKubernetes):
    """With `replace`, and a KubeRay that takes a RayJob away at once."""

    async def replace(self, kind, namespace, body):
        self._note("replace", kind, body["metadata"]["name"])
        thing = self.things.get((kind, namespace, body["metadata"]["name"]))
        if thing is None or thing["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise OutdatedError("changed meanwhile")
        self.things[kind, namespace, body["metadata"]["name"]] = body = {
            **body,
            "metadata": {**body["metadata"]},
        }
        self._bump(body)
        return body


class Cloud:
    """Node pools that need a while to go, in a cluster that does one thing at a time."""

    def __init__(self, *names, looks=2):
        self.left = dict.fromkeys(names, looks)
        self.going = None

    async def node_pools(self):
        if self.going is not None:
            self.left[self.going] -= 1
            if self.left[self.going] <= 0:
                del self.left[self.going]
                self.going = None
        return tuple(NodePool(name, "RUNNING", True) for name in self.left)

    async def delete(self, name, etag=""):
        if self.going not in (None, name):
            raise BusyError(f"busy with {self.going}", 15)
        self.going = name


@pytest.fixture
def kubernetes(monkeypatch):
    monkeypatch.setattr(drain_module, "PAUSE_SECONDS", 0.001)
    found = Kubernetes()
    for name, phase in {"trains": "Running", "ended": "Succeeded"}.items():
        metadata = {"name": name, "namespace": "lab", "finalizers": ["theirs/one", FINALIZER]}
        found.add(RUNS, {"metadata": metadata, "spec": {}, "status": {"phase": phase}})
    owner = found.of(RUNS)["trains"]["metadata"]["uid"]
    found.add(
        RAY_JOBS,
        {"metadata": {"name": "trains-a01", "namespace": "lab", "labels": labels("trains", owner, 1)}},
    )
    return found


def drained(kubernetes, cloud=None, pause_seconds=0.05, seconds=5.0):
    chosen = OperatorSettings(
        lease_namespace="ops", lease_renew_seconds=0.05, lease_give_up_seconds=0.5, lease_seconds=1.5
    )
    return asyncio.run(Drain(chosen, kubernetes, cloud).run(pause_seconds, seconds))


def held_by(kubernetes, holder):
    kubernetes.add(
        LEASES,
        {
            "metadata": {"name": "autolfads-operator", "namespace": "ops"},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 30},
        },
    )


def test_what_is_ours_goes_and_what_is_others_stays(kubernetes):
    held_by(kubernetes, "operator-1")

    assert drained(kubernetes)

    runs = kubernetes.of(RUNS)
    assert [thing["metadata"]["finalizers"] for thing in runs.values()] == [["theirs/one"]] * 2
    assert [thing["spec"] for thing in runs.values()] == [{"suspend": True}, {}]
    assert kubernetes.of(RAY_JOBS) == {}


def test_the_lease_is_kept_so_that_the_operator_puts_nothing_back(kubernetes):
    held_by(kubernetes, "operator-1")
    drained(kubernetes)

    (lease,) = kubernetes.of(LEASES).values()
    assert lease["spec"]["holderIdentity"] not in ("", "operator-1")


def test_it_goes_on_when_kubernetes_fails_in_between(kubernetes):
    chance = random.Random(1)

    def now_and_then(verb, kind, name):
        if chance.random() < 0.2:
            raise UnavailableError("try again")

    kubernetes.broken = now_and_then

    assert drained(kubernetes)
    assert all(FINALIZER not in thing["metadata"]["finalizers"] for thing in kubernetes.of(RUNS).values())


def test_kinds_that_are_uninstalled_already_are_not_waited_for(kubernetes):
    kubernetes.not_served = {RAY_JOBS, RAY_CLUSTERS}

    assert drained(kubernetes)
    assert all(FINALIZER not in thing["metadata"]["finalizers"] for thing in kubernetes.of(RUNS).values())


def test_node_pools_are_deleted_one_after_another(kubernetes):
    cloud = Cloud("alr-a", "alr-b", "alr-c")

    assert drained(kubernetes, cloud)
    assert cloud.left == {}


def test_a_node_pool_that_stays_is_told_and_the_operator_goes_on_looking_after_it(kubernetes, caplog):
    held_by(kubernetes, "operator-1")

    assert not drained(kubernetes, Cloud("alr-a", looks=10**9), seconds=1)

    assert "gcloud container node-pools delete alr-a" in caplog.text
    (lease,) = kubernetes.of(LEASES).values()
    assert lease["spec"]["holderIdentity"] == ""
    assert all(FINALIZER not in thing["metadata"]["finalizers"] for thing in kubernetes.of(RUNS).values())


def test_a_cloud_that_does_not_answer_keeps_no_finalizer(kubernetes, caplog):
    class Silent(Cloud):
        async def node_pools(self):
            raise CloudDeniedError("container.nodePools.list is missing")

    assert not drained(kubernetes, Silent(), seconds=0.2)
    assert "container.nodePools.list is missing" in caplog.text
    assert all(FINALIZER not in thing["metadata"]["finalizers"] for thing in kubernetes.of(RUNS).values())
