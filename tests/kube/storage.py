"""Cloud Storage as the pods of a run reach it: through a proxy that sees who writes what.

    storage.writes                   every change that was asked for: Write(client, name, status, at)
    storage.fault = question         asked about each request: None, or what becomes of it (see `FaultyProxy`)
    storage.pace(seconds, ...)       each generation takes at least so long to commit, until .hurry()

A test that asks for the fixture has its run, its operator and itself go through it. Knows nothing of runs but
the names of their files.
"""

import re
import threading
import time
from typing import NamedTuple

import pytest

from faulty_storage import LEFT_OPEN, FaultyProxy

CHANGES = ("write", "begin", "part", "delete")
RECORD = re.compile(r"generations/(\d+)\.json$")
# Google's client waits 60 s for an answer.
LONGEST_SECONDS = 45


class Write(NamedTuple):
    """A change of the bucket that was asked for.

    Attributes:
      client: address of who asked; each pod has one.
      name: of the object; None of a deletion.
      status: of the answer; None when it was lost.
      at: when it came, monotonic.
    """

    client: str
    name: str | None
    status: int | None
    at: float


class Storage(FaultyProxy):
    """The proxy; see the module."""

    def __init__(self, emulator):
        super().__init__(emulator)
        self.writes = []
        self.fault = lambda request: None
        self.script = self._see
        self._seconds, self._slow_from = 0.0, 0
        self._is_hurried = threading.Event()

    def pace(self, seconds, almost_still_from):
        """A slow bucket: machines that wait cost nothing. From that generation on, slower still."""
        self._seconds, self._slow_from = seconds, almost_still_from

    def hurry(self):
        self._is_hurried.set()

    def _see(self, request):
        if request.kind not in CHANGES:
            return self.fault(request)
        came = time.monotonic()
        fault = self.fault(request)

        def carry(request, pass_on):
            self._wait(request.name)
            answer = fault(request, pass_on) if fault else pass_on(request)
            self.writes.append(Write(request.client, request.name, answer and answer.status, came))
            return answer

        return carry

    def _wait(self, name):
        record = RECORD.search(name or "")
        if record and self._seconds:
            is_slow = int(record[1]) >= self._slow_from
            self._is_hurried.wait(LONGEST_SECONDS if is_slow else self._seconds)


def content(request):
    """The bytes of the object that a request writes, sent in one piece with its description."""
    return request.body.split(b"\r\n\r\n", 2)[2].rpartition(b"\r\n--")[0]


@pytest.fixture
def storage(bucket, storage_emulator, monkeypatch):
    """Cloud Storage behind a `Storage`, for this process, the operator and the pods of a run."""
    server = Storage(storage_emulator)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.address)
    yield server
    server.hurry()
    server.end()
    thread.join()


SOCKETS = pytest.mark.filterwarnings(LEFT_OPEN)
