"""How one operator serves hundreds of runs: `make bench-operator`, or with BENCH="--runs 50 --minutes 1".

Settings of the operator are those of a user, but for variables AUTOLFADS_... in the environment.

Runs are added in steps; each is given time to settle and is then measured for some minutes. After that
the moments that cost most: the operator is started anew under all runs, all runs are deleted, and as many
fresh ones are applied at once. What is real and what is played is told in docs/operator-benchmark.md, which
this writes.
"""

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench_operator import page
from bench_operator.drivers import GENERATIONS_BEFORE, Pace
from bench_operator.laboratory import RAY_JOBS, RUNS, Laboratory
from bench_operator.sampling import Sampler, asked
from bench_operator.summary import Stretch, commits_of, summary
from bench_operator.watched import Watched
from kube.cluster import ROOT, wait_until

BIN_SECONDS = 10  # of `api_calls` in the series
LONGEST_SECONDS = 900.0  # a machine with other work is slow
LATEST_SECONDS = 20.0  # the last commits of a stretch need not be shown before the next one begins


class Bench:
    """The story, and what was measured while it was told."""

    def __init__(self, laboratory: Laboratory, minutes: float) -> None:
        self.laboratory, self.seconds = laboratory, 60 * minutes
        self.stretches: list[Stretch] = []
        self.began = time.time()
        self.watched = Watched(laboratory.cluster.client())
        self.sampler = Sampler(
            lambda: {
                **{name: process.pid for name, process in laboratory.processes().items()},
                "the benchmark itself": os.getpid(),
            }
        )
        self.operator = laboratory.operator("operator-1")
        self.operator.start()
        self.sampler.operator = self.operator

    def grow(self, runs: int, before: int) -> None:
        """More runs, until there are so many; then a while with all of them training."""
        names = [_name(number) for number in range(before, runs)]
        accepted = self._accept(names, runs) | self._train(runs)
        self._measured(f"{runs} runs", runs, self._wait, {**accepted, "is_training": True})

    def restart(self, runs: int) -> None:
        """The next operator takes over, as in an upgrade."""

        def again() -> dict[str, Any]:
            began = time.time()
            self.sampler.operator = None
            self.operator.stop()
            self.operator = self.laboratory.operator("operator-2")
            self.operator.start()
            ready = time.time() - began
            self.sampler.operator = self.operator
            self.sampler.take()
            time.sleep(max(0.0, min(60, self.seconds) - (time.time() - began)))
            return {"ready_seconds": ready}

        self._measured("operator started anew", runs, again)

    def delete(self, runs: int) -> None:
        """All runs at once."""

        def delete() -> dict[str, Any]:
            began = time.time()
            self.laboratory.delete([_name(number) for number in range(runs)])
            asked_seconds = time.time() - began
            self._until(lambda: self.laboratory.count(RUNS) == 0, pause=1)
            return {"delete_asked_seconds": asked_seconds, "gone_seconds": time.time() - began}

        self._measured(f"{runs} runs deleted", runs, delete)

    def burst(self, runs: int) -> None:
        """As many fresh runs at once."""
        names = [f"fresh-{number:04d}" for number in range(runs)]
        self._measured(f"{runs} fresh runs", runs, lambda: self._accept(names, runs))

    def close(self) -> None:
        self.sampler.close()
        self.watched.close()
        self.operator.stop()

    def report(self) -> list[dict[str, Any]]:
        """Every stretch in numbers."""
        calls, commits = asked(self.laboratory.cluster.audit_log), commits_of(self.laboratory.commits)
        return [
            summary(
                stretch,
                self.sampler.between(stretch.began, stretch.ended),
                calls,
                commits,
                self.watched.lag_seconds,
            )
            for stretch in self.stretches
        ]

    def series(self) -> dict[str, list[float]]:
        """What the plot shows over time; seconds since the beginning."""
        samples = list(self.sampler.samples)
        calls = Counter(
            int((call.at - self.began) // BIN_SECONDS) for call in asked(self.laboratory.cluster.audit_log)
        )
        return {
            "seconds": [sample.at - self.began for sample in samples],
            "memory_mib": [sample.sum("process_resident_memory_bytes") / 2**20 for sample in samples],
            "cpu_seconds": [sample.sum("process_cpu_seconds_total") for sample in samples],
            "runs": [sample.sum("autolfads_runs") for sample in samples],
            "store_calls": [sample.sum("autolfads_store_requests_total") for sample in samples],
            "loop_lag_seconds": [sample.sum("autolfads_loop_lag_seconds") for sample in samples],
            "queue_depth": [sample.sum("autolfads_queue_depth") for sample in samples],
            "api_calls": [float(calls[number]) for number in range(max(calls, default=0) + 1)],
        }

    def lags(self) -> dict[str, list[float]]:
        """Status lag of every commit while runs simply trained, by stretch."""
        commits = commits_of(self.laboratory.commits)
        return {
            stretch.name: sorted(
                lag
                for run, number, at in commits
                if stretch.began <= at < stretch.ended
                and (lag := self.watched.lag_seconds(run, number, at)) is not None
            )
            for stretch in self.stretches
            if stretch.more.get("is_training")
        }

    def _accept(self, names: list[str], runs: int) -> dict[str, Any]:
        began = time.time()
        self.laboratory.apply(names)
        applied = time.time() - began
        self._until(lambda: self.laboratory.count(RAY_JOBS) >= runs)
        seconds = time.time() - began
        return {"fresh": len(names), "applied_seconds": applied, "all_have_a_rayjob_seconds": seconds}

    def _train(self, runs: int) -> dict[str, Any]:
        """From then on it is KubeRay's turn: this is mostly its time."""
        began = time.time()
        self._until(lambda: self.watched.phases["Running"] >= runs)
        return {"more_until_all_train_seconds": time.time() - began}

    def _wait(self) -> dict[str, Any]:
        time.sleep(self.seconds)
        return {}

    def _measured(
        self, name: str, runs: int, what: Callable[[], dict[str, Any]], before: dict[str, Any] | None = None
    ) -> None:
        print(f"{time.time() - self.began:6.0f} s  {name}", flush=True)
        self.sampler.take()
        began = time.time() - 0.5  # the sample above is the first of it
        found = what()
        self.sampler.take()
        self.stretches.append(Stretch(name, began, time.time(), runs, {**(before or {}), **found}))

    def _until(self, question: Callable[[], bool], pause: float = 0.5) -> None:
        def answer() -> bool:
            assert self.operator.is_alive, self.operator.last_words()
            return question()

        wait_until(answer, seconds=LONGEST_SECONDS, pause=pause)


def measured(folder: Path, steps: Sequence[int], minutes: float, workers: int, pace: Pace) -> dict[str, Any]:
    """The whole benchmark."""
    began = time.time()
    with Laboratory(folder, steps[-1], workers, pace) as laboratory:
        os.environ["STORAGE_EMULATOR_HOST"] = laboratory.storage
        print(f"{time.time() - began:6.0f} s  the cluster is up; logs in {folder}", flush=True)
        bench = Bench(laboratory, minutes)
        try:
            before = 0
            for wanted in steps:
                bench.grow(wanted, before)
                before = wanted
            bench.restart(before)
            time.sleep(min(LATEST_SECONDS, bench.seconds))
            bench.delete(before)
            bench.burst(before)
        finally:
            bench.close()
        return {
            "machine": machine(),
            "runs": steps[-1],
            "workers": workers,
            "minutes": minutes,
            "heartbeat_seconds": pace.heartbeat_seconds,
            "generation_seconds": pace.generation_seconds,
            "generations_before": GENERATIONS_BEFORE,
            "seconds": time.time() - began,
            "began": bench.began,
            "stretches": bench.report(),
            "series": bench.series(),
            "lags": bench.lags(),
        }


def _name(number: int) -> str:
    return f"run-{number:04d}"


def machine() -> dict[str, Any]:
    """In words that name nobody."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"processors": os.cpu_count(), "memory_gib": round(memory), "python": platform.python_version()}


def _command(chosen: argparse.Namespace, words: argparse.ArgumentParser) -> str:
    """With what is not as usual; where the files go is nobody's business."""
    given = []
    for name, value in vars(chosen).items():
        if name != "output" and value != words.get_default(name):
            values = value if isinstance(value, list) else [value]
            given += [f"--{name.replace('_', '-')}", *(f"{one:g}" for one in values)]
    return "make bench-operator" + (f' BENCH="{" ".join(given)}"' if given else "")


def main() -> int:
    words = argparse.ArgumentParser(prog="bench_operator", description=__doc__)
    words.add_argument("--runs", type=int, nargs="+", default=[50, 200, 500], help="after each step")
    words.add_argument("--minutes", type=float, default=1.0, help="measured at each step")
    words.add_argument("--workers", type=int, default=1, help="of every run")
    words.add_argument("--heartbeat-seconds", type=float, default=Pace.heartbeat_seconds)
    words.add_argument("--generation-seconds", type=float, default=Pace.generation_seconds)
    words.add_argument("--output", type=Path, default=ROOT / "docs", help="where the three files go")
    chosen = words.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # off in what a shell starts in the background
    folder = Path(tempfile.mkdtemp(prefix="bench-operator-"))
    pace = Pace(chosen.heartbeat_seconds, chosen.generation_seconds)
    found = measured(folder, sorted(set(chosen.runs)), chosen.minutes, chosen.workers, pace)
    found["command"] = _command(chosen, words)
    chosen.output.mkdir(parents=True, exist_ok=True)
    (chosen.output / "operator-benchmark.json").write_text(json.dumps(page.small(found), indent=1) + "\n")
    page.draw(found, chosen.output / "operator-benchmark.png")
    (chosen.output / "operator-benchmark.md").write_text(page.text(found))
    print(page.table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
