"""Commits generations: checkpoints, then an immutable record, then the manifest that points to it.

A kill between any two writes leaves the manifest pointing to a generation that is whole.
The manifest is only ever replaced in place of the version that this driver knows, and every
start of a driver replaces it first: so a driver that was superseded finds out with its next
write, stops, and has changed nothing. Names carry attempt and driver epoch; no checkpoint is
overwritten.
"""

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from pydantic import ValidationError

from autolfads_spec import AutoLFADSRun
from autolfads_spec.errors import ConflictError, MissingError, StoreError
from autolfads_spec.manifest import (
    BestMember,
    CommittedGeneration,
    GenerationRecord,
    Lease,
    Manifest,
    StoredFile,
)
from autolfads_spec.store import Expected, Store
from lfads_worker.errors import FencedError, OutputError, RecordingChangedError
from lfads_worker.history import Position
from lfads_worker.results import checkpoint, records, resume
from lfads_worker.results.resume import NAMES

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 30.0
# Two drivers that start in the same moment each get a number of their own; more than a few never do.
TRIES = 20

Cohorts = Sequence[tuple[int, ...]]


class Commits:
    """A driver's hold on a run.

    Attributes:
      manifest: as this driver wrote it last.
      start: where to go on; None: from the beginning.
    """

    def __init__(
        self,
        store: Store,
        manifest: Manifest,
        version: str,
        restored: resume.Restored,
        keep_generations: int,
    ) -> None:
        self.manifest = manifest
        self.start = restored.position
        self._store = store
        self._version = version
        self._documents = list(restored.documents)
        self._keep = keep_generations
        self._lock = threading.Lock()  # the heartbeat is a thread of its own
        self._fenced: FencedError | None = None

    @property
    def cohorts(self) -> tuple[tuple[int, ...], ...]:
        """The cut with which the run began."""
        return self.manifest.cohorts

    @property
    def generation(self) -> int | None:
        """The last committed one."""
        return self.manifest.generation

    def look(self) -> int | None:
        """The last committed generation in the store; an interrupt may come between writing and noting it."""
        with contextlib.suppress(StoreError):
            manifest = resume.read_manifest(self._store).manifest
            if manifest is not None:
                return manifest.generation
        return self.generation

    def commit(self, position: Position) -> None:
        """Makes a position the one that the run goes on from.

        Raises:
          FencedError: if another driver has taken the run over.
          OutputError: if the store is full or refuses; what was committed before is safe.
        """
        written: list[str] = []
        try:
            self._commit(position, written)
        except StoreError as error:
            with contextlib.suppress(StoreError):
                for name in written:  # room for whatever comes next
                    self._store.delete(name)
            raise OutputError(f"{error} ({safe(self.generation)})") from error
        self._sweep()

    def require_held(self) -> None:
        """Renews the heartbeat.

        Raises:
          FencedError: if another driver has taken the run over.
        """
        self._move()

    @contextlib.contextmanager
    def alive(
        self,
        interrupt: Callable[[], None],
        seconds: float = HEARTBEAT_SECONDS,
        at_heartbeat: Callable[[], None] = lambda: None,
    ) -> Iterator[None]:
        """Renews the heartbeat now and then for as long as the context lasts.

        Args:
          interrupt: called from another thread when another driver has taken the run over; raises
            KeyboardInterrupt in this one, which leaves the context as a FencedError.
          seconds: between two heartbeats.
          at_heartbeat: called after each, in that other thread.
        """
        ended = threading.Event()
        thread = threading.Thread(
            target=self._beat,
            args=(ended, seconds, interrupt, at_heartbeat),
            name="heartbeat",
            daemon=True,
        )
        thread.start()
        try:
            yield
        except KeyboardInterrupt:
            if self._fenced is not None:
                raise self._fenced from None
            raise
        finally:
            ended.set()
            thread.join()

    def _beat(
        self,
        ended: threading.Event,
        seconds: float,
        interrupt: Callable[[], None],
        at_heartbeat: Callable[[], None],
    ) -> None:
        while not ended.wait(seconds):
            try:
                self._move()
            except FencedError:
                interrupt()
                return
            except StoreError as error:  # the next commit will fail, or succeed
                logger.warning("no heartbeat: %s", error)
            at_heartbeat()

    def _commit(self, position: Position, written: list[str]) -> None:
        started = time.monotonic()
        generation = position.generations[-1].generation
        lease = Lease(attempt=self.manifest.attempt, driver_epoch=self.manifest.driver_epoch)

        def put(name: str, content: bytes) -> StoredFile:
            written.append(name)
            return checkpoint.put(self._store, name, content)

        checkpoints = []
        for cohort, state in enumerate(position.states):
            assert state is not None  # only before generation 0
            name = NAMES.checkpoint(generation, cohort, lease.attempt, lease.driver_epoch)
            checkpoints.append(put(name, checkpoint.state_to_bytes(state)))
        best = self._best_checkpoint(position, put)
        log = put(
            NAMES.generation_log(generation, lease.attempt, lease.driver_epoch),
            checkpoint.logs_to_bytes(position.generations[-1].logs),
        )
        document = records.to_document(position, lease, checkpoints, best, log)
        record = self._create_record(document, written)
        # From here on the generation may be committed, even if the answer says that writing failed.
        written.clear()
        self._move(
            generation=generation,
            stop_reason=document.stop_reason,
            best=_summary(document),
            generations=(
                *self.manifest.generations,
                CommittedGeneration(
                    generation=generation,
                    record=record,
                    seconds=document.measured.seconds,
                    commit_seconds=time.monotonic() - started,
                    committed_at=_now(),
                    diverged=document.diverged,
                ),
            ),
        )
        self._documents.append(document)

    def _best_checkpoint(self, position: Position, put: Callable[[str, bytes], StoredFile]) -> StoredFile:
        best = position.best
        assert best is not None  # every generation that ends has one
        if self._documents:
            before = self._documents[-1].best
            if (before.generation, before.member) == (best.generation, best.member):
                return before.checkpoint
        name = NAMES.best_checkpoint(best.generation, self.manifest.attempt, self.manifest.driver_epoch)
        return put(name, checkpoint.state_to_bytes(best.state))

    def _create_record(self, document: GenerationRecord, written: list[str]) -> StoredFile:
        name, content = NAMES.generation_record(document.generation), document.to_bytes()
        try:
            file = checkpoint.put(self._store, name, content, Expected.NOTHING)
        except ConflictError:
            # Left by a driver that was killed, or superseded, before its record was committed.
            self._move()
            stale = self._store.read(name).version
            file = checkpoint.put(self._store, name, content, stale)
        written.append(name)
        return file

    def _move(self, **changes: object) -> None:
        with self._lock:
            if self._fenced is not None:
                raise self._fenced
            manifest = self.manifest.model_copy(update={**changes, "heartbeat": _now()})
            try:
                self._version = _replace(self._store, manifest, self._version)
            except FencedError as error:
                self._fenced = error
                raise
            self.manifest = manifest

    def _sweep(self) -> None:
        """Removes what no kept generation needs: old checkpoints, and what killed drivers have left."""
        needed = {file.name for document in self._documents[-self._keep :] for file in document.states}
        needed |= {document.log.name for document in self._documents}
        needed |= {entry.record.name for entry in self.manifest.generations}
        try:
            for name in (*self._store.names("checkpoints/"), *self._store.names("generations/")):
                if name not in needed:
                    self._store.delete(name)
        except StoreError as error:
            logger.warning("old checkpoints stay where they are: %s", error)


def take_over(
    store: Store,
    run: AutoLFADSRun,
    fingerprint: str,
    cohorts: Cohorts,
    versions: Mapping[str, str | None],
    attempt: int | None = None,
    recording_version: str | None = None,
) -> Commits:
    """Makes this process the driver of a run, new or begun.

    Args:
      store: the run's files.
      run: what is asked for.
      fingerprint: sha256 of the recording.
      cohorts: how a new run is cut; one that has begun keeps its cut.
      versions: of what the numbers depend on.
      attempt: that this driver makes; None leaves the number as it is, where nobody counts.
      recording_version: of the recording's file, see `Manifest`.

    Raises:
      RecordingChangedError: if the run began with another recording.
      StoreError: if the store refuses.
      FencedError: if yet another driver takes the run over in the same moment, or the run belongs to a
        later attempt.
    """
    found = resume.read_manifest(store).manifest
    if found is not None:
        require_same_recording(run, found.fingerprint, fingerprint)
    lease = _next_lease(store, attempt)
    fresh = Manifest(
        run=run.metadata.name,
        fingerprint=fingerprint,
        recording_version=recording_version,
        cohorts=tuple(cohorts),
        generations_asked=run.spec.population.generations,
        attempt=lease.attempt,
        driver_epoch=lease.driver_epoch,
        driver=f"{socket.gethostname()}, process {os.getpid()}",
        heartbeat=_now(),
        versions={name: version for name, version in versions.items() if version is not None},
    )
    manifest, version = _claim(store, fresh)
    restored = resume.restore(store, manifest.generations, len(manifest.cohorts))
    commits = Commits(store, manifest, version, restored, run.spec.output.keep_generations)
    _tell(manifest, restored, fresh)
    pointer = _pointer(manifest, restored)
    if any(getattr(manifest, name) != value for name, value in pointer.items()):
        commits._move(**pointer)
    commits._sweep()
    return commits


def require_same_recording(run: AutoLFADSRun, began_with: str, found: str) -> None:
    """Checks that a run goes on with the recording that it began with.

    Args:
      run: what is asked for.
      began_with: sha256 of the recording then.
      found: sha256 of the recording now.

    Raises:
      RecordingChangedError: if they differ.
    """
    if began_with == found:
        return
    raise RecordingChangedError(
        f"data.uri: wanted the recording that the run in {run.spec.output.uri} began with (sha256 "
        f"{began_with[:12]}…), found that {run.spec.data.uri} has another content now ({found[:12]}…); "
        "put the recording back, or give another output.uri"
    )


def safe(generation: int | None) -> str:
    """Words for what is not lost."""
    if generation is None:
        return "no generation is committed yet"
    return f"generation {generation} and all before it are committed"


def _next_lease(store: Store, attempt: int | None) -> Lease:
    for _ in range(TRIES):
        before, expected = _lease(store)
        if attempt is not None and before.attempt > attempt:
            break
        lease = before.model_copy(
            update={"attempt": attempt or before.attempt, "driver_epoch": before.driver_epoch + 1}
        )
        with contextlib.suppress(ConflictError):
            store.write(NAMES.lease, lease.to_bytes(), expected)
            return lease
    raise _taken(store, None)


def _lease(store: Store) -> tuple[Lease, str | Expected]:
    """The latest start of a driver, and the version for the write that will replace it."""
    try:
        stored = store.read(NAMES.lease)
    except MissingError:
        return Lease(), Expected.NOTHING
    try:
        return Lease.model_validate_json(stored.content), stored.version
    except ValidationError:  # damaged: the manifest knows the number too
        manifest = resume.read_manifest(store).manifest
        if manifest is None:
            return Lease(), stored.version
        return Lease(attempt=manifest.attempt, driver_epoch=manifest.driver_epoch), stored.version


def _claim(store: Store, fresh: Manifest) -> tuple[Manifest, str]:
    """Puts this driver's name on the manifest; what was committed stays."""
    for _ in range(TRIES):
        found, version = resume.read_manifest(store)
        if found is not None and found.driver_epoch > fresh.driver_epoch:
            break
        manifest = _as_ours(found, fresh) if found is not None else _recovered(store, fresh)
        with contextlib.suppress(ConflictError):
            return manifest, store.write(NAMES.manifest, manifest.to_bytes(), version)
    raise _taken(store, resume.read_manifest(store).manifest)


def _as_ours(found: Manifest, fresh: Manifest) -> Manifest:
    whose = ("attempt", "driver_epoch", "driver", "heartbeat", "recording_version")
    return found.model_copy(update={name: getattr(fresh, name) for name in whose})


def _recovered(store: Store, fresh: Manifest) -> Manifest:
    """A new manifest, with the generations whose records are there although the old one is lost."""
    entries = resume.recover_entries(store)
    if not entries:
        return fresh
    logger.warning("manifest.json is lost; it is made anew from the records of %d generations", len(entries))
    return fresh.model_copy(update={"generation": entries[-1].generation, "generations": entries})


def _pointer(manifest: Manifest, restored: resume.Restored) -> dict[str, object]:
    """What the manifest says once damaged generations are given up."""
    documents = restored.documents
    return {
        "generations": manifest.generations[: len(documents)],
        "generation": documents[-1].generation if documents else None,
        "stop_reason": documents[-1].stop_reason if documents else None,
        "best": _summary(documents[-1]) if documents else None,
    }


def _tell(manifest: Manifest, restored: resume.Restored, fresh: Manifest) -> None:
    """What the user should know before the run goes on."""
    for problem in restored.problems:
        logger.warning("%s", problem)
    if restored.problems and restored.position is None:
        logger.warning("no committed generation is whole: the run begins anew, and ends with the same result")
    changed = [
        f"{name} {version} (now {fresh.versions.get(name, 'missing')})"
        for name, version in manifest.versions.items()
        if fresh.versions.get(name) != version
    ]
    if changed and restored.position is not None:
        logger.warning(
            "the run began with %s; results may differ in the last digits from those of one version",
            ", ".join(changed),
        )


def _summary(document: GenerationRecord) -> BestMember:
    best = document.best
    return BestMember(
        generation=best.generation,
        member=best.member,
        score=best.score,
        hyperparameters=best.hyperparameters,
    )


def _replace(store: Store, manifest: Manifest, version: str) -> str:
    content = manifest.to_bytes()
    try:
        return store.write(NAMES.manifest, content, version)
    except ConflictError:
        found, actual = resume.read_manifest(store)
        # No other driver has our number: it was our own write, whose answer was lost.
        if found is None or found.driver_epoch != manifest.driver_epoch:
            raise _taken(store, found) from None
        return store.write(NAMES.manifest, content, actual)


def _taken(store: Store, manifest: Manifest | None) -> FencedError:
    who = f" ({manifest.driver}, since {manifest.heartbeat})" if manifest else ""
    return FencedError(
        f"output.uri: wanted to be the only driver of the run in {store.address}, found that another one has "
        f"taken it over{who}; this one has stopped and left everything to the other"
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
