"""A run on this machine from its YAML to its results, step by step.

The place where the parts are put together: recording, cohorts, pool, driver, results.
Console and signals are the command line's business.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from autolfads_spec import AutoLFADSRun, RunSpec
from lfads_worker.compatibility import require_fit
from lfads_worker.data import memory
from lfads_worker.data.check import DataReport, check
from lfads_worker.data.files import load_spikes
from lfads_worker.data.spikes import SpikeData
from lfads_worker.driver import Driver
from lfads_worker.execution.choice import Choice, choose
from lfads_worker.execution.cohorts import Cohorts, cut, members_per_cohort
from lfads_worker.execution.device import (
    ACCELERATOR_BYTES,
    SMALLEST_ACCELERATOR_BYTES,
    Devices,
    memory_bytes,
)
from lfads_worker.execution.pool import CohortPool, TrainerFactory
from lfads_worker.execution.trainers import TensorFlowTrainer
from lfads_worker.progress import Progress
from lfads_worker.results.collect import collect
from lfads_worker.results.weights import named_arrays

logger = logging.getLogger(__name__)

MakeTrainer = Callable[[RunSpec, SpikeData], TrainerFactory]


@dataclass(frozen=True)
class Prepared:
    """A run that could start: its recording is good, and it is known how it will be trained."""

    run: AutoLFADSRun
    data: SpikeData
    report: DataReport
    cohorts: Cohorts
    choice: Choice


def prepare(run: AutoLFADSRun, workers: int | None, devices: Devices, address: str | None = None) -> Prepared:
    """Reads and checks the recording and decides how to train; starts nothing.

    Args:
      run: the run.
      workers: asked for by the user; 0 for this process, None for whatever is fastest.
      devices: of this machine.
      address: of a running Ray cluster.

    Raises:
      DataError: if the recording cannot be used.
      SpecError: if the model does not fit it.
    """
    spec = run.spec
    data = load_spikes(spec.data, spec.model.output_distribution)
    require_fit(spec, data)
    size = members_per_cohort(
        spec.compute.members_per_cohort,
        spec.population.size,
        devices.kind,
        member_bytes=memory.of_run(data, spec, 2) - memory.of_run(data, spec, 1),
        device_bytes=_accelerator_bytes(spec),
    )
    cohorts = cut(spec.population.size, size)
    choice = choose(workers, len(cohorts), devices, spec.compute.workers.desired, address)
    at_once = max(choice.workers, 1)
    report = check(
        data,
        spec.model.output_distribution,
        memory_bytes=at_once * memory.of_run(data, spec, len(cohorts[0])),
        available_bytes=memory_bytes() if devices.kind == "cpu" and address is None else None,
    )
    return Prepared(run, data, report, cohorts, choice)


def train(
    prepared: Prepared,
    progress: Progress,
    make_trainer: MakeTrainer = TensorFlowTrainer,
    on_pool: Callable[[CohortPool], None] = lambda pool: None,
) -> dict[str, Any]:
    """Trains the population and writes all results.

    Args:
      prepared: the run.
      progress: shows the user how far it is.
      make_trainer: what trains a cohort.
      on_pool: called once the pool is there and before anything is trained.

    Returns:
      The contents of `results.json`.
    """
    started = time.monotonic()
    run, data, spec = prepared.run, prepared.data, prepared.run.spec
    with prepared.choice.open(make_trainer(spec, data)) as pool:
        on_pool(pool)
        history = Driver(spec, prepared.cohorts, pool, progress).run()
        best = history.best
        samples = spec.output.posterior_samples
        logger.info(
            "%s of member %d, generation %d",
            f"averaging {samples} posterior samples" if samples else "taking the posterior mean",
            best.member,
            best.generation,
        )
        posterior = pool.posterior_averages(best.state, 0, samples)
        weights = named_arrays(best.state.weights[0], pool.parameter_names_and_shapes())
    return collect(
        run,
        data,
        prepared.report,
        history,
        posterior,
        weights,
        spec.output.paths,
        wall_seconds=time.monotonic() - started,
    )


def _accelerator_bytes(spec: RunSpec) -> int:
    asked = spec.compute.accelerator
    return (
        ACCELERATOR_BYTES.get(asked.type, SMALLEST_ACCELERATOR_BYTES) if asked else SMALLEST_ACCELERATOR_BYTES
    )
