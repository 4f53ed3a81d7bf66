"""What goes into a generation of a cohort and what comes out: plain numpy values.

Knows no TensorFlow, no Ray and no files, so that the driver, the pools and the tests
can hold, compare, copy and send these values. Each row of a state belongs to one
member; a member is copied by copying its row, and keeps its own identity, which keys
its random numbers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

# Called with steps done, of how many: epochs of a generation, or batches of trials of posterior averages.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class CohortState:
    """Everything a cohort needs to go on training; axis 0 is `members` everywhere.

    Attributes:
      member_ids: [members] identity in the population; keys the member's random numbers.
      weights: [members, parameters] flat weights.
      adam_m: [members, parameters] first moments of Adam.
      adam_v: [members, parameters] second moments of Adam.
      steps: [members] Adam steps taken.
      smoothed: [members] smoothed validation NLL, NaN before the first value.
    """

    member_ids: NDArray[np.int64]
    weights: NDArray[np.float32]
    adam_m: NDArray[np.float32]
    adam_v: NDArray[np.float32]
    steps: NDArray[np.int64]
    smoothed: NDArray[np.float64]

    def __post_init__(self) -> None:
        lengths = {field.name: len(getattr(self, field.name)) for field in fields(self)}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"a cohort's state wants one row a member in every array; it has {lengths} rows")

    def __len__(self) -> int:
        return len(self.member_ids)

    def rows(self, indices: Sequence[int]) -> Self:
        """The state of some members only, copied: later changes to either side stay there."""
        picked = np.asarray(indices, dtype=np.int64)
        return replace(self, **{field.name: getattr(self, field.name)[picked] for field in fields(self)})

    def equals(self, other: "CohortState") -> bool:
        """Whether every bit is the same (NaN equals NaN)."""
        return all(
            getattr(self, field.name).dtype == getattr(other, field.name).dtype
            and getattr(self, field.name).shape == getattr(other, field.name).shape
            and getattr(self, field.name).tobytes() == getattr(other, field.name).tobytes()
            for field in fields(self)
        )


def gather(
    sources: Iterable[tuple[CohortState, int]],
    member_ids: Sequence[int],
) -> CohortState:
    """A new state whose members learned what the given rows learned.

    Exploitation is this: a row (weights, optimiser, steps, smoothed metric) may come from any
    cohort, `member_ids` stay those of the members who receive it.

    Args:
      sources: for each new row, the state and the row in it to copy.
      member_ids: identity of each new row.
    """
    rows = [state.rows([row]) for state, row in sources]
    if len(rows) != len(member_ids):
        raise ValueError(f"gather wants one source a member; {len(rows)} sources, {len(member_ids)} members")
    joined = {
        field.name: np.concatenate([getattr(row, field.name) for row in rows])
        for field in fields(CohortState)
        if field.name != "member_ids"
    }
    return CohortState(member_ids=np.asarray(member_ids, dtype=np.int64), **joined)


@dataclass(frozen=True)
class CohortTask:
    """One generation of one cohort, to be trained.

    Attributes:
      cohort: number of the cohort in the population.
      generation: from 0.
      first_epoch: epochs trained before this generation.
      epochs: epochs to train now.
      member_ids: identity of each member, in the order of the rows.
      state: where to go on; None in generation 0, then the trainer initialises each
        member from the run's seed and the member's identity.
      values: one mapping of all nine hyperparameters a member.
    """

    cohort: int
    generation: int
    first_epoch: int
    epochs: int
    member_ids: tuple[int, ...]
    state: CohortState | None
    values: tuple[Mapping[str, float], ...]


@dataclass(frozen=True, eq=False)
class EpochLog:
    """What was measured in each epoch; NaN where there is nothing to measure.

    Attributes:
      train_loss: [epochs, members] what the optimiser minimises.
      train_nll: [epochs, members] nats per bin and neuron, training trials.
      valid_nll: [epochs, members] the same on the validation trials, encoded neurons and bins.
      valid_nll_held_out: [epochs, members] the same on what is never encoded: held-out neurons, forward
        bins, and what sample validation leaves out.
      smoothed: [epochs, members] smoothed validation NLL.
      kl_initial_condition: [epochs, members] before weighting.
      kl_inferred_inputs: [epochs, members] before weighting.
      l2: [epochs, members] weighted L2 penalty.
      gradient_norm: [epochs, members] global norm before clipping.
      kl_ramp: [epochs] in [0, 1].
      l2_ramp: [epochs] in [0, 1].
    """

    train_loss: NDArray[np.float64]
    train_nll: NDArray[np.float64]
    valid_nll: NDArray[np.float64]
    valid_nll_held_out: NDArray[np.float64]
    smoothed: NDArray[np.float64]
    kl_initial_condition: NDArray[np.float64]
    kl_inferred_inputs: NDArray[np.float64]
    l2: NDArray[np.float64]
    gradient_norm: NDArray[np.float64]
    kl_ramp: NDArray[np.float64]
    l2_ramp: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CohortResult:
    """A trained generation of a cohort.

    Attributes:
      scores: [members] smoothed validation NLL at the end, lower is better; NaN: diverged.
      seconds: wall time of the training.
      worker: where it was trained, for the log; no result depends on it.
    """

    cohort: int
    generation: int
    state: CohortState
    scores: NDArray[np.float64]
    log: EpochLog
    seconds: float
    worker: str
