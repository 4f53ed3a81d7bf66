"""/livez and /readyz: they answer while the loop is stuck, and say so."""

import asyncio
import threading
import time
import urllib.error
import urllib.request

import pytest

from autolfads_operator.health import Health, HealthServer, beat


class Clock:
    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def health(clock):
    return Health(30, clock)


@pytest.fixture
def server(health):
    server = HealthServer(health, lambda: b"autolfads_runs 1\n", "127.0.0.1", 0)
    yield server
    server.close()


def ask(server: HealthServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_loop_that_lags_29_s_lives_and_one_that_lags_30_s_does_not(health, clock):
    clock.seconds = 29.9
    assert health.live_problems() == []

    clock.seconds = 30
    assert health.live_problems() == ["event loop: wanted a turn within 30 s, found none for 30 s"]

    health.beat()
    assert health.live_problems() == []


def test_what_is_not_live_is_not_ready_either(health):
    health.add_live("Lease", lambda: "not renewed for 31 s")
    health.add_ready("CRD", lambda: "not served")

    assert health.ready_problems() == ["Lease: not renewed for 31 s", "CRD: not served"]
    assert health.live_problems() == ["Lease: not renewed for 31 s"]


def test_a_check_that_raises_is_bad_health(health):
    health.add_ready("CRD", lambda: 1 / 0)

    assert health.ready_problems() == ["CRD: ZeroDivisionError: division by zero"]


def test_pages_say_ok_or_503_with_the_reason(server, health):
    health.add_ready("CRD", lambda: "not served")

    assert ask(server, "/livez") == (200, "ok\n")
    assert ask(server, "/readyz?verbose") == (503, "CRD: not served\n")
    assert ask(server, "/metrics") == (200, "autolfads_runs 1\n")
    assert ask(server, "/")[0] == 404


def test_a_stuck_loop_is_told_while_it_is_stuck():
    """The page comes from another thread: the loop that it is about cannot answer."""
    stuck, over = threading.Event(), threading.Event()
    health = Health(0.05, time.monotonic)
    server = HealthServer(health, lambda: b"", "127.0.0.1", 0)

    async def work():
        health.beat()
        stuck.set()
        over.wait(10)  # blocks the loop

    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    try:
        stuck.wait(5)
        threading.Event().wait(0.1)
        assert ask(server, "/livez")[0] == 503
    finally:
        over.set()
        thread.join()
        server.close()


def test_beat_tells_how_late_the_loop_was(clock):
    health, lags = Health(30, clock), []

    async def sleep(seconds):
        clock.seconds += seconds + (4 if len(lags) == 1 else 0)
        if len(lags) == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(beat(health, lags.append, every_seconds=1, monotonic=clock, sleep=sleep))

    assert lags == [0, 4, 0]
