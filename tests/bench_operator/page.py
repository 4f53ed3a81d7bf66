"""The three files of the benchmark: numbers, a plot, and a page that says what they mean."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.axes import Axes

Found = Mapping[str, Any]

_TEXT = """\
# How one operator serves {runs} runs

Written by `{command}` in {minutes:.0f} minutes, all of it; nobody corrects it by hand. The machine had
{processors} processors and {memory} GiB, which API server, etcd, controllers, scheduler, KubeRay, KWOK, the
storage emulator and the benchmark itself shared with the operator. All numbers are in
[operator-benchmark.json](operator-benchmark.json).

{table}

![Memory, calls, status lag and reconcile time of the operator](operator-benchmark.png)

## The moments that cost most

{moments}

## What was asked of Kubernetes

Calls a minute of the operator in the API server's audit log, with {runs} runs that train:

{calls}

## What the words mean

- *Status lag*: from the moment a driver has committed a generation to the bucket until a watch of the runs
  shows it in `.status.progress`. The operator looks every 15 s at a run that trains
  (`AUTOLFADS_POLL_RUNNING_SECONDS`) and writes a status at most every 10 s
  (`AUTOLFADS_STATUS_INTERVAL_SECONDS`), so about 7 s are by design.
- *Reconcile time*: of one look at a run: read what drivers report, decide, act, write the status; without the
  wait for its turn. From the histogram `autolfads_reconcile_seconds`, even within each bucket.
- *API calls*: everything that the API server was asked by the operator's identity, watches once.
- *Store calls*: requests for files in output folders (`autolfads_store_requests_total`).
- *Memory*: resident, of the operator's process.

## What is real and what is played

| part | |
|---|---|
| operator | one process of `python -m autolfads_operator` with its default settings and the chart's rights |
| Kubernetes | real API server (RBAC and audit on), etcd, controller manager and scheduler |
| KubeRay | real: makes Ray clusters and submits jobs by HTTP through the API server's proxy |
| nodes and pods | objects of KWOK: a pod that is bound is ready, and nothing runs in it |
| Ray | played: one server answers for the job API of every head |
| drivers | played: lease, manifest ({before} generations are there at the start), the operator's wish, \
a heartbeat every {heartbeat:g} s and a generation every {generation:g} s; nothing is trained |
| Cloud Storage | the emulator of the tests, over HTTP, with Google's own client |

A generation takes minutes to hours in life; {generation:g} s make the operator write the status of every run
once a minute, which is more than a cluster of that size would.

## What limits

{limits}
"""


def text(found: Found) -> str:
    """The page."""
    last = _training(found)[-1]
    calls = last["api_calls_per_minute"]["by_verb_and_resource"]
    return _TEXT.format(
        runs=found["runs"],
        command=found["command"],
        minutes=found["seconds"] / 60,
        processors=found["machine"]["processors"],
        memory=found["machine"]["memory_gib"],
        table=table(found),
        moments=_moments(found),
        calls=_rows(("call", "a minute"), [(name, _number(rate)) for name, rate in calls.items()]),
        before=found["generations_before"],
        heartbeat=found["heartbeat_seconds"],
        generation=found["generation_seconds"],
        limits=_limits(found),
    )


def table(found: Found) -> str:
    """What was measured while runs simply trained."""
    columns = _training(found)
    head = ("", *(stretch["name"] for stretch in columns))

    def row(name: str, *path: str) -> tuple[str, ...]:
        return (name, *(_number(_at(stretch, path)) for stretch in columns))

    def triple(name: str, key: str, *names: str) -> tuple[str, ...]:
        return (
            name,
            *(" / ".join(_number(_at(stretch, (key, each))) for each in names) for stretch in columns),
        )

    return _rows(
        head,
        [
            triple("status lag, s: median / p95 / max", "status_lag_seconds", "median", "p95", "max"),
            row("commits that no status showed", "commits_not_seen"),
            row("memory, MiB: largest", "memory_mib", "max"),
            row("Kubernetes API calls a minute", "api_calls_a_minute"),
            triple(
                "the API server's own time for one, s: median / p95", "api_answer_seconds", "median", "p95"
            ),
            row("store calls a minute", "store_calls_per_minute"),
            row("status writes a minute", "status_writes_per_minute"),
            row("looks a minute", "looks_per_minute"),
            row("looks that failed a minute", "failed_looks_per_minute"),
            triple("reconcile time, s: median / p95 / p99", "reconcile_seconds", "median", "p95", "p99"),
            triple("event loop late, s: median / max", "loop_lag_seconds", "median", "max"),
            triple("runs waiting for a turn: median / max", "queue_depth", "median", "max"),
            row("processors used by the operator", "operator_cores"),
            row("its CPU seconds a run and minute", "operator_cpu_seconds_per_run_and_minute"),
            row("fresh runs applied together", "fresh"),
            row("s until all of them had a RayJob", "all_have_a_rayjob_seconds"),
            row("s more until all of them trained (KubeRay's time)", "more_until_all_train_seconds"),
        ],
    )


def _moments(found: Found) -> str:
    rows = []
    for stretch in found["stretches"]:
        if stretch in _training(found):
            continue
        lag = stretch["status_lag_seconds"]
        told = {
            "ready_seconds": "ready again after {} s",
            "gone_seconds": "all gone after {} s",
            "all_have_a_rayjob_seconds": "all have a RayJob after {} s",
        }
        words = [text.format(_number(stretch[key])) for key, text in told.items() if key in stretch]
        calls = f"{stretch['api_calls']} in {stretch['seconds']:.0f} s"
        lags = f"{_number(lag['median'])} / {_number(lag['max'])}"
        memory = _number(_at(stretch, ("memory_mib", "max")))
        answer = _number(stretch["api_answer_seconds"]["median"])
        rows.append((stretch["name"], "; ".join(words), calls, answer, memory, lags))
    head = (
        *("moment", "what was seen", "API calls", "the server's time for one, s: median", "memory, MiB"),
        "status lag, s: median / max",
    )
    return _rows(head, rows)


def _limits(found: Found) -> str:
    """Who used the processors, which says what gives first."""
    last = _training(found)[-1]
    used = {"the operator": last.get("operator_cores", 0.0), **last.get("other_cores", {})}
    shown = sorted(used.items(), key=lambda item: -item[1])
    rows = [(name, _number(cores)) for name, cores in shown if cores >= 0.005]
    return (
        f"Processors used with {last['runs']} runs that train, of {found['machine']['processors']}:\n\n"
        + _rows(("by", "processors"), rows)
    )


def draw(found: Found, path: Path) -> None:
    """The plot: memory, calls, status lag, and lateness, the first two and the last over time."""
    figure, ((memory, calls), (lag, late)) = pyplot.subplots(2, 2, figsize=(12, 8), layout="constrained")
    series = found["series"]
    minutes = [second / 60 for second in series["seconds"]]
    _memory(memory, series, minutes)
    _calls(calls, series, minutes)
    _lag(lag, found["lags"])
    _late(late, series, minutes)
    for axes in (memory, calls, late):
        _mark(axes, found)
    figure.suptitle(f"One operator, up to {found['runs']} runs")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _memory(axes: Axes, series: Found, minutes: Sequence[float]) -> None:
    axes.plot(minutes, series["memory_mib"], color="tab:blue", label="memory")
    axes.set(xlabel="time (minutes)", ylabel="resident memory (MiB)", title="Memory and runs")
    axes.set_ylim(bottom=0)
    runs = axes.twinx()
    runs.fill_between(minutes, series["runs"], color="tab:gray", alpha=0.2, step="post")
    runs.set(ylabel="runs (grey)")
    runs.set_ylim(bottom=0)


def _calls(axes: Axes, series: Found, minutes: Sequence[float]) -> None:
    bins = [(number + 0.5) / 6 for number in range(len(series["api_calls"]))]
    axes.plot(bins, [6 * number for number in series["api_calls"]], label="Kubernetes API")
    axes.plot(minutes[1:], _rates(minutes, series["store_calls"]), label="output folders")
    axes.set(xlabel="time (minutes)", ylabel="calls a minute", title="Calls")
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper right")


def _lag(axes: Axes, lags: Mapping[str, Sequence[float]]) -> None:
    for name, values in lags.items():
        shares = [(number + 1) / len(values) for number in range(len(values))]
        axes.step(values, shares, where="post", label=f"{name} ({len(values)} commits)")
    axes.set(xlabel="status lag (seconds)", ylabel="share of commits shown by then", title="Status lag")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")


def _late(axes: Axes, series: Found, minutes: Sequence[float]) -> None:
    axes.plot(minutes, series["loop_lag_seconds"], color="tab:red", label="event loop late")
    axes.set(xlabel="time (minutes)", ylabel="event loop late (seconds)", title="Lateness and waiting")
    axes.set_ylim(bottom=0)
    queue = axes.twinx()
    queue.plot(minutes, series["queue_depth"], color="tab:gray", alpha=0.6)
    queue.set(ylabel="runs waiting for a turn (grey)")
    queue.set_ylim(bottom=0)


def _mark(axes: Axes, found: Found) -> None:
    """Where each stretch begins."""
    for number, stretch in enumerate(found["stretches"], 1):
        minute = (stretch["began"] - found["began"]) / 60
        axes.axvline(minute, color="black", linewidth=0.6, linestyle=":")
        axes.annotate(
            f"{number}", (minute, 0.97), xycoords=("data", "axes fraction"), fontsize=9, va="top", ha="left"
        )
    names = "   ".join(f"{n}: {stretch['name']}" for n, stretch in enumerate(found["stretches"], 1))
    axes.figure.supxlabel(names, fontsize=9)


def _rates(minutes: Sequence[float], values: Sequence[float]) -> list[float]:
    """Of a counter, a minute; none while it begins anew."""
    pairs = zip(itertools.pairwise(minutes), itertools.pairwise(values), strict=True)
    return [max(0.0, (after - before) / (later - earlier)) for (earlier, later), (before, after) in pairs]


def small(found: Any) -> Any:
    """The same with numbers cut to what was measured."""
    if isinstance(found, Mapping):
        return {name: small(value) for name, value in found.items()}
    if isinstance(found, Sequence) and not isinstance(found, str):
        return [small(value) for value in found]
    return float(f"{found:.4g}") if isinstance(found, float) and abs(found) < 1e6 else found


def _training(found: Found) -> list[Found]:
    return [stretch for stretch in found["stretches"] if stretch["is_training"]]


def _at(stretch: Found, path: Sequence[str]) -> Any:
    here: Any = stretch
    for step in path:
        here = here.get(step) if isinstance(here, Mapping) else None
    return here


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2g}"


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
