"""The history of a run as tables: one row a member and generation, or a member and epoch.

Tidy CSV with one header line, for pandas, R, MATLAB and spreadsheets. Columns are named once, here; an empty
cell is a value that does not exist (the score of a diverged member, a held-out NLL when nothing is held out).
Hyperparameters are always all nine, searched or not.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfads_worker.history import GenerationRecord, RunHistory
from lfads_worker.results.files import Cell, FileRecord, write_csv

POPULATION_COLUMNS = (
    "generation",
    "member",
    "cohort",
    "parent",
    "score",
    "smoothed_valid_nll",
    "valid_nll",
    "valid_nll_held_out",
    "train_nll",
    "train_loss",
    "epochs_trained",
)
TIMING_COLUMNS = ("generation", "cohort", "epochs", "cohort_seconds", "worker", "generation_seconds")
DECISION_COLUMNS = ("generation", "member", "source", "exploited", "forced", "score", "source_score")
# Names in EpochLog → columns; the two ramps are the same for all members.
MEMBER_CURVES = {
    "train_loss": "train_loss",
    "train_nll": "train_nll",
    "valid_nll": "valid_nll",
    "valid_nll_held_out": "valid_nll_held_out",
    "smoothed": "smoothed_valid_nll",
    # Measured divergences; the columns of hyperparameters have the plain names.
    "kl_initial_condition": "kl_initial_condition_nats",
    "kl_inferred_inputs": "kl_inferred_inputs_nats",
    "l2": "l2",
    "gradient_norm": "gradient_norm",
}
LOG_COLUMNS = ("epoch", "generation", "parent", *MEMBER_CURVES.values(), "kl_ramp", "l2_ramp")


def write_population(path: Path, history: RunHistory) -> FileRecord:
    """Write how each member did in each generation."""
    return write_csv(path, POPULATION_COLUMNS, _population_rows(history))


def write_hyperparameters(path: Path, history: RunHistory) -> FileRecord:
    """Write the values that each member was trained with in each generation, all nine of them."""
    names = _hyperparameter_names(history)
    rows = (
        [record.generation, member, *(values[name] for name in names)]
        for record in history.generations
        for member, values in enumerate(record.values)
    )
    return write_csv(path, ("generation", "member", *names), rows)


def write_decisions(path: Path, history: RunHistory) -> FileRecord:
    """Write who copied whom after each generation, why, and the searched values before and after."""
    names = tuple(history.generations[0].population.members[0].values)
    columns = (*DECISION_COLUMNS, *(f"{age}_{name}" for name in names for age in ("old", "new")))
    return write_csv(path, columns, _decision_rows(history, names))


def write_timing(path: Path, history: RunHistory) -> FileRecord:
    """Write how long each cohort took in each generation, and where it was trained."""
    rows: Iterator[list[Cell]] = (
        [record.generation, cohort, record.epochs, seconds, worker, record.seconds]
        for record in history.generations
        for cohort, (seconds, worker) in enumerate(zip(record.cohort_seconds, record.workers, strict=True))
    )
    return write_csv(path, TIMING_COLUMNS, rows)


def write_training_log(path: Path, history: RunHistory, member: int) -> FileRecord:
    """Write what was measured in each epoch of one member, with the hyperparameters it was trained with.

    `parent` is the member whose weights the generation began with: its own number unless it was replaced.
    """
    names = _hyperparameter_names(history)
    return write_csv(path, (*LOG_COLUMNS, *names), _log_rows(history, member, names))


def _population_rows(history: RunHistory) -> Iterator[list[Cell]]:
    for record in history.generations:
        for member in record.population.members:
            cohort, row = history.row_of(member.index)
            log = record.logs[cohort]
            yield [
                record.generation,
                member.index,
                cohort,
                member.parent,
                member.score,
                *(_last(log.smoothed, row), _last(log.valid_nll, row), _last(log.valid_nll_held_out, row)),
                *(_last(log.train_nll, row), _last(log.train_loss, row)),
                record.first_epoch + record.epochs,
            ]


def _decision_rows(history: RunHistory, names: Sequence[str]) -> Iterator[list[Cell]]:
    for record in history.generations:
        for decision in record.decisions:
            changes = [
                values[name] for name in names for values in (decision.old_values, decision.new_values)
            ]
            yield [
                decision.generation,
                decision.member,
                decision.source,
                decision.exploited,
                decision.forced,
                decision.score,
                decision.source_score,
                *changes,
            ]


def _log_rows(history: RunHistory, member: int, names: Sequence[str]) -> Iterator[list[Cell]]:
    cohort, row = history.row_of(member)
    for record in history.generations:
        log = record.logs[cohort]
        curves = [getattr(log, name)[:, row] for name in MEMBER_CURVES]
        values = [record.values[member][name] for name in names]
        for epoch in range(record.epochs):
            yield [
                record.first_epoch + epoch + 1,
                record.generation,
                record.population.members[member].parent,
                *(float(curve[epoch]) for curve in curves),
                float(log.kl_ramp[epoch]),
                float(log.l2_ramp[epoch]),
                *values,
            ]


def _hyperparameter_names(history: RunHistory) -> tuple[str, ...]:
    first: GenerationRecord = history.generations[0]
    return tuple(first.values[0])


def _last(curve: NDArray[np.float64], row: int) -> float:
    """Value of the last epoch."""
    return float(curve[-1, row])
