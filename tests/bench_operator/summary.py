"""What a stretch of the benchmark comes to, as plain numbers for the JSON file."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_operator.sampling import Call, Sample, histogram_quantiles, per_minute

Commits = Sequence[tuple[str, int, float]]


@dataclass(frozen=True)
class Stretch:
    """Some time of the benchmark.

    Attributes:
      name: what was going on.
      began: seconds since 1970.
      ended: seconds since 1970.
      runs: how many there were.
      more: what else was measured, by name.
    """

    name: str
    began: float
    ended: float
    runs: int
    more: Mapping[str, Any]


def commits_of(path: Path) -> Commits:
    """Run, generation and time of every commit."""
    return [tuple(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def summary(
    stretch: Stretch,
    samples: Sequence[Sample],
    calls: Sequence[Call],
    commits: Commits,
    lag_seconds: Callable[[str, int, float], float | None],
) -> dict[str, Any]:
    """Everything about one stretch; the samples are those within it."""
    began, ended = stretch.began, stretch.ended
    here = [(run, generation, at) for run, generation, at in commits if began <= at < ended]
    lags = sorted(lag for lag in (lag_seconds(*commit) for commit in here) if lag is not None)
    answers = sorted(call.seconds for call in calls if began <= call.at < ended and call.verb != "watch")
    number_of_calls = sum(began <= call.at < ended for call in calls)
    return {
        "name": stretch.name,
        "runs": stretch.runs,
        "began": began,
        "seconds": ended - began,
        "is_training": False,
        **stretch.more,
        "commits": len(here),
        "commits_not_seen": len(here) - len(lags),
        "status_lag_seconds": spread(lags),
        "api_calls_per_minute": per_minute(calls, began, ended),
        "api_calls": number_of_calls,
        "api_answer_seconds": spread(answers),
        "api_calls_a_minute": 60 * number_of_calls / (ended - began),
        **(_of_operator(samples, stretch.runs) if len(samples) > 1 else {}),
    }


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """Median, 95th percentile and largest of sorted values."""
    if not values:
        return {"median": None, "p95": None, "max": None}
    return {
        "median": statistics.median(values),
        "p95": values[min(len(values) - 1, int(0.95 * len(values)))],
        "max": values[-1],
    }


def _of_operator(samples: Sequence[Sample], runs: int) -> dict[str, Any]:
    first, last = samples[0], samples[-1]
    minutes = (last.at - first.at) / 60

    def rate(name: str) -> float:
        return (last.sum(name) - first.sum(name)) / minutes

    def cores(name: str) -> float:
        return (last.cpu_seconds[name] - first.cpu_seconds[name]) / minutes / 60

    def gauge(name: str) -> list[float]:
        return sorted(sample.sum(name) for sample in samples)

    used = {name: cores(name) for name in last.cpu_seconds if name in first.cpu_seconds}
    operator_cores = rate("process_cpu_seconds_total") / 60
    machine = (last.machine_seconds - first.machine_seconds) / minutes / 60
    median, p95, p99 = histogram_quantiles(first, last, "autolfads_reconcile_seconds", (0.5, 0.95, 0.99))
    looks = rate("autolfads_reconcile_seconds_count")
    return {
        "reconcile_seconds": {
            "median": median,
            "p95": p95,
            "p99": p99,
            "mean": rate("autolfads_reconcile_seconds_sum") / looks if looks else None,
        },
        "looks_per_minute": looks,
        "failed_looks_per_minute": rate("autolfads_reconcile_errors_total"),
        "store_calls_per_minute": rate("autolfads_store_requests_total"),
        "status_writes_per_minute": rate("autolfads_status_writes_total"),
        "memory_mib": {
            "median": gauge("process_resident_memory_bytes")[len(samples) // 2] / 2**20,
            "max": gauge("process_resident_memory_bytes")[-1] / 2**20,
        },
        "loop_lag_seconds": spread(gauge("autolfads_loop_lag_seconds")),
        "queue_depth": spread(gauge("autolfads_queue_depth")),
        "operator_cores": operator_cores,
        "operator_cpu_seconds_per_run_and_minute": operator_cores * 60 / runs if runs else None,
        "other_cores": {**used, "everybody else": machine - operator_cores - sum(used.values())},
    }
