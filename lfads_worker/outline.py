"""How much a run has to do, how much of it is done, and how long the rest will take.

Pure bookkeeping: the time comes in as numbers, nothing is printed here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

# Generations whose speed predicts the rest: recent ones, because the machine may get busier.
RECENT = 3
# Share of the first generation that must be trained before its speed is believed.
ENOUGH = 0.1


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
      elapsed: seconds of that generation, at the last report.

    The first generation begins with starting workers and compiling, which the rest of the
    run does not repeat: its speed is measured from the first epochs that were reported.
    """

    outline: Outline
    seconds: list[float] = field(default_factory=list)
    epochs_done: dict[int, int] = field(default_factory=dict)
    elapsed: float = 0.0
    _under_way: tuple[float, float] | None = None  # elapsed seconds and epochs at the first report
    _first_speed: float | None = None  # seconds an epoch of the first generation, once under way

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
        return int(self._epochs_now)

    @property
    def epochs_before_and_now(self) -> float:
        """Epochs that the population has trained in the run so far, on average."""
        return sum(self.outline.epochs[: self.generation]) + self._epochs_now

    def train(self, cohort: int, epochs_done: int, elapsed: float) -> None:
        """Notes that a cohort has come so far; a cohort that is done again starts anew.

        Args:
          cohort: which one.
          epochs_done: of the current generation.
          elapsed: seconds since the current generation began.
        """
        self.epochs_done[cohort] = epochs_done
        self.elapsed = elapsed
        if self._under_way is None and epochs_done:
            self._under_way = (elapsed, self._epochs_now)

    def finish(self, seconds: float) -> None:
        """Notes that the current generation is over."""
        if self.generation == 0:
            self._first_speed = self._speed_under_way(seconds, self.generation_epochs)
        self.seconds.append(seconds)
        self.epochs_done = {}
        self.elapsed = 0.0

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

    @property
    def _epochs_now(self) -> float:
        return self.fraction * self.generation_epochs

    def _seconds_per_epoch(self, elapsed: float) -> float | None:
        recent = range(max(1, self.generation - RECENT), self.generation)
        if recent:
            return self._mean_speed(recent)
        if self.seconds:
            return self._first_speed or self._mean_speed(range(1))
        return self._speed_under_way(elapsed, self._epochs_now)

    def _mean_speed(self, generations: range) -> float:
        """Seconds an epoch over some finished generations."""
        seconds = sum(self.seconds[number] for number in generations)
        return seconds / sum(self.outline.epochs[number] for number in generations)

    def _speed_under_way(self, elapsed: float, epochs: float) -> float | None:
        """Seconds an epoch since the first report, None until enough has been trained."""
        if self._under_way is None:
            return None
        began, already = self._under_way
        trained = epochs - already
        return (elapsed - began) / trained if trained >= ENOUGH * self.generation_epochs else None


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
