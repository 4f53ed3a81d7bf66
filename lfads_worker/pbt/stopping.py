"""When a search has had enough: nothing better for a while, all generations done, or out of time.

Looks at the whole population only, never at one member: a member that failed, or whose learning rate sits at
the end of its range, ends nothing. The clock is the caller's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Stopping:
    """The rules of a run.

    Attributes:
      patience: generations without an improvement that counts; 0 switches this rule off.
      min_improvement: the improvement that counts, as a share of the loss.
      max_generations: generations to train at most; None has no such end.
      max_hours: hours after which no new generation begins; None has no such end.
    """

    patience: int = 5
    min_improvement: float = 5e-4
    max_generations: int | None = None
    max_hours: float | None = None

    def should_stop(self, best_scores: Sequence[float], elapsed_hours: float = 0.0) -> str | None:
        """The reason to stop, as words that complete "stopped: …", or None to go on.

        Args:
          best_scores: [generations] the lowest loss of each generation so far, NaN where all members failed.
          elapsed_hours: time spent, in hours.
        """
        done = len(best_scores)
        if self.max_generations is not None and done >= self.max_generations:
            return f"all {self.max_generations} generations are done"
        if self.max_hours is not None and elapsed_hours >= self.max_hours:
            return f"the time limit of {self.max_hours:g} h is reached"
        if 0 < self.patience < done and improvement(best_scores, self.patience) <= self.min_improvement:
            return (
                f"the best score improved by no more than {100 * self.min_improvement:g} % "
                f"in {self.patience} generations"
            )
        return None


def improvement(best_scores: Sequence[float], generations: int) -> float:
    """How much better the best score became over the last generations, as a share of the loss.

    With b₁ … b_K the best score of each generation (lower is better) and n the number of generations:

        ( min(b₁ … b_{K−n}) − min(b₁ … b_K) ) / mean( |b_{K−n+1}| … |b_K| )

    Both minima run over the whole history, so the result is never negative and one lucky generation in the
    past cannot be taken for progress. The share changes when a constant is added to the loss: keep the
    log-factorial in it, or out of it, for a whole run. Generations in which all failed are left out.

    References:
      Keshtkaran et al. 2022, Nature Methods 19 (stopping rule of AutoLFADS: 5 generations, 0.05 %).
    """
    if not 0 < generations < len(best_scores):
        raise ValueError(
            f"improvement: more scores than generations to look back wanted, found {len(best_scores)} "
            f"scores and {generations} generations; wait for more generations"
        )
    before = [score for score in best_scores[:-generations] if math.isfinite(score)]
    recent = [score for score in best_scores[-generations:] if math.isfinite(score)]
    if not before or not recent:
        return math.inf if recent else 0.0  # the first scores at all are progress; none at all are not
    gained = min(before) - min(before + recent)
    scale = sum(abs(score) for score in recent) / len(recent)
    if gained == 0:
        return 0.0
    return gained / scale if scale > 0 else math.inf
