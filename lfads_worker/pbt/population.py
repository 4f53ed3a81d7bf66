"""Members and populations as values: frozen, comparable, and plain enough for a JSON generation record.

A member here is a number, its hyperparameters and its score; its weights live elsewhere and are found by that
number. Nothing changes in place: every step makes a new population, so that whoever holds the old one holds
the snapshot on which the decisions were made.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Member:
    """One model of the population in one generation.

    Attributes:
      index: its place in the population, the same for the whole run.
      values: its hyperparameters, by name.
      score: smoothed validation loss at the end of the generation, lower is better; NaN while unknown and
        when the member failed or diverged.
      parent: index of the member whose weights it began this generation with; its own unless it was a copy.
    """

    index: int
    values: Mapping[str, float]
    score: float
    parent: int

    def __post_init__(self) -> None:
        """Makes everything plain: own dict, Python numbers, one NaN for whatever is not finite."""
        object.__setattr__(self, "index", int(self.index))
        object.__setattr__(self, "parent", int(self.parent))
        object.__setattr__(self, "values", plain_values(self.values))
        object.__setattr__(self, "score", plain_score(self.score))

    @property
    def has_score(self) -> bool:
        """Whether the member can be compared; false for failed, diverged and not yet trained ones."""
        return math.isfinite(self.score)

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON; an unknown score is null."""
        return {
            "index": self.index,
            "values": dict(self.values),
            "score": score_to_json(self.score),
            "parent": self.parent,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Reads back what `to_dict` gave."""
        return cls(
            index=data["index"],
            values=data["values"],
            score=score_from_json(data["score"]),
            parent=data["parent"],
        )


@dataclass(frozen=True)
class Population:
    """All members of one generation, in the order of their indices."""

    members: tuple[Member, ...]
    generation: int

    def __post_init__(self) -> None:
        """Checks that members stand at their index.

        Raises:
          ValueError: if there is no member or one is out of place.
        """
        object.__setattr__(self, "members", tuple(self.members))
        indices = [member.index for member in self.members]
        if not indices or indices != list(range(len(indices))):
            raise ValueError(
                f"population: members must be numbered 0, 1, 2, … in order, found {indices}; "
                "keep each member at its own place"
            )

    @property
    def size(self) -> int:
        """Number of members."""
        return len(self.members)

    @property
    def scores(self) -> NDArray[np.float64]:
        """[members] losses; NaN where a member has none."""
        return np.array([member.score for member in self.members], dtype=np.float64)

    @property
    def best(self) -> Member | None:
        """The member with the lowest loss, the first of equals; None if all failed."""
        scored = [member for member in self.members if member.has_score]
        return min(scored, key=lambda member: member.score, default=None)

    def with_scores(self, scores: Sequence[float] | NDArray[np.float64]) -> Self:
        """The same population after training.

        Args:
          scores: [members] losses, not finite where a member failed.
        """
        if len(scores) != self.size:
            raise ValueError(
                f"population: one score per member wanted ({self.size}), found {len(scores)}; "
                "collect every cohort before scoring"
            )
        scored = (
            replace(member, score=float(score)) for member, score in zip(self.members, scores, strict=True)
        )
        return replace(self, members=tuple(scored))

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return {"generation": self.generation, "members": [member.to_dict() for member in self.members]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Reads back what `to_dict` gave."""
        members = tuple(Member.from_dict(member) for member in data["members"])
        return cls(members=members, generation=data["generation"])


def plain_values(values: Mapping[str, float]) -> dict[str, float]:
    """An own copy of a member's values, as Python floats."""
    return {str(name): float(value) for name, value in values.items()}


def plain_score(score: float) -> float:
    """A score as a Python float, with one and the same NaN for all that is not finite."""
    return float(score) if math.isfinite(score) else math.nan


def score_to_json(score: float) -> float | None:
    """JSON has no NaN: an unknown score is null."""
    return score if math.isfinite(score) else None


def score_from_json(score: float | None) -> float:
    """Turns null back into the unknown score."""
    return math.nan if score is None else float(score)
