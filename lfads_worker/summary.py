"""What the command line tells about recordings and results, as lines of text."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autolfads_spec import RunSpec

if TYPE_CHECKING:
    from lfads_worker.data.check import DataReport

PARTS = (("held_in", "neurons"), ("held_out", "held-out neurons"), ("forward", "forward bins"))


def size_of(spec: RunSpec, cohorts: int) -> str:
    """How large a run is, in a few words."""
    asked, searched = spec.population, len(spec.population.search_space)
    return (
        f"{asked.size} members in {counted(cohorts, 'cohort')}, "
        f"up to {counted(asked.generations, 'generation')}, {counted(searched, 'hyperparameter')} searched"
    )


def of_report(report: "DataReport") -> Iterator[str]:
    """The data check as a table of two columns."""
    rows = report.rows()
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        yield f"{name:<{width}}  {value}"


def of_results(results: Mapping[str, Any], folder: str) -> Iterator[str]:
    """What came out, from the contents of results.json."""
    best = results["best"]
    yield (
        f"done: {results['stop_reason']}; best score {best['score']:.4f} "
        f"(member {best['member']}, generation {best['generation']})"
    )
    yield from _metrics(results["metrics"]["valid"])
    yield f"results: {folder} ({_shown_files(list(results['files']))})"


def counted(count: int, noun: str) -> str:
    """A number with its noun: 1 cohort, 2 cohorts."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _metrics(valid: Mapping[str, Any]) -> Iterator[str]:
    """How well the validation trials are explained; parts that do not exist are left out."""
    for part, where in PARTS:
        judged = valid.get(part)
        if judged is None or "bits_per_spike" not in judged:
            continue
        share = judged.get("share_of_oracle")
        of_oracle = "" if share is None else f", {100 * share:.0f} % of what the true rates reach"
        yield f"validation, {where}: {judged['bits_per_spike']:.3f} bits per spike{of_oracle}"
    truth = valid.get("true_rates")
    if truth is not None:
        yield (
            f"validation, true rates: R² {truth['r2_mean']:.3f} (mean over neurons), "
            f"squared Pearson {truth['pooled_squared_pearson']:.3f} (pooled)"
        )


def _shown_files(names: Sequence[str]) -> str:
    rates = [name for name in names if name.startswith("rates.")]
    return ", ".join([*rates, "results.json", f"{len(names) - len(rates)} more"])
