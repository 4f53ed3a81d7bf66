"""One step of evolution: a scored population in, a plan out; and the plan turned into the next population.

The plan is computed from the population as it was handed in, all of it, before anything changes: a copy of a
member that is itself replaced in the same step still gets the weights *and* the values that earned the score.
Members that go on as they are keep their values to the last bit; only copies explore.

Who carries out a plan copies, for every member, the whole training state of its source (weights, optimizer
moments and steps, smoothed metric) out of the same snapshot, and takes hyperparameters from the plan, never
from the copied state.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.random import Generator

from lfads_worker.pbt.exploit import Exploit
from lfads_worker.pbt.explore import Explore
from lfads_worker.pbt.hyperparameters import SearchSpace
from lfads_worker.pbt.population import (
    Member,
    Population,
    plain_score,
    plain_values,
    score_from_json,
    score_to_json,
)


@dataclass(frozen=True)
class Decision:
    """What became of one member at the end of one generation, and why; lineage is made of these.

    Attributes:
      generation: the generation whose scores decided.
      member: index of the member.
      source: index of the member it copies; its own if it goes on as it is.
      forced: whether it copies because it failed.
      score: its own score, NaN if it failed.
      source_score: the score of its source.
      old_values: its hyperparameters in this generation.
      new_values: its hyperparameters in the next one.
    """

    generation: int
    member: int
    source: int
    forced: bool
    score: float
    source_score: float
    old_values: Mapping[str, float]
    new_values: Mapping[str, float]

    def __post_init__(self) -> None:
        """Makes everything plain, as in `Member`."""
        object.__setattr__(self, "score", plain_score(self.score))
        object.__setattr__(self, "source_score", plain_score(self.source_score))
        object.__setattr__(self, "old_values", plain_values(self.old_values))
        object.__setattr__(self, "new_values", plain_values(self.new_values))

    @property
    def exploited(self) -> bool:
        """Whether the member was replaced by a copy."""
        return self.source != self.member

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return {
            "generation": self.generation,
            "member": self.member,
            "source": self.source,
            "forced": self.forced,
            "score": score_to_json(self.score),
            "source_score": score_to_json(self.source_score),
            "old_values": dict(self.old_values),
            "new_values": dict(self.new_values),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Reads back what `to_dict` gave."""
        scores = {name: score_from_json(data[name]) for name in ("score", "source_score")}
        return cls(**{**data, **scores})


@dataclass(frozen=True)
class Plan:
    """Who copies whom after one generation, and the values that everyone goes on with.

    Attributes:
      generation: the generation that the plan ends.
      sources: [members] index to copy the training state from; the own index to keep it.
      values: [members] hyperparameters of the next generation.
      decisions: one for every member, in order.
      all_failed: nobody has a score: nothing is copied, and going on is pointless.
    """

    generation: int
    sources: tuple[int, ...]
    values: tuple[dict[str, float], ...]
    decisions: tuple[Decision, ...]
    all_failed: bool = False

    @property
    def exploited(self) -> int:
        """Number of members that are replaced by a copy."""
        return sum(decision.exploited for decision in self.decisions)

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return {
            "generation": self.generation,
            "sources": list(self.sources),
            "values": [dict(values) for values in self.values],
            "decisions": [decision.to_dict() for decision in self.decisions],
            "all_failed": self.all_failed,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Reads back what `to_dict` gave."""
        return cls(
            generation=data["generation"],
            sources=tuple(data["sources"]),
            values=tuple(plain_values(values) for values in data["values"]),
            decisions=tuple(Decision.from_dict(decision) for decision in data["decisions"]),
            all_failed=data["all_failed"],
        )


def initial_population(space: SearchSpace, size: int, rng: Generator) -> Population:
    """Generation 0: fixed starts where the search space has them, draws elsewhere; no scores yet."""
    members = (
        Member(index=index, values=space.first_values(rng), score=np.nan, parent=index)
        for index in range(size)
    )
    return Population(members=tuple(members), generation=0)


def evolve(
    population: Population, space: SearchSpace, exploit: Exploit, explore: Explore, rng: Generator
) -> Plan:
    """Decides how a scored population goes on; changes nothing.

    Random numbers are drawn in a fixed order: all of exploit, then the copies by index and, within a copy,
    the hyperparameters in the order of the search space.

    Args:
      population: the members with the scores of this generation.
      space: what is searched; values of other names are taken over from the source as they are.
      exploit: who copies whom, for example `exploit.binary_tournament`.
      explore: how the values of a copy move, for example `explore.perturb`.
      rng: randomness of this generation, see `streams.generation_rng`.

    Raises:
      ValueError: if a member lacks a value of the search space.
    """
    _check_values(population, space)
    sources = tuple(int(source) for source in exploit(population.scores, rng))
    values = tuple(
        dict(member.values)
        if source == member.index
        else _explored(population.members[source].values, space, explore, rng)
        for member, source in zip(population.members, sources, strict=True)
    )
    decisions = tuple(
        Decision(
            generation=population.generation,
            member=member.index,
            source=source,
            forced=source != member.index and not member.has_score,
            score=member.score,
            source_score=population.members[source].score,
            old_values=member.values,
            new_values=new_values,
        )
        for member, source, new_values in zip(population.members, sources, values, strict=True)
    )
    return Plan(
        generation=population.generation,
        sources=sources,
        values=values,
        decisions=decisions,
        all_failed=population.best is None,
    )


def next_population(population: Population, plan: Plan) -> Population:
    """The population that a plan leads to: new values, parents noted, no scores yet."""
    if plan.generation != population.generation or len(plan.sources) != population.size:
        raise ValueError(
            f"plan: one for generation {population.generation} of {population.size} members wanted, found "
            f"generation {plan.generation} of {len(plan.sources)}; "
            "apply a plan to the population it was made from"
        )
    members = (
        replace(member, values=values, score=np.nan, parent=source)
        for member, source, values in zip(population.members, plan.sources, plan.values, strict=True)
    )
    return Population(members=tuple(members), generation=population.generation + 1)


def _explored(
    values: Mapping[str, float], space: SearchSpace, explore: Explore, rng: Generator
) -> dict[str, float]:
    moved = {
        hyperparameter.name: float(explore(hyperparameter, values[hyperparameter.name], rng))
        for hyperparameter in space.hyperparameters
    }
    return {**values, **moved}


def _check_values(population: Population, space: SearchSpace) -> None:
    for member in population.members:
        missing = [name for name in space.names if name not in member.values]
        if missing:
            raise ValueError(
                f"member {member.index}: a value for each searched hyperparameter wanted, found none for "
                f"{', '.join(missing)}; draw members from the same search space"
            )
