"""Trains cohorts of one shape on the Ray workers that runs use, and times it; answers JSON lines.

The same program as in `ours`, a cohort a worker, and around it what a run on Ray has too: the queue, the
cohort's state on its way to a worker, and the trained one on its way back. A cohort is given out once for
all calls of an order, which take seconds; in a run it is given out once in a generation, which takes minutes.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence

from lfads_worker.bench.answering import answer, memory_mb
from lfads_worker.bench.ours import OneShape
from lfads_worker.bench.shapes import HYPERPARAMETERS, SHAPES
from lfads_worker.execution.ray_pool import RayPool
from lfads_worker.training.state import CohortResult, CohortState, CohortTask


def main() -> None:
    """Compile, warm up and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=sorted(SHAPES), required=True)
    parser.add_argument("--members", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True, help="training steps in one call")
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1, help="0 for workers with a GPU each")
    arguments = parser.parse_args()
    factory, gpus = OneShape(arguments.shape, arguments.members, arguments.steps), not arguments.threads
    threads = arguments.threads or None
    with RayPool(factory, arguments.workers, gpus=gpus, threads=threads) as pool:
        training = Training(pool, arguments.workers, arguments.members)
        first_call_seconds = max(result.seconds for result in training.train(1))
        training.train(1)
        answer(
            device="gpu" if gpus else "cpu",
            first_call_seconds=first_call_seconds,
            member_steps=arguments.workers * arguments.members * arguments.steps,
            peak_mb=training.peak_mb(),
        )
        for line in sys.stdin:
            began, cpu_began = time.perf_counter(), training.cpu_seconds()
            training.train(json.loads(line)["calls"])
            answer(
                seconds=time.perf_counter() - began,
                cpu_seconds=training.cpu_seconds() - cpu_began,
                peak_mb=training.peak_mb(),
            )


class Training:
    """A cohort for each worker of a pool, trained again and again from where it was."""

    def __init__(self, pool: RayPool, workers: int, members: int) -> None:
        self._pool, self._workers, self._members = pool, workers, members
        self._states: dict[int, CohortState] = {}
        self._rounds = 0
        self._processes = pool.process_ids()  # all are there, so each gets a cohort

    def train(self, calls: int) -> Sequence[CohortResult]:
        """All workers at once, each a cohort for so many calls."""
        values = (dict(HYPERPARAMETERS),) * self._members
        ids = tuple(range(self._members))
        tasks = [
            CohortTask(number, self._rounds, 0, calls, ids, self._states.get(number), values)
            for number in range(self._workers)
        ]
        results = list(self._pool.train(tasks, lambda cohort, epochs_done, epochs: None))
        self._states = {result.cohort: result.state for result in results}
        self._rounds += 1
        return results

    def cpu_seconds(self) -> float:
        """Processor time of the workers since they started."""
        return sum(_cpu_seconds(process) for process in self._processes)

    def peak_mb(self) -> int:
        """Of the largest worker."""
        return max(memory_mb(process) for process in self._processes)


def _cpu_seconds(process: int) -> float:
    """As Linux counts it, in steps of a hundredth: of all threads, in the program and in the kernel."""
    with open(f"/proc/{process}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
