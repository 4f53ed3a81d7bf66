"""Where a run stands, read back from its folder: the last committed generation that is whole.

Every file is compared with the checksum that was committed. One that is missing, cut off or
changed is read from its copy, or costs the generations that need it, never more: the run goes on
from the last one before it, and what is said tells why. Because a generation is a pure function,
doing it again gives what was lost, also when more generations are asked for than a run ended with.
"""

import contextlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import ValidationError

from autolfads_spec.errors import MissingError
from autolfads_spec.manifest import CommittedGeneration, GenerationRecord, Manifest, StoredFile
from autolfads_spec.output import RunPaths
from autolfads_spec.store import Expected, Store
from lfads_worker.history import Position
from lfads_worker.pbt.stopping import Stopping
from lfads_worker.results import checkpoint, records
from lfads_worker.results.checkpoint import DamagedError

logger = logging.getLogger(__name__)

NAMES = RunPaths("")


class Found(NamedTuple):
    """The manifest of a folder; None when there is none that can be read."""

    manifest: Manifest | None
    version: str | Expected


@dataclass(frozen=True, eq=False)
class Restored:
    """What can be gone on from.

    Attributes:
      position: None when no generation is whole: the run begins anew.
      documents: the records until that position.
      problems: why generations were given up, as sentences.
    """

    position: Position | None
    documents: tuple[GenerationRecord, ...]
    problems: tuple[str, ...]


def read_manifest(store: Store) -> Found:
    """The manifest, and its version for the write that will replace it."""
    try:
        stored = store.read(NAMES.manifest)
    except MissingError:
        return Found(None, Expected.NOTHING)
    try:
        return Found(Manifest.from_bytes(stored.content), stored.version)
    except ValueError:
        logger.warning("%s/%s is damaged", store.address, NAMES.manifest)
        return Found(None, stored.version)


def recover_entries(store: Store) -> tuple[CommittedGeneration, ...]:
    """What a lost manifest said of generations, as far as their records can be read."""
    entries: list[CommittedGeneration] = []
    while True:
        name = NAMES.generation_record(len(entries))
        try:
            record, content = _first_readable(store, (name, NAMES.copy_of(name)))
        except DamagedError:
            return tuple(entries)
        entries.append(
            CommittedGeneration(
                generation=record.generation,
                record=checkpoint.recognise(name, content),
                seconds=record.measured.seconds,
                commit_seconds=0.0,
                committed_at="unknown",
                diverged=record.diverged,
            )
        )


def _first_readable(store: Store, names: Iterable[str]) -> tuple[GenerationRecord, bytes]:
    for name in names:
        with contextlib.suppress(MissingError, ValidationError):
            content = store.read(name).content
            return GenerationRecord.model_validate_json(content), content
    raise DamagedError("none can be read")


def restore(store: Store, entries: Sequence[CommittedGeneration], generations_asked: int) -> Restored:
    """Where to go on: after the last of the committed generations that is whole.

    A run that has used up its generations and is asked for more does its last one again: nobody copied
    anybody after it. Where that cannot be, it stays ended.

    Args:
      store: the run's files.
      entries: of the manifest.
      generations_asked: by now.
    """
    restored = _last_whole(store, entries)
    done = len(restored.documents)
    if not done or done >= generations_asked or not is_used_up(restored.documents[-1].stop_reason, done):
        return restored
    earlier = _last_whole(store, entries[: done - 1])
    if earlier.position is None and done > 1:
        logger.warning(
            "%d generations are asked for, but no checkpoint from before the last of %d is whole: it ends "
            "with these",
            generations_asked,
            done,
        )
        return restored
    return earlier


def is_used_up(stop_reason: str | None, done: int) -> bool:
    """Whether a run ended because all its generations were done, and for no other reason."""
    return stop_reason == Stopping(max_generations=done).should_stop([0.0] * done)


def can_go_further(store: Store, generations_asked: int) -> bool:
    """Whether a finished run has used up its generations and can do more without beginning anew."""
    manifest = read_manifest(store).manifest
    if manifest is None or not is_used_up(manifest.stop_reason, len(manifest.generations)):
        return False
    position = restore(store, manifest.generations, generations_asked).position
    if position is None:
        return len(manifest.generations) == 1
    return position.stop_reason is None


def _last_whole(store: Store, entries: Sequence[CommittedGeneration]) -> Restored:
    problems = []
    documents, generations = [], []
    for entry in entries:
        try:
            document = _record(store, entry.record)
            logs = checkpoint.logs_from_bytes(checkpoint.get(store, document.log), len(document.checkpoints))
        except DamagedError as error:
            problems.append(_given_up(entry.generation, error))
            break
        documents.append(document)
        generations.append(records.generation_of(document, logs))

    while documents:
        document = documents[-1]
        try:
            states = [checkpoint.state_from_bytes(checkpoint.get(store, file)) for file in document.states]
        except DamagedError as error:
            problems.append(_given_up(document.generation, error))
            del documents[-1], generations[-1]
            continue
        *cohort_states, best_state = states
        position = records.position_of(document, generations, cohort_states, best_state)
        return Restored(position, tuple(documents), tuple(problems))
    return Restored(None, (), tuple(problems))


def _record(store: Store, file: StoredFile) -> GenerationRecord:
    try:
        return GenerationRecord.model_validate_json(checkpoint.get(store, file))
    except ValidationError as error:
        raise DamagedError(f"{file.name} cannot be read") from error


def _given_up(generation: int, error: DamagedError) -> str:
    return f"generation {generation} cannot be gone on from: {error}"
