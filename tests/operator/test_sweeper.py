"""Which node pools the sweeper takes, when, and that it never takes any other."""

import asyncio
import dataclasses
import datetime
import time

import pytest

from autolfads_operator import pools
from autolfads_operator.errors import BusyError, CloudUnavailableError
from autolfads_operator.observed import CustomResource, NodePool
from autolfads_operator.settings import OperatorSettings
from autolfads_operator.sweeper import PAUSE_SECONDS, Sweeper, judged
from autolfads_spec import load_run
from autolfads_spec.status import Phase, RunStatus

TERMS = OperatorSettings(cluster="projects/p/locations/l/clusters/c", install_id="lab")


def a_run(mode, uid="uid-1", phase=None):
    content = {
        "apiVersion": "autolfads.dev/v1alpha1",
        "kind": "AutoLFADSRun",
        "metadata": {"name": "reach", "namespace": "lab"},
        "spec": {
            "data": {"uri": "gs://lab/reach.h5"},
            "output": {"uri": "gs://lab/out"},
            "compute": {"accelerator": {"type": "nvidia-l4"}, "nodePool": {"mode": mode}},
        },
    }
    created = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
    return CustomResource("reach", "lab", uid, 1, created, load_run(content), status=RunStatus(phase=phase))


def pool_of(run, **more):
    (wanted,) = pools.wanted(run.run, run, TERMS)
    return NodePool(wanted.name, "RUNNING", True, run_uid=wanted.run_uid, etag="1", **more)


SHARED = pool_of(a_run("Shared"))
OWN = pool_of(a_run("Dedicated"))
BROKEN = dataclasses.replace(SHARED, status="ERROR")


@pytest.mark.parametrize(
    ("pool", "runs", "found"),
    [
        pytest.param(OWN, [], "gone", id="its run is gone"),
        pytest.param(OWN, [a_run("Dedicated")], "used", id="its run is there"),
        pytest.param(OWN, [a_run("Dedicated", phase=Phase.SUCCEEDED)], "idle", id="its run has ended"),
        pytest.param(OWN, [a_run("Auto")], "idle", id="its run wants none any more"),
        pytest.param(SHARED, [], "idle", id="nobody uses it"),
        pytest.param(SHARED, [a_run("Shared", uid="uid-9", phase=Phase.RUNNING)], "used", id="somebody does"),
        pytest.param(SHARED, [a_run("Shared", phase=Phase.SUSPENDED)], "idle", id="its user is suspended"),
        pytest.param(SHARED, [a_run("Shared", phase=Phase.FAILED)], "idle", id="its user has failed"),
        pytest.param(BROKEN, [a_run("Shared", phase=Phase.SUSPENDED)], "gone", id="broken"),
        pytest.param(BROKEN, [a_run("Shared", phase=Phase.RUNNING)], "used", id="broken and used"),
        pytest.param(dataclasses.replace(OWN, is_ours=False), [], "used", id="not ours"),
        pytest.param(dataclasses.replace(OWN, status="STOPPING"), [], "used", id="going already"),
    ],
)
def test_what_becomes_of_a_pool(pool, runs, found):
    sweep = judged([pool], tuple(runs), TERMS)

    assert found == ("gone" if sweep.gone else "idle" if sweep.idle else "used")


def test_a_run_whose_spec_cannot_be_read_keeps_what_it_had():
    run = dataclasses.replace(a_run("Shared"), run=None)
    status = RunStatus.model_validate({"nodePool": {"name": SHARED.name, "managed": True}})

    assert judged([SHARED, OWN], (dataclasses.replace(run, status=status),), TERMS).gone == ()
    assert judged([SHARED], (dataclasses.replace(run, status=status),), TERMS).idle == ()


class ToyView:
    def __init__(self, *found):
        self.found, self.deleted, self.error = list(found), [], None

    async def pools(self):
        return tuple(self.found)

    async def change(self, name, write):
        if self.error is not None:
            raise self.error
        await write(self)

    async def delete(self, name, etag):
        self.deleted.append((name, etag))


@pytest.fixture
def sweeping():
    """A sweeper over these pools: (view, sweep(at) -> pause)."""

    def make(*found, runs=(), may_act=True):
        view, clock = ToyView(*found), [0.0]
        sweeper = Sweeper(view, lambda: runs, TERMS, 3600, 3600, lambda: may_act, lambda: clock[0])

        def sweep(at):
            clock[0] = at
            return asyncio.run(sweeper.sweep())

        return view, sweep

    return make


def test_a_shared_pool_goes_after_an_hour_without_a_run_counted_from_when_that_was_first_seen(sweeping):
    view, sweep = sweeping(SHARED)

    assert sweep(500_000) == 3600
    assert sweep(500_000 + 3000) == 600
    assert view.deleted == []
    assert sweep(500_000 + 3600) == PAUSE_SECONDS
    assert view.deleted == [(SHARED.name, "1")]


def test_a_pool_that_was_used_in_between_is_counted_anew(sweeping):
    runs = []
    view, sweep = sweeping(SHARED, runs=runs)
    sweep(0)
    runs.append(a_run("Shared", phase=Phase.RUNNING))
    sweep(3000)
    runs.clear()
    sweep(3500)
    sweep(7000)

    assert view.deleted == []


def test_a_pool_whose_run_is_gone_goes_at_once_and_one_pool_a_look(sweeping):
    view, sweep = sweeping(OWN, dataclasses.replace(OWN, name="alr-l4-other"))

    assert sweep(0) == PAUSE_SECONDS
    assert view.deleted == [(OWN.name, "1")]


def test_a_pool_that_is_being_made_is_waited_for(sweeping):
    view, sweep = sweeping(dataclasses.replace(OWN, status="PROVISIONING", operation="o"))

    assert sweep(0) == PAUSE_SECONDS
    assert view.deleted == []


def test_without_the_lease_nothing_is_swept(sweeping):
    view, sweep = sweeping(OWN, may_act=False)

    sweep(0)

    assert view.deleted == []


def test_trouble_is_for_the_next_time():
    view = ToyView(OWN)
    view.error = BusyError("another operation", 15.0)
    sweeper = Sweeper(view, lambda: (), TERMS, 3600, 0.01, lambda: True, time.monotonic)

    async def a_while():
        task = asyncio.create_task(sweeper.keep())
        await asyncio.sleep(0.05)
        view.error = CloudUnavailableError("503")
        await asyncio.sleep(0.05)
        view.error = None
        await asyncio.sleep(0.05)
        task.cancel()
        return task

    task = asyncio.run(a_while())

    assert task.cancelled()
    assert view.deleted[0] == (OWN.name, "1")
