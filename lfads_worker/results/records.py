"""Generations as documents and back: what a `Position` holds, in the words of `autolfads_spec.manifest`.

Pure translation; the arrays (states and logs) travel beside the documents.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from autolfads_spec import manifest
from autolfads_spec.manifest import StoredFile
from lfads_worker.history import BestMember, GenerationRecord, Position
from lfads_worker.pbt.evolve import Decision
from lfads_worker.pbt.population import Member, Population
from lfads_worker.training.state import CohortState, EpochLog


def to_document(
    position: Position,
    lease: manifest.Lease,
    checkpoints: Sequence[StoredFile],
    best_checkpoint: StoredFile,
    log: StoredFile,
) -> manifest.GenerationRecord:
    """The last generation of a position, with the files that go with it."""
    record, best = position.generations[-1], position.best
    assert best is not None  # every generation that ends has one
    return manifest.GenerationRecord(
        generation=record.generation,
        first_epoch=record.first_epoch,
        epochs=record.epochs,
        attempt=lease.attempt,
        driver_epoch=lease.driver_epoch,
        members=tuple(
            manifest.MemberRecord(**member.to_dict(), hyperparameters=dict(values))
            for member, values in zip(record.population.members, record.values, strict=True)
        ),
        decisions=tuple(manifest.DecisionRecord(**decision.to_dict()) for decision in record.decisions),
        stop_reason=position.stop_reason,
        best=manifest.BestRecord(
            generation=best.generation,
            member=best.member,
            score=best.score,
            hyperparameters=dict(best.values),
            checkpoint=best_checkpoint,
        ),
        checkpoints=tuple(checkpoints),
        log=log,
        measured=manifest.Measured(
            seconds=record.seconds, cohort_seconds=record.cohort_seconds, workers=record.workers
        ),
    )


def summary(document: manifest.GenerationRecord) -> manifest.BestMember:
    """The best member of a generation and all before it, without its weights."""
    best = document.best
    return manifest.BestMember(
        generation=best.generation,
        member=best.member,
        score=best.score,
        hyperparameters=best.hyperparameters,
    )


def generation_of(document: manifest.GenerationRecord, logs: Sequence[EpochLog]) -> GenerationRecord:
    """The generation that a document tells of."""
    return GenerationRecord(
        generation=document.generation,
        first_epoch=document.first_epoch,
        epochs=document.epochs,
        population=_trained(document),
        values=tuple(member.hyperparameters for member in document.members),
        decisions=tuple(Decision.from_dict(_plain(decision)) for decision in document.decisions),
        logs=tuple(logs),
        cohort_seconds=document.measured.cohort_seconds,
        workers=document.measured.workers,
        seconds=document.measured.seconds,
    )


def position_of(
    document: manifest.GenerationRecord,
    generations: Sequence[GenerationRecord],
    states: Sequence[CohortState],
    best_state: CohortState,
) -> Position:
    """Where the run stood when the document was committed.

    Args:
      document: of the last of `generations`.
      generations: all until then.
      states: of the cohorts.
      best_state: of the best member.
    """
    best = document.best
    return Position(
        population=_next(document) if document.decisions else _trained(document),
        states=tuple(states),
        best=BestMember(best.generation, best.member, best.score, best.hyperparameters, best_state),
        generations=tuple(generations),
        stop_reason=document.stop_reason,
    )


def _trained(document: manifest.GenerationRecord) -> Population:
    """The population as it was trained, with its scores."""
    members = tuple(Member.from_dict(_plain(member)) for member in document.members)
    return Population(members, document.generation)


def _next(document: manifest.GenerationRecord) -> Population:
    """The population that the decisions lead to."""
    members = tuple(
        Member(decision.member, decision.new_values, float("nan"), decision.source)
        for decision in document.decisions
    )
    return Population(members, document.generation + 1)


def _plain(document: manifest.Document) -> Mapping[str, Any]:
    return document.model_dump()
