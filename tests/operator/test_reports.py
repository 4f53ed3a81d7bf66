"""Output folders through threads: limits of time, and what a damaged file is."""

import asyncio
import threading
import time

import pytest

from autolfads_operator.metrics import Metrics
from autolfads_operator.reports import Reports
from autolfads_spec.attempt import Wish
from autolfads_spec.errors import ConflictError, UnavailableError
from autolfads_spec.manifest import Lease
from autolfads_spec.store import FolderStore


class SlowStore(FolderStore):
    """A folder that does not answer until it is told to."""

    def __init__(self, folder):
        super().__init__(folder)
        self.may_answer = threading.Event()

    def read(self, name):
        self.may_answer.wait(10)
        return super().read(name)


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def reports(tmp_path, metrics):
    reports = Reports(lambda address: FolderStore(tmp_path / address), metrics, 2, 5)
    yield reports
    reports.close()


def counted(metrics, method, result):
    return metrics.store_requests.labels(method, result)._value.get()


def test_a_store_that_does_not_answer_in_time_is_unavailable_and_the_loop_goes_on(tmp_path, metrics):
    store = SlowStore(tmp_path)
    reports = Reports(lambda address: store, metrics, 2, 0.1)

    async def work():
        began = time.monotonic()
        with pytest.raises(UnavailableError, match=r"within 0.1 s"):
            await reports.lease("a")
        return time.monotonic() - began

    try:
        assert asyncio.run(work()) < 5
        assert counted(metrics, "lease", "timeout") == 1
    finally:
        store.may_answer.set()
        reports.close()


def test_a_lease_is_compared_before_it_is_set(reports, metrics):
    async def work():
        first = await reports.write_lease("a", Lease(attempt=1), None)
        with pytest.raises(ConflictError):
            await reports.write_lease("a", Lease(attempt=2), None)
        await reports.write_lease("a", Lease(attempt=2), first)
        return await reports.lease("a")

    assert asyncio.run(work()).document.attempt == 2
    assert counted(metrics, "write_lease", "conflict") == 1


def test_runs_with_folders_of_their_own_do_not_meet(reports):
    async def work():
        await reports.write_wish("a", Wish(attempt=1, pause=True))
        return await reports.wish("a"), await reports.wish("b")

    mine, other = asyncio.run(work())
    assert mine.document.pause
    assert other is None


def test_a_file_that_is_not_what_its_name_says_is_known_by_its_version_only(reports, metrics, tmp_path):
    version = FolderStore(tmp_path / "a").write("lease.json", b"\xff not JSON")

    found = asyncio.run(reports.lease("a"))

    assert (found.document, found.version) == (None, version)
    assert metrics.damaged_reports._value.get() == 1
