"""The numbers that the rules of `findings` ask for, taken from a finished run."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from autolfads_spec.attempt import BUDGET_STOP
from autolfads_spec.search_space import SearchDimension
from lfads_worker.report import findings
from lfads_worker.report.findings import Finding
from lfads_worker.report.folder import FinishedRun
from lfads_worker.report.search_end import End, search_ended
from lfads_worker.report.tables import Array, History

_ORDER = ("warning", "notice", "good")
_LAST_GENERATIONS = 3


def diagnose(run: FinishedRun) -> list[Finding]:
    """Everything worth saying, the most important first."""
    found = [finding for finding in _all(run) if finding is not None]
    return sorted(found, key=lambda finding: _ORDER.index(finding.kind))


def _all(run: FinishedRun) -> Iterator[Finding | None]:
    history, spec = run.history, run.run.spec
    yield from _quality(run.results["metrics"])
    data = run.results["data"]
    yield findings.too_few_trials(data["train_trials"], data["valid_trials"])
    yield findings.members_diverged(
        int(np.isnan(history.scores).sum()), history.scores.size, _learning_rates(history)
    )
    information = float(history.along_lineage("kl_initial_condition_nats")[-1])
    yield None if math.isnan(information) else findings.initial_condition_collapsed(information)
    shares = input_signal_shares(run.inferred.input_means, run.inferred.input_stds)
    yield findings.controller_unused(shares) if shares else None
    searched = [d for d in spec.population.search_space if d.min is not None]
    limited = [d for d in searched if d.enforce_limits]
    yield findings.at_the_edge(
        {d.name: _winners(history, d) for d in limited}, {d.name: _movable(d) for d in limited}
    )
    stopping = spec.population.stopping
    yield search_ended(
        [float(np.nanmin(scores)) if np.isfinite(scores).any() else math.nan for scores in history.scores],
        _spread(history, searched),
        stopping.patience,
        stopping.min_improvement,
        _end(run),
    )


def _end(run: FinishedRun) -> End:
    spec, reason = run.run.spec, run.results["stop_reason"]
    limit = None
    if reason == BUDGET_STOP:
        budget = spec.budget
        amounts = {"budget.maxCost": budget.max_cost, "budget.maxGpuHours": budget.max_gpu_hours}
        limit = " or ".join(name for name, amount in amounts.items() if amount is not None) or "the budget"
    elif run.history.generations >= spec.population.generations:
        limit = "population.generations"
    elif spec.population.stopping.max_hours is not None and "time limit" in reason:
        limit = "population.stopping.maxHours"
    return End(reason, limit, spec.population.generations)


def _quality(metrics: Mapping[str, Any]) -> Iterator[Finding | None]:
    train, valid = metrics["train"]["held_in"], metrics["valid"]["held_in"]
    if "mean_squared_error" in train:
        yield findings.overfitting_of_values(train["mean_squared_error"], valid["mean_squared_error"])
        return
    train_bits, valid_bits = train["bits_per_spike"], valid["bits_per_spike"]
    if train_bits is None or valid_bits is None:  # not a single spike
        return
    yield findings.explains_nothing(valid_bits)
    yield findings.overfitting(train_bits, valid_bits)
    if train.get("share_of_oracle") is not None:
        yield findings.better_than_truth(train["share_of_oracle"])
    held_out = metrics["valid"]["held_out"]
    if held_out is not None and held_out["bits_per_spike"] is not None:
        yield findings.held_out_missed(valid_bits, held_out["bits_per_spike"])


def input_signal_shares(means: np.ndarray[Any, Any], stds: np.ndarray[Any, Any]) -> list[float]:
    """[inputs] how much of an input's variance is the movement of its posterior mean.

    Args:
      means: [trials, time, inputs] of the posterior.
      stds: the same, its standard deviations.
    """
    moving = np.nanvar(means, axis=(0, 1), dtype=np.float64)
    uncertain = np.nanmean(np.square(stds, dtype=np.float64), axis=(0, 1))
    return [float(share) for share in moving / np.maximum(moving + uncertain, 1e-30)]


def unit_position(dimension: SearchDimension, values: Array) -> Array:
    """Where values lie in the range of a search: 0 is its lower end, 1 its upper."""
    assert dimension.min is not None
    assert dimension.max is not None
    if dimension.distribution == "LogUniform":
        low, high = math.log(dimension.min), math.log(dimension.max)
        return np.asarray((np.log(np.maximum(values, 1e-300)) - low) / (high - low))
    return np.asarray((values - dimension.min) / (dimension.max - dimension.min))


def _winners(history: History, dimension: SearchDimension) -> list[float]:
    """Positions of the best of the last generations, the chosen member's at the end."""
    values = unit_position(dimension, history.values[dimension.attribute])
    judged = [g for g in range(history.generations) if np.isfinite(history.scores[g]).any()]
    last = judged[-_LAST_GENERATIONS:]
    winners = [values[g, np.nanargmin(history.scores[g])] for g in last]
    return [float(value) for value in (*winners, values[history.best])]


def _movable(dimension: SearchDimension) -> tuple[bool, bool]:
    return dimension.min != 0, True


def _spread(history: History, searched: list[SearchDimension]) -> float | None:
    """Median over hyperparameters of the members' standard deviation in the last generation."""
    if not searched:
        return None
    positions = [unit_position(d, history.values[d.attribute][-1]) for d in searched]
    return float(np.median([position.std() for position in positions]))


def _learning_rates(history: History) -> tuple[float, float] | None:
    rates, gone = history.values["learning_rate"], np.isnan(history.scores)
    if not gone.any() or gone.all() or len(np.unique(rates)) == 1:
        return None
    return float(np.median(rates[gone])), float(np.median(rates[~gone]))
