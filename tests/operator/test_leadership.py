"""Who holds the Lease, with a server in memory and a clock that is turned by hand."""

import asyncio
import copy
import datetime

import pytest

from autolfads_operator.errors import OutdatedError, UnavailableError
from autolfads_operator.leadership import Leadership, LeadershipLostError


class Clock:
    def __init__(self):
        self.seconds = 1000.0

    def __call__(self):
        return self.seconds

    def now(self):
        return datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(seconds=self.seconds)


class Server:
    """One Lease with the optimistic locking of a real API server."""

    def __init__(self):
        self.lease = None
        self.version = 0
        self.is_up = True
        self.loses_replies = False

    async def get(self, kind, namespace, name):
        self._require_up()
        return copy.deepcopy(self.lease)

    async def create(self, kind, namespace, body):
        self._require_up()
        if self.lease is not None:
            raise OutdatedError("already there")
        return self._store(body)

    async def replace(self, kind, namespace, body):
        self._require_up()
        if self.lease is None or body["metadata"]["resourceVersion"] != str(self.version):
            raise OutdatedError("another version")
        return self._store(body)

    def touch(self):
        self._store(self.lease)

    def _store(self, body):
        self.version += 1
        self.lease = copy.deepcopy(body)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        if self.loses_replies:
            raise UnavailableError("no reply")
        return copy.deepcopy(self.lease)

    def _require_up(self):
        if not self.is_up:
            raise UnavailableError("down")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def server():
    return Server()


def candidate(server, clock, name, during=lambda step: None):
    """A candidate; while it sleeps the clock goes on and `during` may change the world."""
    steps = iter(range(10_000))

    async def sleep(seconds):
        clock.seconds += seconds
        during(next(steps))

    return Leadership(
        server, "ours", "autolfads-operator", name, 30, 5, 20, monotonic=clock, now=clock.now, sleep=sleep
    )


def holder(server):
    return server.lease["spec"]["holderIdentity"]


def stop_after(steps):
    """Ends the candidate from outside, as a test of what it did until then."""

    def during(step):
        if step == steps:
            raise asyncio.CancelledError

    return during


def test_the_first_one_takes_it_at_once(server, clock):
    first = candidate(server, clock, "a")
    asyncio.run(first.acquire())

    assert first.is_held
    assert holder(server) == "a"
    assert clock.seconds == 1000


def test_the_second_one_waits_while_the_first_renews(server, clock):
    first = candidate(server, clock, "a")
    asyncio.run(first.acquire())

    def renew(step):
        server.touch()
        stop_after(50)(step)

    second = candidate(server, clock, "b", renew)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(second.acquire())
    assert not second.is_held
    assert holder(server) == "a"


def test_the_second_one_takes_over_once_the_first_was_silent_for_the_lease(server, clock):
    asyncio.run(candidate(server, clock, "a").acquire())
    second = candidate(server, clock, "b")
    asyncio.run(second.acquire())

    assert holder(server) == "b"
    assert 1030 <= clock.seconds <= 1036
    assert server.lease["spec"]["leaseTransitions"] == 1


def test_clocks_of_other_machines_do_not_matter(server, clock):
    """The holder's clock is a day ahead: still its silence is counted from when it was seen here."""
    asyncio.run(candidate(server, clock, "a").acquire())
    server.lease["spec"]["renewTime"] = "2031-01-01T00:00:00.000000Z"
    second = candidate(server, clock, "b")
    asyncio.run(second.acquire())

    assert clock.seconds <= 1036


def test_one_that_was_given_back_is_free_at_once(server, clock):
    first = candidate(server, clock, "a")
    asyncio.run(first.acquire())
    asyncio.run(first.release())
    second = candidate(server, clock, "b")
    asyncio.run(second.acquire())

    assert clock.seconds == 1000
    assert holder(server) == "b"
    assert not first.is_held


def test_renewing_keeps_it(server, clock):
    first = candidate(server, clock, "a", stop_after(100))
    asyncio.run(first.acquire())
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(first.keep())

    assert first.is_held
    assert server.version == 101
    assert server.lease["spec"]["acquireTime"] != server.lease["spec"]["renewTime"]


def test_one_that_was_stopped_learns_that_another_took_over(server, clock):
    first = candidate(server, clock, "a")
    asyncio.run(first.acquire())
    clock.seconds += 60
    assert not first.is_held  # knows so without asking
    asyncio.run(candidate(server, clock, "b").acquire())

    with pytest.raises(LeadershipLostError, match="held by b"):
        asyncio.run(first.keep())
    assert not first.is_held


def test_an_outage_shorter_than_the_bound_is_survived(server, clock):
    def outage(step):
        server.is_up = not 2 <= step <= 4
        stop_after(20)(step)

    first = candidate(server, clock, "a", outage)
    asyncio.run(first.acquire())

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(first.keep())
    assert first.is_held


def test_an_outage_longer_than_the_bound_ends_the_leader_before_another_may_begin(server, clock):
    def outage(step):
        server.is_up = step < 2

    first = candidate(server, clock, "a", outage)
    asyncio.run(first.acquire())

    with pytest.raises(LeadershipLostError, match="found no way"):
        asyncio.run(first.keep())
    assert clock.seconds - 1010 <= 20 + 5


def test_a_lost_reply_is_recognised_as_our_own_write(server, clock):
    def lose(step):
        server.loses_replies = step == 3
        stop_after(20)(step)

    first = candidate(server, clock, "a", lose)
    asyncio.run(first.acquire())

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(first.keep())
    assert first.is_held
    assert holder(server) == "a"


def test_somebody_who_touches_its_labels_takes_nothing(server, clock):
    def touch(step):
        if step == 3:
            server.touch()
        stop_after(20)(step)

    first = candidate(server, clock, "a", touch)
    asyncio.run(first.acquire())

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(first.keep())
    assert first.is_held


def test_of_two_that_ask_at_the_same_time_one_gets_it(server, clock):
    async def race():
        both = [candidate(server, clock, name, stop_after(1)) for name in "ab"]
        await asyncio.gather(*(each.acquire() for each in both), return_exceptions=True)
        return [each.is_held for each in both]

    assert sorted(asyncio.run(race())) == [False, True]
