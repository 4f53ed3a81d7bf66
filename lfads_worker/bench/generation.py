"""How much of a generation is not training steps, on generations that the driver runs.

The driver runs a small population of the literature's Lorenz recording and
model with the pool that `autolfads run` picks on this machine, and commits
every generation to a folder; its clock gives the commit and the workers' waits.
What happens inside a cohort is then looked at in this process, with a watch
around the compiled program of a trainer like the workers'.
"""

import logging
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from pydantic.alias_generators import to_camel

from autolfads_spec import AutoLFADSRun, RunSpec, load_run
from autolfads_spec.store import FolderStore
from lfads_worker.bench.shapes import HYPERPARAMETERS, Shape, spikes
from lfads_worker.data.spikes import SpikeData
from lfads_worker.data.synthetic import lorenz
from lfads_worker.driver import Driver
from lfads_worker.execution.choice import choose
from lfads_worker.execution.cohorts import cut
from lfads_worker.execution.device import Devices
from lfads_worker.execution.environment import multiply_in_float32, prepare_this_process
from lfads_worker.execution.pool import TrainerFactory
from lfads_worker.execution.trainers import TensorFlowTrainer
from lfads_worker.history import GenerationRecord, Position
from lfads_worker.results import takeover
from lfads_worker.training.state import CohortTask

logger = logging.getLogger(__name__)

MEMBERS_ON_CPU, MEMBERS_ON_GPU = 2, 20  # of a cohort
COHORTS_PER_WORKER = 2
GENERATIONS = 3  # the first one compiles and is not counted
REPEATS = 2


@dataclass(frozen=True)
class Shares:
    """Shares of a generation's wall time, in [0, 1], the commit included in it.

    Attributes:
      validation: passes over the validation trials after each epoch.
      host: inside a cohort's training, everything outside the compiled program.
      waiting: workers without a cohort, the wait for the slowest one at the end included, and choosing
        who goes on.
      commit: writing checkpoints, record and manifest.
      seconds: of a generation.
      epochs: of a generation.
      members: of the population.
      workers: at work at the same time.
      recording: what was trained on.
    """

    validation: float
    host: float
    waiting: float
    commit: float
    seconds: float
    epochs: int
    members: int
    workers: int
    recording: str

    @property
    def overhead(self) -> float:
        """Neither training nor validation."""
        return self.host + self.waiting + self.commit

    @property
    def outside(self) -> float:
        """Everything but training steps."""
        return self.overhead + self.validation

    def document(self) -> dict[str, Any]:
        """The shares as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Study:
    """A recording and the settings it is trained with."""

    name: str
    data: SpikeData
    model: dict[str, Any]
    batch_size: int

    def run(self, members: int, epochs: int, folder: str) -> AutoLFADSRun:
        """A population whose generations are all of the same length."""
        at_once = {"startEpoch": 0, "epochs": 0}
        return load_run(
            {
                "apiVersion": "autolfads.dev/v1alpha1",
                "kind": "AutoLFADSRun",
                "metadata": {"name": "benchmark"},
                "spec": {
                    "data": {"uri": "benchmark.h5"},
                    "output": {"uri": folder},
                    "model": self.model,
                    "training": {"batchSize": self.batch_size, "klRamp": at_once, "l2Ramp": at_once},
                    "population": {
                        "size": members,
                        "generations": GENERATIONS,
                        "epochsPerGeneration": epochs,
                    },
                },
            }
        )


@dataclass(frozen=True)
class Driven:
    """A generation as the driver saw it: seconds of wall time.

    Attributes:
      total: from the commit before to the end of its own.
      commit: of that, writing.
      record: what the driver wrote down, with the seconds of each cohort.
    """

    total: float
    commit: float
    record: GenerationRecord


def measure_shares(study: Study, epochs: int, devices: Devices) -> Shares:
    """Run a few generations and look at where the time went."""
    gpus = devices.kind == "gpu"
    size = MEMBERS_ON_GPU if gpus else MEMBERS_ON_CPU
    members = size * COHORTS_PER_WORKER * devices.count
    workers = choose(None, COHORTS_PER_WORKER * devices.count, devices).workers or 1
    # Ray comes first: its workers want the memory that a compiled program keeps.
    driven = drive(study, members, size, epochs, devices)
    return summed_up(driven, _inside(study, size, epochs, gpus), workers, study.name)


def summed_up(driven: Sequence[Driven], inside: tuple[float, float], workers: int, recording: str) -> Shares:
    """Shares of the whole from what the driver saw and what happens inside a cohort.

    Args:
      driven: generations.
      inside: shares of a cohort's seconds that are the host's and validation.
      workers: at work at the same time.
      recording: what was trained on.
    """
    host, validation = inside
    total = sum(each.total for each in driven)
    committing = sum(each.commit for each in driven) / total
    busy = sum(sum(each.record.cohort_seconds) for each in driven) / (workers * total)
    record = driven[0].record
    return Shares(
        validation=busy * validation,
        host=busy * host,
        waiting=max(0.0, 1.0 - committing - busy),
        commit=committing,
        seconds=total / len(driven),
        epochs=record.epochs,
        members=record.population.size,
        workers=workers,
        recording=recording,
    )


def drive(
    study: Study,
    members: int,
    cohort_size: int,
    epochs: int,
    devices: Devices,
    make_trainer: Callable[[RunSpec, SpikeData], TrainerFactory] = TensorFlowTrainer,
) -> list[Driven]:
    """Generations after the first one, run and committed as `autolfads run` does."""
    marks: list[tuple[float, float, GenerationRecord]] = []
    with TemporaryDirectory() as folder:
        run = study.run(members, epochs, folder)
        cohorts = cut(members, cohort_size)
        commits = takeover.take_over(FolderStore(Path(folder)), run, study.data.fingerprint, cohorts, {})

        def on_generation(position: Position) -> None:
            began = time.monotonic()
            commits.commit(position)
            marks.append((began, time.monotonic(), position.generations[-1]))
            logger.info("overhead: generation %d of %d driven", len(marks), GENERATIONS)

        choice = choose(None, len(cohorts), devices)
        logger.info("overhead: %d members of %s, compiling", members, study.name)
        with choice.open(make_trainer(run.spec, study.data)) as pool:
            Driver(run.spec, cohorts, pool, on_generation=on_generation).run()
    return [
        Driven(total=ended - before, commit=ended - began, record=record)
        for (_, before, _), (began, ended, record) in pairwise(marks)
    ]


def _inside(study: Study, members: int, epochs: int, gpus: bool) -> tuple[float, float]:
    """Shares of a cohort's seconds: outside the program, and in it for validation."""
    threads = None if gpus else 1
    prepare_this_process(threads)
    from lfads_worker.training.trainer import CohortTrainer

    if gpus:
        multiply_in_float32()
    spec = study.run(members, epochs, "benchmark").spec
    logger.info("overhead: compiling with and without validation")
    trainer = CohortTrainer(spec, study.data, threads)
    without = CohortTrainer(spec, replace(study.data, valid=study.data.valid[:1]), threads)
    # On a CPU processor time: the same as the clock's on an idle machine, and right on a busy one.
    clock = time.perf_counter if gpus else time.process_time
    watches = [Stopwatch(each, clock) for each in (trainer, without)]
    task = _task(members, epochs)
    for watch in watches:
        watch.generation(task)  # compiles
    host, validation = [], []
    for number in range(REPEATS):
        (total, inside), (_, training) = (watch.generation(task) for watch in watches)
        host.append((total - inside) / total)
        validation.append((inside - training) / total)
        logger.info("overhead: reading %d of %d inside a cohort", number + 1, REPEATS)
    return statistics.median(host), max(0.0, statistics.median(validation))


class Stopwatch:
    """Counts the seconds that a trainer spends inside its compiled program."""

    def __init__(self, trainer: Any, clock: Callable[[], float]) -> None:
        program = trainer._program
        self._trainer, self._clock, self._seconds, run = trainer, clock, 0.0, program.run

        def timed(*arguments: Any) -> Any:
            began = clock()
            state, log = run(*arguments)
            log = np.asarray(log)  # waits for a device that runs ahead
            self._seconds += clock() - began
            return state, log

        program.run = timed

    def generation(self, task: CohortTask) -> tuple[float, float]:
        """Seconds of a generation, and of it inside the program."""
        self._seconds, began = 0.0, self._clock()
        self._trainer.train_generation(task)
        return self._clock() - began, self._seconds


def literature_study() -> Study:
    """1,560 trials of 29 neurons and 50 bins of 20 ms; every fifth trial validates."""
    made = lorenz()
    counts = made.spikes.astype(np.float32)
    data = _recording(counts, counts.shape[2], counts.shape[1], made.bin_width_ms)
    return Study("the literature's Lorenz recording", data, {"preset": "Lorenz"}, 500)


def study_of(shape: Shape) -> Study:
    """One of the shapes as a recording of four minibatches to train on and one to validate."""
    counts = spikes(shape, 5 * shape.batch)
    data = _recording(counts, shape.held_in_neurons, shape.encoded_bins, 10.0)
    widths = {to_camel(name): width for name, width in shape.widths.items()}
    return Study(f"the shape {shape.name}", data, widths, shape.batch)


def _recording(counts: Any, held_in_neurons: int, encoded_bins: int, bin_width_ms: float) -> SpikeData:
    trials = np.arange(len(counts))
    return SpikeData(
        spikes=counts,
        train=trials[trials % 5 != 0],
        valid=trials[trials % 5 == 0],
        held_in_neurons=held_in_neurons,
        encoded_bins=encoded_bins,
        bin_width_ms=bin_width_ms,
        external_inputs=np.zeros((*counts.shape[:2], 0), np.float32),
        true_rates=None,
        conditions=None,
        fingerprint="0" * 64,
        source="the benchmark",
    )


def _task(members: int, epochs: int) -> CohortTask:
    values: Sequence[dict[str, float]] = [dict(HYPERPARAMETERS)] * members
    return CohortTask(0, 0, 0, epochs, tuple(range(members)), None, tuple(values))
