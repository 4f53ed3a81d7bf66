"""What the command line tells about recordings and results, as lines of text.

Numbers are written with `z`: what rounds to zero has no sign.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autolfads_spec import RunSpec
from lfads_worker.outline import duration

if TYPE_CHECKING:
    from lfads_worker.data.check import DataReport
    from lfads_worker.history import GenerationRecord
    from lfads_worker.inference import NewRates

PARTS = (("held_in", "neurons"), ("held_out", "held-out neurons"), ("forward", "forward bins"))


def size_of(spec: RunSpec, cohorts: int) -> str:
    """How large a run is, in a few words."""
    asked, searched = spec.population, len(spec.population.search_space)
    return (
        f"{asked.size} members in {counted(cohorts, 'cohort')}, "
        f"up to {counted(asked.generations, 'generation')}, {counted(searched, 'hyperparameter')} searched"
    )


def committed(generations: Sequence["GenerationRecord"]) -> str:
    """What an interrupted run has already done, in a few words."""
    seconds = sum(record.seconds for record in generations)
    return f"{counted(len(generations), 'generation')} of {duration(seconds)} in all need not be done again"


def of_report(report: "DataReport") -> Iterator[str]:
    """The data check as a table of two columns, and what was left aside of the file."""
    rows = [*report.rows(), *(("note", note) for note in report.notes)]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        yield f"{name:<{width}}  {value}"


def of_results(results: Mapping[str, Any], folder: str) -> Iterator[str]:
    """What came out, from the contents of results.json."""
    best = results["best"]
    yield (
        f"done: {results['stop_reason']}; best score {best['score']:z.4f} "
        f"(member {best['member']}, generation {best['generation']})"
    )
    yield from _metrics(results["metrics"]["valid"], "validation")
    yield f"results: {folder} ({_shown_files(list(results['files']))})"


def of_new_rates(new: "NewRates") -> Iterator[str]:
    """What was inferred from new trials, and where it is."""
    yield from _metrics(new.metrics, "new trials")
    files = " and ".join(str(path) for path in new.files)
    yield f"{files}: rates and factors of {counted(new.data.trials, 'trial')}"


def counted(count: int, noun: str) -> str:
    """A number with its noun: 1 cohort, 2 cohorts."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _metrics(valid: Mapping[str, Any], trials: str) -> Iterator[str]:
    """How well some trials are explained; parts that do not exist are left out."""
    for part, where in PARTS:
        judged = valid.get(part)
        bits = _known(judged, "bits_per_spike")
        if bits is None:
            continue
        share = _known(judged, "share_of_oracle")
        of_oracle = "" if share is None else f", {100 * share:z.0f} % of what the true rates reach"
        yield f"{trials}, {where}: {bits:z.3f} bits per spike{of_oracle}"
    truth = valid.get("true_rates")
    r2, pearson = _known(truth, "r2_mean"), _known(truth, "pooled_squared_pearson")
    if r2 is not None and pearson is not None:
        yield (
            f"{trials}, true rates: R² {r2:z.3f} (mean over neurons), squared Pearson {pearson:z.3f} (pooled)"
        )


def _known(judged: Mapping[str, Any] | None, name: str) -> float | None:
    """A number, or None where there is none: Gaussian values have no bits per spike, nor has silence."""
    value = None if judged is None else judged.get(name)
    return None if value is None or math.isnan(value) else float(value)


def _shown_files(names: Sequence[str]) -> str:
    rates = [name for name in names if name.startswith("rates.")]
    return ", ".join([*rates, "results.json", f"{len(names) - len(rates)} more"])
