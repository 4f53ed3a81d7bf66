"""Where a run stands, read back from its folder: the last committed generation that is whole.

Every file is compared with the checksum that was committed. One that is missing, cut off or
changed costs the generations that need it, never more: the run goes on from the last one
before it, and what is said tells why. Because a generation is a pure function, doing it
again gives what was lost.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import ValidationError

from autolfads_spec.errors import MissingError
from autolfads_spec.manifest import CommittedGeneration, GenerationRecord, Manifest, StoredFile
from autolfads_spec.output import RunPaths
from autolfads_spec.store import Expected, Store
from lfads_worker.history import Position
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
        return Found(Manifest.model_validate_json(stored.content), stored.version)
    except ValidationError:
        logger.warning("%s/%s is damaged", store.address, NAMES.manifest)
        return Found(None, stored.version)


def recover_entries(store: Store) -> tuple[CommittedGeneration, ...]:
    """What a lost manifest said of generations, as far as their records can be read."""
    entries: list[CommittedGeneration] = []
    while True:
        name = NAMES.generation_record(len(entries))
        try:
            content = store.read(name).content
            record = GenerationRecord.model_validate_json(content)
        except (MissingError, ValidationError):
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


def restore(store: Store, entries: Sequence[CommittedGeneration], cohorts: int) -> Restored:
    """The last of the committed generations that is whole.

    Args:
      store: the run's files.
      entries: of the manifest.
      cohorts: how many there are.
    """
    problems = []
    documents, generations = [], []
    for entry in entries:
        try:
            document = _record(store, entry.record)
            logs = checkpoint.logs_from_bytes(checkpoint.get(store, document.log), cohorts)
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
