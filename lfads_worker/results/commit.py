"""Commits generations: checkpoints, then an immutable record, then the manifest that points to it.

A kill between any two writes leaves the manifest pointing to a generation that is whole. Names carry
attempt and driver epoch; no checkpoint is overwritten. The checkpoints of a generation, the best member's
among them, serve no other one; records and logs serve all later ones, so they are written twice: one
damaged file costs one generation at most. Whose the run is, is a matter of `fencing`.
"""

import contextlib
import logging
import time

from autolfads_spec.errors import ConflictError, StoreError
from autolfads_spec.manifest import (
    CommittedGeneration,
    Lease,
    Manifest,
    StoredFile,
)
from autolfads_spec.store import Expected, Store
from lfads_worker.errors import OutputError
from lfads_worker.history import Position
from lfads_worker.results import checkpoint, records, resume
from lfads_worker.results.fencing import Hold, now
from lfads_worker.results.resume import NAMES

logger = logging.getLogger(__name__)


class Commits:
    """What a driver commits of a run.

    Attributes:
      hold: this driver's, on the run.
      start: where to go on; None: from the beginning.
    """

    def __init__(self, store: Store, hold: Hold, restored: resume.Restored, keep_generations: int) -> None:
        self.hold = hold
        self.start = restored.position
        self._store = store
        self._documents = list(restored.documents)
        self._keep = keep_generations

    @property
    def manifest(self) -> Manifest:
        """As this driver wrote it last."""
        return self.hold.manifest

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
        assert position.best is not None  # every generation that ends has one
        best = put(
            NAMES.best_checkpoint(generation, lease.attempt, lease.driver_epoch),
            checkpoint.state_to_bytes(position.best.state),
        )
        log_name = NAMES.generation_log(generation, lease.attempt, lease.driver_epoch)
        logs = checkpoint.logs_to_bytes(position.generations[-1].logs)
        log = put(log_name, logs)
        put(NAMES.copy_of(log_name), logs)
        document = records.to_document(position, lease, checkpoints, best, log)
        record_name, content = NAMES.generation_record(generation), document.to_bytes()
        record = self._create(record_name, content)
        self._create(NAMES.copy_of(record_name), content)
        listed = self._listed()
        # From here on the generation may be committed, even if the answer says that writing failed.
        written.clear()
        self.hold.renew(
            generation=generation,
            stop_reason=document.stop_reason,
            best=records.summary(document),
            generations=(
                *self.manifest.generations,
                CommittedGeneration(
                    generation=generation,
                    record=record,
                    seconds=document.measured.seconds,
                    commit_seconds=time.monotonic() - started,
                    committed_at=now(),
                    diverged=document.diverged,
                ),
            ),
            given_up=(),
        )
        self._documents.append(document)
        self._remove(self._superfluous(listed))

    def _create(self, name: str, content: bytes) -> StoredFile:
        """Writes what has no driver in its name; it may be another driver's by the time this one fails."""
        try:
            return checkpoint.put(self._store, name, content, Expected.NOTHING)
        except ConflictError:
            # Given up, or left by a driver that was killed, or superseded, before it was committed.
            self.hold.renew()
            stale = self._store.read(name).version
            return checkpoint.put(self._store, name, content, stale)

    def sweep(self) -> None:
        """Removes what no kept generation needs: old checkpoints, and what killed drivers have left.

        Raises:
          FencedError: if another driver has taken the run over; all that is there is its own then.
        """
        superfluous = self._superfluous(self._listed())
        if superfluous:
            self.hold.renew()
            self._remove(superfluous)

    def _listed(self) -> list[str]:
        """What there is of generations.

        To be asked for before the hold is renewed: a driver that comes later writes only once it has the
        manifest, so what was listed before this one renewed it is not that one's.
        """
        try:
            return [*self._store.names("checkpoints/"), *self._store.names("generations/")]
        except StoreError as error:
            logger.warning("old checkpoints stay where they are: %s", error)
            return []

    def _superfluous(self, listed: list[str]) -> list[str]:
        """Which of these no kept generation needs.

        None as long as generations are given up: what is damaged today may be put back tomorrow.
        """
        if self.manifest.given_up:
            return []
        for_ever = {document.log.name for document in self._documents}
        for_ever |= {entry.record.name for entry in self.manifest.generations}
        needed = {file.name for document in self._documents[-self._keep :] for file in document.states}
        needed |= for_ever | {NAMES.copy_of(name) for name in for_ever}
        return [name for name in listed if name not in needed]

    def _remove(self, names: list[str]) -> None:
        try:
            for name in names:
                self._store.delete(name)
        except StoreError as error:
            logger.warning("old checkpoints stay where they are: %s", error)


def safe(generation: int | None) -> str:
    """Words for what is not lost."""
    if generation is None:
        return "no generation is committed yet"
    return f"generation {generation} and all before it are committed"
