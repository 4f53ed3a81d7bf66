"""The page: a finished run, its figures and its diagnosis as one self-contained HTML file.

Everything is inside: images as data, one style sheet, no script; so it opens from a bucket, an e-mail or a
memory stick, and prints.
"""

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined

from autolfads_spec import dump_run
from autolfads_spec.cost import CostRecord
from autolfads_spec.search_space import SearchDimension
from lfads_worker.report.findings import Finding
from lfads_worker.report.folder import FinishedRun
from lfads_worker.report.words import HYPERPARAMETERS, counted, in_run_yaml

KINDS = {"warning": "Look at this", "notice": "Good to know", "good": "Fine"}


class PageFigure(NamedTuple):
    """A figure on the page; without an image its caption says why there is none."""

    name: str
    heading: str
    caption: str
    png: bytes | None

    @property
    def source(self) -> str:
        if self.png is None:
            return ""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode('ascii')}"


class Card(NamedTuple):
    """A number that matters, and what it is."""

    value: str
    label: str


def render(run: FinishedRun, figures: Sequence[PageFigure], found: Sequence[Finding]) -> str:
    """The page as HTML."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    cards = list(_cards(run))
    template = resources.files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        name=run.run.metadata.name,
        lead=_lead(run),
        cost=_cost(run.cost),
        cards=cards,
        # One row, or two of equal length.
        columns=len(cards) if len(cards) <= 5 else math.ceil(len(cards) / 2),
        findings=found,
        conspicuous=any(finding.kind != "good" for finding in found),
        kinds=KINDS,
        figures=figures,
        recording=run.data_check.rows(),
        warnings=run.data_check.warnings,
        notes=[*run.data_check.notes, *run.results["notes"]],
        hyperparameters=list(_hyperparameters(run)),
        provenance=list(_provenance(run.results)),
        run_yaml=dump_run(run.run),
    )


def _lead(run: FinishedRun) -> str:
    results, data = run.results, run.results["data"]
    return (
        f"Rates and factors of {counted(data['neurons'], 'neuron')} in {counted(data['trials'], 'trial')}, "
        f"inferred by LFADS. {results['members']} models were trained over "
        f"{counted(results['generations'], 'generation')} "
        f"({results['epochs']} epochs) by population based training; the best is member "
        f"{results['best']['member']} of generation {results['best']['generation']}. "
        f"Stopped: {results['stop_reason']}."
    )


def _cost(record: CostRecord | None) -> str:
    """What the run has cost, in a sentence; empty where nobody counted."""
    if record is None or not record.as_of:
        return ""
    gpus = f" and {record.gpu_hours:.2f} GPU-hours" if record.gpu_hours else ""
    until = record.as_of[:16].replace("T", " ")
    return (
        f"Estimated cost: {record.amount:.2f} {record.currency}{gpus} until {until} UTC, by the price table "
        f"{record.price_table}."
    )


def _cards(run: FinishedRun) -> Iterator[Card]:
    """Quality on validation trials, in the order in which it is asked for."""
    valid = run.results["metrics"]["valid"]
    held_in, held_out, forward, truth = (
        valid[part] for part in ("held_in", "held_out", "forward", "true_rates")
    )
    if "mean_squared_error" in held_in:
        yield Card(f"{held_in['mean_squared_error']:.4g}", "mean squared error of validation trials")
    else:
        yield from _bits_card(held_in, "validation trials")
        yield from _bits_card(held_out, "held-out neurons (co-smoothing)")
        yield from _bits_card(forward, "forecast bins")
    if truth is not None and truth["r2_mean"] is not None:
        pooled = truth["pooled_squared_pearson"]
        yield Card(f"{truth['r2_mean']:z.3f}", "R² to the true rates, mean over neurons (validation trials)")
        if pooled is not None:
            yield Card(f"{pooled:.3f}", "squared correlation with the true rates, pooled (validation trials)")
    yield Card(f"{run.results['best']['score']:z.4f}", "best score: nats per bin and neuron, lower is better")


def _bits_card(judged: Mapping[str, Any] | None, where: str) -> Iterator[Card]:
    if judged is None or judged["bits_per_spike"] is None:
        return
    share = judged.get("share_of_oracle")
    of_oracle = "" if share is None else f"; {100 * share:z.0f} % of what the true rates reach"
    yield Card(f"{judged['bits_per_spike']:z.3f}", f"bits per spike, {where}{of_oracle}")


def _hyperparameters(run: FinishedRun) -> Iterator[Mapping[str, str]]:
    searched = {dimension.attribute: dimension for dimension in run.run.spec.population.search_space}
    for name, value in run.results["best"]["hyperparameters"].items():
        yield {
            "words": HYPERPARAMETERS[name],
            "name": in_run_yaml(name),
            "value": f"{value:.4g}",
            "searched": _range(searched[name]) if name in searched else "no",
        }


def _range(dimension: SearchDimension) -> str:
    if dimension.values is not None:
        return "one of " + ", ".join(f"{value:g}" for value in dimension.values)
    scale = ", in its logarithm" if dimension.distribution == "LogUniform" else ""
    return f"{dimension.min:g} to {dimension.max:g}{scale}"


def _provenance(results: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "seed", str(results["seed"])
    samples = results["posterior_samples"]
    yield "rates and factors", f"averages of {samples} posterior samples" if samples else "the posterior mean"
    yield "recording (sha256)", results["data"]["fingerprint"]
    yield (
        "versions",
        ", ".join(f"{name} {version}" for name, version in results["versions"].items() if version),
    )
