"""What is remembered of Google Cloud between looks, and what every write leaves behind."""

import asyncio

import pytest

from autolfads_operator.cloud import CloudView
from autolfads_operator.errors import (
    BusyError,
    CloudDeniedError,
    CloudUnavailableError,
    NotOwnedError,
    OutdatedError,
    PoolRefusedError,
)
from autolfads_operator.observed import CloudProblem, NodePool, Quota
from autolfads_operator.pools import WantedPool
from autolfads_spec.status import Reason

POOL = NodePool("alr-l4-1", "RUNNING", True, run_uid="uid-1")
WANTED = WantedPool("alr-l4-1", "g2-standard-8", "nvidia-l4", 1, "Spot", (), 2, "Default", {}, "h", "uid-1")


class Clock:
    seconds = 100.0

    def __call__(self):
        return self.seconds


class ToyGoogle:
    """Counts questions, and answers with what it is given."""

    def __init__(self):
        self.pools, self.asked, self.error, self.listed = [POOL], [], None, None

    async def node_pools(self):
        self.asked.append("list")
        if self.listed is not None:
            await self.listed.wait()
        if self.error is not None:
            raise self.error
        return tuple(self.pools)

    async def node_pool(self, name):
        self.asked.append(f"get {name}")
        return next((pool for pool in self.pools if pool.name == name), None)

    async def create(self, pool):
        self.asked.append(f"create {pool.name}")
        if self.error is not None:
            raise self.error

    async def of(self, accelerator, provisioning):
        return (Quota(f"{provisioning} {accelerator}", 8.0, 1.0),)


@pytest.fixture
def google():
    return ToyGoogle()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def view(google, clock):
    return CloudView(google, google, keep_seconds=5, monotonic=clock)


def look(view, *wanted, uid="uid-1", surely=False):
    return asyncio.run(view.look(wanted, uid, surely))


def create(view):
    return asyncio.run(view.change("alr-l4-1", lambda clusters: clusters.create(WANTED)))


def test_many_runs_ask_once_and_each_sees_its_own(view, google, clock):
    google.pools.append(NodePool("alr-l4-2", "RUNNING", True, run_uid="uid-2"))
    first, other = look(view, WANTED), look(view, uid="uid-2")
    clock.seconds += 4
    look(view, WANTED)
    assert google.asked == ["list"]
    assert [pool.name for pool in first.pools] == ["alr-l4-1"]
    assert [pool.name for pool in other.pools] == ["alr-l4-2"]
    assert first.quotas == {"alr-l4-1": (Quota("Spot nvidia-l4", 8.0, 1.0),)}

    clock.seconds += 2
    look(view, WANTED)
    assert google.asked == ["list", "list"]


def test_that_a_pool_is_gone_for_certain_is_asked_of_gke_itself(view, google):
    look(view, WANTED, surely=True)
    assert google.asked == ["list"]
    google.pools = []
    view._listed = {}

    assert look(view, WANTED, surely=True).pools == ()
    assert google.asked == ["list", "get alr-l4-1"]


def test_a_write_makes_the_next_look_ask_anew_also_when_it_overtakes_a_list(view, google):
    async def overtaken():
        google.listed = asyncio.Event()
        looking = asyncio.create_task(view.look((WANTED,), "uid-1", False))
        await asyncio.sleep(0)
        await view.change("alr-l4-1", lambda clusters: clusters.create(WANTED))
        google.listed.set()
        await looking
        await view.look((WANTED,), "uid-1", False)

    asyncio.run(overtaken())

    assert google.asked == ["list", "create alr-l4-1", "list"]


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (CloudUnavailableError("503"), CloudProblem.UNAVAILABLE),
        (CloudDeniedError("grant it"), CloudProblem.DENIED),
    ],
)
def test_what_cannot_be_read_is_not_known_and_not_asked_again_at_once(view, google, clock, error, problem):
    google.error = error

    found = look(view, WANTED)
    look(view, WANTED)

    assert (found.problem, found.message, found.pools) == (problem, str(error), None)
    assert google.asked == ["list"]
    google.error = None
    clock.seconds += 6
    assert look(view, WANTED).problem is None


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (BusyError("another operation", 40.0), CloudProblem.BUSY),
        (CloudDeniedError("grant it"), CloudProblem.DENIED),
        (CloudUnavailableError("no answer"), CloudProblem.UNAVAILABLE),
    ],
)
def test_a_write_that_failed_is_seen_by_every_run_for_as_long_as_it_asks(view, google, clock, error, problem):
    google.error = error
    with pytest.raises(type(error)):
        create(view)
    google.error = None

    found = look(view, uid="another")
    assert (found.problem, found.message) == (problem, str(error))
    assert look(view, WANTED).pools == (POOL,)
    clock.seconds += error.wait_seconds + 1
    assert look(view, WANTED).problem is None


def test_a_refused_pool_is_told_to_those_who_want_it(view, google, clock):
    google.error = PoolRefusedError("no such machine")
    with pytest.raises(PoolRefusedError):
        create(view)
    google.error = None

    found = look(view, WANTED)
    assert found.refused == {"alr-l4-1": (Reason.NODE_POOL_FAILED, "no such machine")}
    assert found.problem is None
    assert look(view, uid="uid-1").refused == {}
    clock.seconds += 61
    assert look(view, WANTED).refused == {}


def test_a_pool_of_somebody_else_is_seen_once_a_write_has_met_it(view, google):
    google.pools, google.error = [], NotOwnedError("not ours")
    with pytest.raises(NotOwnedError):
        create(view)
    google.error = None

    assert look(view, WANTED).pools == (NodePool("alr-l4-1", "", is_ours=False),)


def test_an_outdated_write_leaves_nothing_behind_but_a_new_list(view, google):
    look(view, WANTED)
    google.error = OutdatedError("another version")
    with pytest.raises(OutdatedError):
        create(view)
    google.error = None

    assert look(view, WANTED).problem is None
    assert google.asked == ["list", "create alr-l4-1", "list"]
