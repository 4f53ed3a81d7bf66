"""What is searched: one `Hyperparameter` per searched number, and the `SearchSpace` that holds them.

Knows names only as labels, and nothing of models or of run.yaml; the shipped search spaces are presets of the
spec. Everything is checked on construction, so that the functions of `explore` need not check again.
All hyperparameters are numbers >= 0, because they move in log space.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from numpy.random import Generator

Distribution = Literal["uniform", "log_uniform", "choice"]

# A dropped fraction of 1 leaves no input and divides by zero; in float32 that starts a little before 1.
_LARGEST_VALID: Mapping[str, float] = {"dropout_rate": 0.99, "coordinated_dropout_rate": 0.99}

# Share of the range of a hyperparameter that may be 0, see `Hyperparameter.floor`.
_FLOOR_SHARE = 0.1


@dataclass(frozen=True)
class Hyperparameter:
    """One searched number: where it starts, where it may be and how boldly it moves.

    Attributes:
      name: its name in every member's values.
      distribution: how it is drawn: evenly, evenly in the logarithm, or one of `choices`.
      low: smallest value drawn; unused by choices.
      high: largest value drawn; unused by choices.
      choices: the allowed values, kept in ascending order: neighbours are one step of `explore.perturb`
        apart.
      start: value of every member in generation 0; None draws one for each member.
      weight: the boldest perturbation multiplies or divides by 1 + weight; 0 never moves.
      enforce_limits: whether perturbed values stay in [low, high]. Where they need not, they still stay
        valid: at 0 or above, and below 1 for dropped fractions.
    """

    name: str
    distribution: Distribution
    low: float = 0.0
    high: float = 0.0
    choices: tuple[float, ...] = ()
    start: float | None = None
    weight: float = 0.3
    enforce_limits: bool = True

    def __post_init__(self) -> None:
        """Checks the numbers and puts the choices in order.

        Raises:
          ValueError: if the hyperparameter cannot be drawn or moved.
        """
        object.__setattr__(self, "choices", tuple(sorted(float(choice) for choice in self.choices)))
        if self.distribution == "choice":
            self._check_choices()
        elif self.distribution in ("uniform", "log_uniform"):
            self._check_range()
        else:
            raise ValueError(
                f"{self.name}: distribution must be uniform, log_uniform or choice, found "
                f"{self.distribution!r}; name one of the three"
            )
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise ValueError(
                f"{self.name}: weight must be a number >= 0, found {self.weight}; "
                "0.3 lets a value move by up to 30 %"
            )
        if self.start is not None and not self._is_possible(self.start):
            raise ValueError(
                f"{self.name}: start must be a value the search may visit, found {self.start}; "
                "widen the range or move the start"
            )

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest value that exploring may produce."""
        if self.distribution == "choice":
            return self.choices[0], self.choices[-1]
        if self.enforce_limits:
            return self.low, self.high
        # A range given beyond the usual validity is the user's word: it widens it.
        return 0.0, max(self.high, _LARGEST_VALID.get(self.name, math.inf))

    @property
    def floor(self) -> float:
        """What is added to a value before it is multiplied, and taken off afterwards.

        Where 0 is a value like any other (a dropout rate), multiplying alone could never leave it, and would
        hardly leave its neighbourhood. With a tenth of the range added, the smallest values move in steps of
        that tenth's size, and large ones as ever. Everywhere else it is 0: purely multiplicative. What counts
        is the range, not how far below it exploring may lead: a factor never leads to 0.
        """
        if self.distribution != "uniform" or self.low > 0:
            return 0.0
        return _FLOOR_SHARE * (self.high - self.low)

    def draw(self, rng: Generator) -> float:
        """Draws a value from the distribution, whatever the start."""
        if self.distribution == "choice":
            return self.choices[int(rng.integers(len(self.choices)))]
        if self.distribution == "log_uniform":
            drawn = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        else:
            drawn = float(rng.uniform(self.low, self.high))
        return min(max(drawn, self.low), self.high)  # rounding of exp(log(.)) may step over an end

    def first_value(self, rng: Generator) -> float:
        """The value of one member in generation 0: the fixed start, or a draw."""
        return self.draw(rng) if self.start is None else float(self.start)

    def _check_choices(self) -> None:
        if not self.choices or not all(math.isfinite(choice) for choice in self.choices):
            raise ValueError(
                f"{self.name}: choices must be one or more numbers, found {self.choices}; "
                "list the values to try"
            )
        if len(set(self.choices)) < len(self.choices):
            raise ValueError(f"{self.name}: choices must differ, found {self.choices}; name each value once")

    def _check_range(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and 0 <= self.low <= self.high):
            raise ValueError(
                f"{self.name}: the range must be two numbers with 0 <= low <= high, found {self.low} to "
                f"{self.high}; swap or correct them"
            )
        if self.distribution == "log_uniform" and self.low == 0:
            raise ValueError(
                f"{self.name}: a log-uniform range must begin above 0, found {self.low}; "
                "give a small positive low, or choose uniform"
            )

    def _is_possible(self, value: float) -> bool:
        if self.distribution == "choice":
            return value in self.choices
        low, high = self.limits
        # From 0 no factor leads away: it needs a floor, which a range has that begins there.
        return low <= value <= high and (value > 0 or self.low == 0)


@dataclass(frozen=True)
class SearchSpace:
    """All that is searched; empty is allowed, and then only weights are copied."""

    hyperparameters: tuple[Hyperparameter, ...]

    def __post_init__(self) -> None:
        """Refuses a name that is searched twice.

        Raises:
          ValueError: if two hyperparameters share a name.
        """
        names = self.names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"search space: every name must appear once, found {', '.join(twice)} more than once; "
                "keep one entry of each"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the order of the search space, which is also the order of the random draws."""
        return tuple(hyperparameter.name for hyperparameter in self.hyperparameters)

    def draw(self, rng: Generator) -> dict[str, float]:
        """Draws every hyperparameter from its distribution, whatever the starts."""
        return {hyperparameter.name: hyperparameter.draw(rng) for hyperparameter in self.hyperparameters}

    def first_values(self, rng: Generator) -> dict[str, float]:
        """Values of one member in generation 0: fixed starts where given, draws elsewhere."""
        return {
            hyperparameter.name: hyperparameter.first_value(rng) for hyperparameter in self.hyperparameters
        }
