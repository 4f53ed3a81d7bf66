"""A run on this machine from its YAML to its results, step by step.

The place where the parts are put together: recording, cohorts, pool, driver, results.
Console and signals are the command line's business.
"""

import _thread
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from autolfads_spec import AutoLFADSRun, RunSpec
from autolfads_spec.errors import AutoLFADSError, StoreError
from lfads_worker import output_folder
from lfads_worker.attempt import Attempt
from lfads_worker.compatibility import require_fit
from lfads_worker.data.check import DataReport, check
from lfads_worker.data.files import load_spikes
from lfads_worker.data.source import fingerprint, open_source, version
from lfads_worker.data.spikes import SpikeData
from lfads_worker.driver import Driver
from lfads_worker.errors import DataError
from lfads_worker.execution.choice import Choice
from lfads_worker.execution.cohorts import Cohorts
from lfads_worker.execution.device import Devices
from lfads_worker.execution.pool import CohortPool, TrainerFactory
from lfads_worker.execution.trainers import TensorFlowTrainer
from lfads_worker.history import Position
from lfads_worker.placement import Site, cut_population, place
from lfads_worker.progress import Followed, Progress
from lfads_worker.results import takeover
from lfads_worker.results.collect import collect
from lfads_worker.results.commit import Commits
from lfads_worker.results.output import Output
from lfads_worker.results.provenance import versions
from lfads_worker.results.resume import NAMES, read_manifest
from lfads_worker.results.weights import named_arrays

logger = logging.getLogger(__name__)

MakeTrainer = Callable[[RunSpec, SpikeData], TrainerFactory]

NOBODY_COUNTS = Attempt()


@dataclass(frozen=True)
class Prepared:
    """A run that could start: its recording is good, and it is known how it will be trained.

    Attributes:
      restriction: why there are fewer workers than there could be, see `Placement`.
      recording_version: of the recording's file in a bucket, see `Manifest`.
    """

    run: AutoLFADSRun
    data: SpikeData
    site: Site
    report: DataReport
    cohorts: Cohorts
    choice: Choice
    restriction: str | None
    recording_version: str | None = None

    @classmethod
    def of(
        cls,
        run: AutoLFADSRun,
        data: SpikeData,
        site: Site,
        cohorts: Cohorts,
        recording_version: str | None,
    ) -> "Prepared":
        """Places these cohorts, and says what the recording and its training look like."""
        placement = place(run.spec, data, cohorts, site)
        report = check(
            data,
            run.spec.model.output_distribution,
            placement.needed_bytes,
            placement.available_bytes,
            placement.cure,
        )
        return cls(
            run, data, site, report, cohorts, placement.choice, placement.restriction, recording_version
        )


def prepare(
    run: AutoLFADSRun,
    workers: int | None,
    devices: Devices,
    address: str | None = None,
    grows: bool = False,
) -> Prepared:
    """Reads and checks the recording and decides how to train; starts nothing.

    Args:
      run: the run.
      workers: asked for by the user; 0 for this process, None for whatever is fastest.
      devices: of this machine, or of the cluster's workers.
      address: of a running Ray cluster.
      grows: see `Site`.

    Raises:
      DataError: if the recording cannot be used.
      SpecError: if the model does not fit it.
    """
    spec = run.spec
    before = version(spec.data.uri)
    data = load_spikes(spec.data, spec.model.output_distribution)
    unchanged = before is not None and version(spec.data.uri) == before
    require_fit(spec, data)
    site = Site(devices, workers, address, grows)
    return Prepared.of(run, data, site, cut_population(spec, data, site), before if unchanged else None)


def require_same_recording(run: AutoLFADSRun, output: Output) -> None:
    """Checks that the results in the output folder are those of the recording that is there now.

    A recording that has moved away since is nobody's fault: the results stay what they are.
    One in a bucket is read only if its version is not the one that was trained on.

    Raises:
      OutputError: if its content has changed.
    """
    try:
        results = output.store.read(NAMES.results).content
        trained_on = json.loads(results)["data"]["fingerprint"]
        if _has_version_of(run, output, trained_on):
            return
        with open_source(run.spec.data.uri) as path:
            found = fingerprint(path)
    except (StoreError, OSError, ValueError, KeyError, DataError):
        return
    takeover.require_same_recording(run, trained_on, found)


def _has_version_of(run: AutoLFADSRun, output: Output, trained_on: str) -> bool:
    """Whether the recording's file has the version of the one with this fingerprint, as far as is known."""
    manifest = read_manifest(output.store).manifest
    if manifest is None or manifest.fingerprint != trained_on or manifest.recording_version is None:
        return False
    return version(run.spec.data.uri) == manifest.recording_version


def take_over(
    prepared: Prepared, output: Output, attempt: Attempt = NOBODY_COUNTS
) -> tuple[Prepared, Commits]:
    """Makes this process the run's driver; the run keeps the cut into cohorts that it began with."""
    run = prepared.run
    commits = takeover.take_over(
        output.store,
        run,
        prepared.data.fingerprint,
        prepared.cohorts,
        versions() | {"device": prepared.site.devices.kind_in_words},
        attempt.number,
        prepared.recording_version,
    )
    if commits.cohorts == prepared.cohorts:
        return prepared, commits
    return (
        Prepared.of(run, prepared.data, prepared.site, commits.cohorts, prepared.recording_version),
        commits,
    )


def train(
    prepared: Prepared,
    commits: Commits,
    output: Output,
    progress: Progress,
    make_trainer: MakeTrainer = TensorFlowTrainer,
    on_pool: Callable[[CohortPool], None] = lambda pool: None,
    attempt: Attempt = NOBODY_COUNTS,
) -> dict[str, Any]:
    """Trains what is left of the population and writes all results.

    Args:
      prepared: the run.
      commits: where it stands, and where every generation is committed.
      output: where results go.
      progress: shows the user how far it is.
      make_trainer: what trains a cohort.
      on_pool: called once the pool is there and before anything is trained.
      attempt: at the run.

    Returns:
      The contents of `results.json`.

    Raises:
      PausedError: if the operator wants a pause, between two generations or while there is no worker.
    """
    run, data, spec = prepared.run, prepared.data, prepared.run.spec

    def commit_generation(position: Position) -> None:
        commits.commit(position)
        output_folder.publish_log(output)
        if position.stop_reason is None:
            attempt.look()
            attempt.require_wanted()

    attempt.look()
    attempt.require_wanted()
    followed = Followed(progress)
    with commits.hold.alive(
        interrupt=_thread.interrupt_main,
        at_heartbeat=attempt.look,
        telling=lambda: {"seconds_left": followed.seconds_left},
    ):
        with prepared.choice.open(
            make_trainer(spec, data),
            while_waiting=attempt.require_wanted,
            allowed_losses=spec.retry.max_member_failures,
        ) as pool:
            on_pool(pool)
            driver = Driver(
                spec, prepared.cohorts, pool, followed, commit_generation, attempt.asked_to_finish
            )
            history = driver.run(commits.start)
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
        commits.hold.renew()
        return collect(
            run,
            data,
            # Without this machine's memory: what is left behind is the same wherever the run was trained.
            check(data, spec.model.output_distribution),
            history,
            posterior,
            weights,
            output,
            partial(_draw_report, run, output),
        )


def _draw_report(run: AutoLFADSRun, output: Output, results: Mapping[str, Any]) -> None:
    """Draws the report before the run counts as finished; a fault of a figure spoils no result."""
    if not run.spec.output.report:
        return
    from lfads_worker.report.write import write_report

    try:
        logger.info("report: %s", write_report(output, results))
    except AutoLFADSError:
        raise  # a full disk is no fault of a figure
    except Exception as error:
        logger.warning(
            "the report could not be drawn (%s: %s); the results are whole, and "
            "`autolfads report %s` draws it again",
            type(error).__name__,
            error,
            output.store.address,
        )
        logger.debug("the report could not be drawn", exc_info=True)
