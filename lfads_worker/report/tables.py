"""A run's history, read back from its tables: scores, hyperparameters, training curves, and lineage.

Reads the CSV files of a result folder into arrays with one column a member; an empty cell becomes NaN, and
so does a column that the version did not write yet which trained the run.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autolfads_spec import RunPaths

Array = NDArray[np.float64]
Columns = Mapping[str, Array]

# Columns that hold words.
_WORDS = frozenset({"worker"})
# Columns of training logs that the report shows; the last ones came later than the first runs.
_SHOWN = (
    *("epoch", "generation", "parent", "train_loss", "train_nll", "valid_nll", "valid_nll_held_out"),
    *("smoothed_valid_nll", "l2", "gradient_norm", "kl_ramp", "l2_ramp"),
)
_YOUNGER = ("kl_initial_condition_nats", "kl_inferred_inputs_nats")


@dataclass(frozen=True, eq=False)
class History:
    """All generations and epochs of a run.

    Attributes:
      scores: [generations, members] smoothed validation NLL at the end of each; NaN: diverged.
      parents: [generations, members] the member of the generation before whose weights it began with.
      values: hyperparameter → [generations, members].
      curves: column of the training logs → [epochs, members].
      epoch: [epochs] from 1.
      generation: [epochs] to which generation an epoch belongs.
      best: (generation, member) of the best score.
    """

    scores: Array
    parents: NDArray[np.int64]
    values: Columns
    curves: Columns
    epoch: NDArray[np.int64]
    generation: NDArray[np.int64]
    best: tuple[int, int]

    @property
    def generations(self) -> int:
        return len(self.scores)

    @property
    def members(self) -> int:
        return int(self.scores.shape[1])

    @property
    def lineage(self) -> list[int]:
        """The best member's line: entry g carried its weights in generation g."""
        return ancestors(self.parents, *self.best)

    def along_lineage(self, column: str) -> Array:
        """[epochs of the line] a training curve of the best member and of those that it came from."""
        line = np.array(self.lineage)
        lived = self.generation < len(line)
        return np.asarray(self.curves[column][lived, line[self.generation[lived]]])


def ancestors(parents: NDArray[np.int64], generation: int, member: int) -> list[int]:
    """Who carried a member's weights, one index a generation from 0 on; the last is the member itself."""
    line = [member]
    for current in range(generation, 0, -1):
        line.append(int(parents[current, line[-1]]))
    return line[::-1]


def read_history(paths: RunPaths, best: tuple[int, int]) -> History:
    """The history of the run whose results lie at `paths`.

    Args:
      paths: of a finished run.
      best: (generation, member), from results.json.
    """
    population = _read(paths.population)
    members = int(population["member"].max()) + 1
    shape = (-1, members)
    hyperparameters = _read(paths.hyperparameters)
    logs = [_read_log(paths.training_log(member)) for member in range(members)]
    return History(
        scores=population["score"].reshape(shape),
        parents=population["parent"].reshape(shape).astype(np.int64),
        values={
            name: column.reshape(shape)
            for name, column in hyperparameters.items()
            if name not in ("generation", "member")
        },
        curves={name: np.stack([log[name] for log in logs], axis=1) for name in logs[0]},
        epoch=logs[0]["epoch"].astype(np.int64),
        generation=logs[0]["generation"].astype(np.int64),
        best=best,
    )


def _read_log(path: str) -> dict[str, Array]:
    log = _read(path)
    missing = [name for name in _SHOWN if name not in log]
    if missing:
        raise ValueError(f"{path} lacks the columns {', '.join(missing)}")
    return {name: np.full(len(log["epoch"]), np.nan) for name in _YOUNGER} | log


def _read(path: str) -> dict[str, Array]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    columns = zip(*rows, strict=True)
    return {
        name: _numbers(column) for name, column in zip(header, columns, strict=True) if name not in _WORDS
    }


def _numbers(column: Sequence[str]) -> Array:
    return np.array([float(cell) if cell else np.nan for cell in column])
