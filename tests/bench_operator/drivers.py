"""The drivers of many runs, played: what they read and write in the output folders, and nothing trained.

Each does what `lfads_worker` does as far as the operator can see it: takes the run over by the lease, gives a
sign of life, reads the operator's wish, commits generations, and leaves a last word. Checkpoints and records
are not written: nobody but drivers reads them.
"""

import datetime
import heapq
import itertools
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from autolfads_spec import RunPaths
from autolfads_spec.attempt import AttemptEnd, EndClass, Wish
from autolfads_spec.errors import MissingError
from autolfads_spec.manifest import BestMember, CommittedGeneration, Lease, Manifest, StoredFile
from autolfads_spec.store import Expected, Store, open_store

NAMES = RunPaths("")
MEMBERS = 20
# A manifest grows with its generations: this is how large one is on average.
GENERATIONS_BEFORE, GENERATIONS_ASKED = 25, 50
HYPERPARAMETERS = {f"hyperparameter_{number}": 0.123456789 / (number + 1) for number in range(9)}
# What a driver is told: run, generation (counted from 1, as in a status), seconds since 1970.
Told = Callable[[str, int, float], None]


@dataclass(frozen=True)
class Pace:
    """How often drivers write, in seconds."""

    heartbeat_seconds: float = 30.0
    generation_seconds: float = 60.0


@dataclass
class Driver:
    """The driver of one attempt at one run."""

    run: str
    attempt: int
    store: Store
    pace: Pace
    told: Told
    status: str = "RUNNING"
    started: float = field(default_factory=time.time)

    def begin(self) -> float:
        """Take the run over; seconds until the next step."""
        stored = self.store.read(NAMES.lease)
        lease = Lease.model_validate_json(stored.content)
        epoch = lease.driver_epoch + 1
        lease = lease.model_copy(update={"attempt": self.attempt, "driver_epoch": epoch})
        self.store.write(NAMES.lease, lease.to_bytes(), stored.version)
        self.manifest, expected = self._found(epoch)
        self.version = self.store.write(NAMES.manifest, self.manifest.to_bytes(), expected)
        # Drivers that began together do not commit together.
        self.commits_at = time.monotonic() + random.uniform(0, self.pace.generation_seconds)
        self.beats_at = time.monotonic() + random.uniform(0, self.pace.heartbeat_seconds)
        self.is_paused = False
        return self._pause()

    def step(self) -> float | None:
        """Whatever is due; seconds until the next step, None when the driver has ended."""
        now = time.monotonic()
        if now >= self.commits_at:
            self.commits_at = max(now, self.commits_at + self.pace.generation_seconds)
            self._commit()
            if self.is_paused:
                self._end()
                return None
        elif now >= self.beats_at:
            self.beats_at = max(now, self.beats_at + self.pace.heartbeat_seconds)
            self._write()
            self._look()
        return self._pause()

    def _pause(self) -> float:
        return max(0.0, min(self.commits_at, self.beats_at) - time.monotonic())

    def _found(self, epoch: int) -> tuple[Manifest, str | Expected]:
        own = {"attempt": self.attempt, "driver_epoch": epoch, "heartbeat": _now()}
        try:
            stored = self.store.read(NAMES.manifest)
        except MissingError:
            entries = tuple(_entry(number) for number in range(GENERATIONS_BEFORE))
            fresh = Manifest(
                run=self.run,
                fingerprint="f" * 64,
                cohorts=tuple((member,) for member in range(MEMBERS)),
                generations_asked=GENERATIONS_ASKED,
                driver="a head that is not there, process 1",
                versions={"python": "3.11.7", "numpy": "2.4.6", "tensorflow": "2.21.0", "ray": "2.60.0"},
                generation=GENERATIONS_BEFORE - 1,
                generations=entries,
                best=_best(GENERATIONS_BEFORE - 1),
                **own,
            )
            return fresh, Expected.NOTHING
        return Manifest.model_validate_json(stored.content).model_copy(update=own), stored.version

    def _commit(self) -> None:
        number = len(self.manifest.generations)
        entries = (*self.manifest.generations, _entry(number))
        self._write(generation=number, generations=entries, best=_best(number))
        self.told(self.run, number + 1, time.time())

    def _write(self, **changes: object) -> None:
        self.manifest = self.manifest.model_copy(update={**changes, "heartbeat": _now()})
        self.version = self.store.write(NAMES.manifest, self.manifest.to_bytes(), self.version)

    def _look(self) -> None:
        try:
            wish = Wish.model_validate_json(self.store.read(NAMES.wish).content)
        except MissingError:
            return
        self.is_paused = wish.pause and wish.attempt == self.attempt

    def _end(self) -> None:
        end = AttemptEnd(
            attempt=self.attempt,
            driver_epoch=self.manifest.driver_epoch,
            end_class=EndClass.PAUSED,
            message="paused: what is committed is kept",
            generation=self.manifest.generation,
            ended_at=_now(),
        )
        self.store.write(NAMES.attempt_end(self.attempt), end.to_bytes())
        self.status = "SUCCEEDED"


class Drivers:
    """All drivers, served by a few threads.

    Args:
      root: the output folder of run `name` is root/name.
      told: called with every commit.
    """

    def __init__(self, root: str, pace: Pace, told: Told, threads: int = 8) -> None:
        self._root, self._pace, self._told = root, pace, told
        self._drivers: dict[str, Driver] = {}
        self._due: list[tuple[float, int, Driver]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="driver")
        self.failures = 0
        threading.Thread(target=self._serve, name="schedule", daemon=True).start()

    def start(self, submission: str) -> None:
        """Ray was given a job; named by the operator after run and attempt."""
        run, _, attempt = submission.rpartition("-a")
        driver = Driver(run, int(attempt), open_store(f"{self._root}/{run}"), self._pace, self._told)
        self._drivers[submission] = driver
        self._pool.submit(self._do, driver, driver.begin)

    def stop(self, submission: str) -> None:
        """Its machines go: it is killed where it stands."""
        if (driver := self._drivers.get(submission)) is not None and driver.status == "RUNNING":
            driver.status = "STOPPED"

    def find(self, submission: str) -> Driver | None:
        return self._drivers.get(submission)

    def _serve(self) -> None:
        while True:
            with self._changed:
                pause = self._due[0][0] - time.monotonic() if self._due else None
                if pause is None or pause > 0:
                    self._changed.wait(pause)
                    continue
                driver = heapq.heappop(self._due)[2]
            self._pool.submit(self._do, driver, driver.step)

    def _do(self, driver: Driver, what: Callable[[], float | None]) -> None:
        if driver.status != "RUNNING":
            return
        try:
            pause = what()
        except Exception as error:
            self.failures += 1
            print(f"the driver of {driver.run} has failed: {type(error).__name__}: {error}", flush=True)
            driver.status = "FAILED"
            return
        if pause is not None:
            with self._changed:
                heapq.heappush(self._due, (time.monotonic() + pause, next(self._numbers), driver))
                self._changed.notify()


def _entry(number: int) -> CommittedGeneration:
    record = StoredFile(name=NAMES.generation_record(number), sha256=f"{number:064x}", bytes=20_000)
    return CommittedGeneration(
        generation=number, record=record, seconds=60.0, commit_seconds=0.5, committed_at=_now()
    )


def _best(number: int) -> BestMember:
    return BestMember(
        generation=number,
        member=number % MEMBERS,
        score=0.3 - number / 1000,
        hyperparameters=HYPERPARAMETERS,
    )


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
