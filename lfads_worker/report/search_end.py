"""Diagnosis in words: why a search ended, and whether more generations would bring more.

A rule like those of `findings`: a pure function of plain numbers. By how much the score has improved is
reckoned as in the rule by which a run stops, so that the two never contradict each other.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lfads_worker.report.findings import Finding

# Spread of members in units of the search range: 0.29 when drawn evenly, below 0.03 nearly one model.
SAME_SPREAD = 0.03


class End(NamedTuple):
    """Why no further generation was trained.

    Attributes:
      reason: the run's own words, which complete "because …".
      limit: the setting in run.yaml that ended it; None where the score had come to stand still.
      asked: generations that run.yaml asked for.
    """

    reason: str
    limit: str | None
    asked: int


def search_ended(
    best_scores: Sequence[float], spread: float | None, patience: int, min_improvement: float, end: End
) -> Finding | None:
    """Whether more generations would bring more.

    Args:
      best_scores: the best score of each generation, lower is better; NaN where all members diverged.
      spread: of the members' hyperparameters in the last generation, in units of the search range; None
        where nothing is searched.
      patience: generations without improvement after which a run stops.
      min_improvement: relative improvement that counts.
      end: why the run ended.
    """
    gained = _gained(best_scores, patience)
    if gained is None:
        return _cut_short(len(best_scores), end)
    trend = f"Over the last {patience} generations the best score improved by {100 * gained:z.2f} %"
    if gained > min_improvement and end.limit is not None:
        return Finding(
            "notice",
            "The search was still improving",
            f"{trend}; {100 * min_improvement:g} % or less counts as standing still.",
            f"The run ended because {end.reason}, not because nothing better was to be found.",
            f"Raise {end.limit} and run again for the last bit of quality; the first generations bring most.",
        )
    alike = spread is not None and spread < SAME_SPREAD
    return Finding(
        "good",
        "The population has converged",
        f"{trend}."
        + (f" The members' hyperparameters differ by {100 * spread:.0f} % of the range." if spread else ""),
        "More generations would hardly give a better model."
        + (" By now all members are nearly copies of one another." if alike else ""),
        "Nothing has to be done. To check that it is no local optimum, run again with another population.seed"
        + (" or a larger population.size." if alike else "."),
    )


def _gained(best_scores: Sequence[float], patience: int) -> float | None:
    """By how much the best score fell over the last generations, as a share of their mean.

    Returns:
      None where there are too few generations to tell.
    """
    scores = np.asarray(best_scores, np.float64)
    before, recent = scores[:-patience], scores[-patience:]
    before, recent = before[np.isfinite(before)], recent[np.isfinite(recent)]
    if not before.size or not recent.size:
        return None
    gained = before.min() - min(before.min(), recent.min())
    return float(gained / max(np.abs(recent).mean(), 1e-300))


def _cut_short(trained: int, end: End) -> Finding | None:
    if end.limit is None or trained >= end.asked:
        return None
    return Finding(
        "notice",
        "The search was cut short",
        f"{trained} of the {end.asked} generations asked for were trained.",
        f"The run ended because {end.reason}, before it could be seen whether the score had come to stand "
        "still.",
        f"Raise {end.limit} and run again.",
    )
