"""What a run remembers of its generations: populations, decisions, logs and the best member.

Values only. The driver makes them, `results` turns them into files, and the records of
single generations are what a crash-safe store commits.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lfads_worker.pbt.evolve import Decision
from lfads_worker.pbt.population import Member, Population
from lfads_worker.training.state import CohortState, EpochLog


@dataclass(frozen=True, eq=False)
class BestMember:
    """The best member of all generations so far, as it was at the end of its generation.

    Attributes:
      score: smoothed validation NLL, lower is better.
      values: all nine hyperparameters it was trained with in that generation.
      state: a single row, its own.
    """

    generation: int
    member: int
    score: float
    values: Mapping[str, float]
    state: CohortState


@dataclass(frozen=True, eq=False)
class GenerationRecord:
    """One finished generation.

    Attributes:
      first_epoch: epochs trained before it.
      epochs: epochs trained in it.
      population: the members as they were trained, with the scores they reached.
      values: all nine hyperparameters of each member, in the order of the members.
      decisions: who copied whom and with which new values after this generation; empty
        after the last one.
      logs: one a cohort, in the order of the cohorts.
      cohort_seconds: wall time of each cohort's training.
      workers: where each cohort was trained.
      seconds: wall time of the generation.
    """

    generation: int
    first_epoch: int
    epochs: int
    population: Population
    values: tuple[Mapping[str, float], ...]
    decisions: tuple[Decision, ...]
    logs: tuple[EpochLog, ...]
    cohort_seconds: tuple[float, ...]
    workers: tuple[str, ...]
    seconds: float

    @property
    def best(self) -> Member:
        """The member with the lowest score; every generation that is recorded has one."""
        best = self.population.best
        if best is None:
            raise ValueError(f"generation {self.generation}: a member with a score wanted, all have failed")
        return best

    @property
    def exploited(self) -> int:
        """How many members became a copy of another one."""
        return sum(decision.exploited for decision in self.decisions)


@dataclass(frozen=True, eq=False)
class Position:
    """Where a run stands between two generations: all that is needed to go on, here or elsewhere.

    Attributes:
      population: what is trained next; after the end, what was trained last.
      states: one a cohort, exploitation already done; None before generation 0.
      best: None before generation 0.
      generations: what is done.
      stop_reason: set after the last generation.
    """

    population: Population
    states: tuple[CohortState | None, ...]
    best: BestMember | None = None
    generations: tuple[GenerationRecord, ...] = ()
    stop_reason: str | None = None


@dataclass(frozen=True, eq=False)
class RunHistory:
    """A finished run.

    Attributes:
      cohorts: the members of each cohort.
      stop_reason: why no further generation was trained, words that complete "stopped: …".
    """

    cohorts: tuple[tuple[int, ...], ...]
    generations: tuple[GenerationRecord, ...]
    best: BestMember
    stop_reason: str

    @property
    def seconds(self) -> float:
        """Wall time of all generations."""
        return sum(record.seconds for record in self.generations)

    def row_of(self, member: int) -> tuple[int, int]:
        """(cohort, row in the cohort) of a member."""
        for number, members in enumerate(self.cohorts):
            if member in members:
                return number, members.index(member)
        raise ValueError(f"member {member} is in no cohort of {self.cohorts}")
