"""Whether a worker that lives has come to a stop: its steps have not moved for far longer than they take.

A device or a driver that hangs answers nothing and raises nothing; without this the run would wait
for it for ever. A step is an epoch of a cohort, or a batch of trials of posterior averages. Pure: what was
seen and the time come in, a decision goes out.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

# Whatever steps take, a machine that is only busy is given this long (seconds).
SHORTEST_PATIENCE = 600.0
# The first step of a process includes its start and the compiler, which were measured in minutes at most.
PATIENCE_AT_FIRST = 3600.0
MEDIAN_STEPS = 5
# What counts of the time between two looks: when the driver itself was stopped, nobody else was still.
LONGEST_GAP = 60.0
# Enough for a median, few enough to follow a machine that slows.
REMEMBERED_STEPS = 200


@dataclass(eq=False)
class Watch:
    """Over what one worker does. Steps between two answers of how far it is count as one.

    Attributes:
      looked: time of the last look.
      at_first: its worker may still have to compile a program of this size.
      steps: done, as far as is known.
      quiet: seconds without a step.
    """

    looked: float
    at_first: bool
    steps: int = 0
    quiet: float = 0.0

    def look(self, steps: int | None, now: float) -> float | None:
        """Notes how far it is, and gives the seconds of the step that has ended, if one has.

        Args:
          steps: done; None when there was no answer.
          now: by the same clock as `looked`.
        """
        self.quiet += min(now - self.looked, LONGEST_GAP)
        self.looked = now
        if steps is None or steps <= self.steps:
            return None
        step, self.quiet = self.quiet, 0.0
        self.steps, self.at_first = steps, False
        return step


class Pace:
    """How long steps have taken lately, whoever made them."""

    def __init__(self) -> None:
        self._steps: deque[float] = deque(maxlen=REMEMBERED_STEPS)

    def look(self, watch: Watch, steps: int | None, now: float) -> None:
        """Notes how far a worker is, see `Watch.look`."""
        step = watch.look(steps, now)
        if step is not None:
            self._steps.append(step)

    def is_still(self, watch: Watch) -> bool:
        """Whether a worker has been quiet for too long."""
        return watch.quiet > patience(self._steps, watch.at_first)


def patience(steps: Sequence[float], at_first: bool) -> float:
    """Seconds after which a worker without a step is taken for still.

    Args:
      steps: seconds of the latest steps of all workers.
      at_first: it may be compiling.
    """
    usual = MEDIAN_STEPS * median(steps) if steps else 0.0
    return max(PATIENCE_AT_FIRST if at_first else SHORTEST_PATIENCE, usual)
