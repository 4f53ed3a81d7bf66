"""How much a run has to do, how much of it is done, and how long the rest will take.

Pure bookkeeping: the time comes in as numbers, nothing is printed here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

# Generations whose speed predicts the rest: recent ones, because the machine may get busier.
RECENT = 3


@dataclass(frozen=True)
class Outline:
    """What a run will do at most; it may stop earlier.

    Attributes:
      epochs: of each generation.
      cohort_sizes: members of each cohort.
    """

    epochs: tuple[int, ...]
    cohort_sizes: tuple[int, ...]

    @property
    def generations(self) -> int:
        return len(self.epochs)

    @property
    def members(self) -> int:
        return sum(self.cohort_sizes)


@dataclass
class Tracker:
    """Follows a run through its outline.

    Attributes:
      seconds: wall time of each finished generation.
      epochs_done: by cohort, in the generation that is being trained.
    """

    outline: Outline
    seconds: list[float] = field(default_factory=list)
    epochs_done: dict[int, int] = field(default_factory=dict)

    @property
    def generation(self) -> int:
        """The generation that is being trained."""
        return len(self.seconds)

    @property
    def generation_epochs(self) -> int:
        """Epochs of the generation that is being trained; 0 after the last one."""
        return self.outline.epochs[self.generation] if self.generation < self.outline.generations else 0

    @property
    def cohorts_done(self) -> int:
        """Cohorts that have finished the current generation."""
        epochs = self.generation_epochs
        return sum(done >= epochs for done in self.epochs_done.values())

    @property
    def fraction(self) -> float:
        """How much of the current generation is done, in [0, 1]."""
        whole = self.generation_epochs * self.outline.members
        done = sum(self.outline.cohort_sizes[cohort] * epochs for cohort, epochs in self.epochs_done.items())
        return min(done / whole, 1.0) if whole else 1.0

    @property
    def mean_epochs_done(self) -> int:
        """Epochs that the population has trained in the current generation, on average."""
        return int(self.fraction * self.generation_epochs)

    @property
    def epochs_before_and_now(self) -> float:
        """Epochs that the population has trained in the run so far, on average."""
        return sum(self.outline.epochs[: self.generation]) + self.fraction * self.generation_epochs

    def train(self, cohort: int, epochs_done: int) -> None:
        """Notes that a cohort has come so far; a cohort that is done again starts anew."""
        self.epochs_done[cohort] = epochs_done

    def finish(self, seconds: float) -> None:
        """Notes that the current generation is over."""
        self.seconds.append(seconds)
        self.epochs_done = {}

    def seconds_left(self, elapsed: float) -> float | None:
        """An estimate for all generations that are left, None as long as nothing is known.

        Args:
          elapsed: seconds since the current generation began.
        """
        per_epoch = self._seconds_per_epoch(elapsed)
        if per_epoch is None:
            return None
        later = sum(self.outline.epochs[self.generation + 1 :])
        current = self.generation_epochs * (1 - self.fraction)
        return per_epoch * (current + later)

    def _seconds_per_epoch(self, elapsed: float) -> float | None:
        if self.seconds:
            recent = range(max(0, self.generation - RECENT), self.generation)
            return sum(self.seconds[number] for number in recent) / sum(
                self.outline.epochs[number] for number in recent
            )
        done = self.fraction * self.generation_epochs
        return elapsed / done if done else None


def duration(seconds: float) -> str:
    """Words for a length of time: "41 s", "12 min", "3 h 20 min"."""
    if seconds < 1:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def left(seconds: float | None) -> str:
    """Words for what is left: "about 12 min left", or nothing when nothing is known."""
    return "" if seconds is None else f"about {duration(seconds)} left"


def joined(parts: Sequence[str]) -> str:
    """The parts that say something, with commas."""
    return ", ".join(part for part in parts if part)
