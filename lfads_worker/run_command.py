"""`autolfads run`, from reading the spec to the last word: local or as an attempt of the operator's.

The order in which a folder is looked at, held, claimed and taken over, and what the user is told on the
way. What a run consists of is in `local_run`; arguments are read in `cli`.
"""

import logging
import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autolfads_spec import AutoLFADSRun, load_run
from lfads_worker import interruption, log, summary
from lfads_worker.attempt import CountedAttempt, address_in, attempt_at
from lfads_worker.failures import told
from lfads_worker.results.output import open_output
from lfads_worker.session import LogFormat, Session

if TYPE_CHECKING:
    from lfads_worker.execution.device import Devices
    from lfads_worker.local_run import Prepared
    from lfads_worker.progress import Progress
    from lfads_worker.results.commit import Commits
    from lfads_worker.results.output import Output

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """What the command line asks for.

    Attributes:
      spec_file: RUN.YAML.
      output: folder of the results, instead of the one in RUN.YAML.
      workers: Ray workers; None: what is fastest here.
      attempt: that this driver makes for the operator.
      store_patience_seconds: for Cloud Storage.
    """

    spec_file: Path
    output: str | None
    workers: int | None
    attempt: int | None
    store_patience_seconds: float

    @property
    def command(self) -> str:
        """That goes on with the run."""
        return f"autolfads run {self.spec_file}" + (f" --output {self.output}" if self.output else "")


def carry_out(asked: Asked, quiet: bool, log_format: LogFormat, make_trainer: Any) -> None:
    """Trains the population, or goes on with it, and writes its results.

    Args:
      asked: by the user.
      quiet: say nothing but warnings and errors.
      log_format: of standard error.
      make_trainer: see `execution.trainers`; None: LFADS on TensorFlow.

    Raises:
      typer.Exit: with one of `failures.EXIT_CODES`, after a sentence, when the run is not finished.
    """
    with ExitStack() as stack:
        session = Session(asked.command, quiet, log_format)
        stack.enter_context(
            told(session.how_to_go_on, lambda: session.log_file, session.say, session.last_word)
        )
        stack.enter_context(interruption.prompt(session.cut_short))
        progress, handler = session.displays()
        stack.enter_context(log.to_console(handler, logging.WARNING if quiet else logging.INFO))
        if asked.attempt is not None:  # whatever is wrong with RUN.YAML, the operator is told if it can be
            session.attempt = attempt_at(asked.output or address_in(asked.spec_file), asked.attempt)
        run = _with_output(load_run(asked.spec_file), asked.output)
        session.run = run.metadata.name
        opened = stack.enter_context(open_output(run.spec.output.uri, asked.store_patience_seconds))
        if asked.attempt is not None:
            session.attempt = CountedAttempt(opened.store, asked.attempt)
        _carry_out(run, opened, asked.workers, progress, session, make_trainer, stack)
        session.finish(_finished(run))


def _carry_out(
    run: AutoLFADSRun,
    output: "Output",
    workers: int | None,
    progress: "Progress",
    session: Session,
    make_trainer: Any,
    stack: ExitStack,
) -> None:
    from lfads_worker import output_folder
    from lfads_worker.execution.pool import CohortPool
    from lfads_worker.execution.trainers import TensorFlowTrainer
    from lfads_worker.local_run import prepare, require_same_recording, take_over, train
    from lfads_worker.results.collect import keep_data_check
    from lfads_worker.results.takeover import require_recording_of

    attempt = session.attempt
    attempt.begin()
    if output_folder.inspect(run, output, attempt.number) is output_folder.FolderState.FINISHED:
        require_same_recording(run, output)
        session.show([_finished(run)])
        return
    address = os.environ.get("RAY_ADDRESS")
    in_cluster = attempt.number is not None and address is not None
    devices = _devices(run, in_cluster)
    prepared = prepare(run, workers, devices, address, in_cluster)
    # An attempt is fenced by its number: it must not wait for an earlier one that nobody can reach.
    if attempt.number is None:
        stack.enter_context(output_folder.held(output))
    # Again: it may have been another's until now.
    state = output_folder.inspect(run, output, attempt.number)
    if state is output_folder.FolderState.FINISHED:
        session.show([_finished(run)])
        return
    # Before the folder is changed: what is refused is left as it was.
    require_recording_of(output.store, run, prepared.data.fingerprint)
    output_folder.claim(run, output)
    log_file = stack.enter_context(output_folder.log_kept(output))
    session.log_file = log_file if output.is_here else None
    stack.enter_context(log.to_file(log_file))
    prepared, commits = take_over(prepared, output, attempt)
    session.commits = commits

    keep_data_check(prepared.report, output)
    session.show(summary.of_report(prepared.report))
    _say_first(
        prepared,
        commits,
        begun=state is output_folder.FolderState.BEGUN,
        in_cluster=in_cluster,
    )

    def announce(pool: CohortPool) -> None:
        logger.info("training on %s%s", pool.description, _why(workers, prepared, str(devices)))
        interruption.interrupt_when_terminated(stack)  # once more: Ray has set its own way

    results = train(prepared, commits, output, progress, make_trainer or TensorFlowTrainer, announce, attempt)
    session.show(summary.of_results(results, run.spec.output.uri))


def _with_output(run: AutoLFADSRun, output: str | None) -> AutoLFADSRun:
    if output is None:
        return run
    # Loaded anew, so that the rules of the spec hold for the folder too.
    document = run.model_dump(mode="json", by_alias=True, exclude_none=True)
    document["spec"]["output"]["uri"] = output
    return load_run(document)


def _devices(run: AutoLFADSRun, in_cluster: bool) -> "Devices":
    """What it is trained on: in a cluster what the spec asks for, since the head trains nothing."""
    from lfads_worker.execution.device import Devices, find_devices

    if not in_cluster:
        return find_devices()
    compute = run.spec.compute
    return Devices.of_cluster(
        compute.accelerator.type if compute.accelerator else None, compute.workers.desired
    )


def _finished(run: AutoLFADSRun) -> str:
    return f"{run.metadata.name} is finished: its results are in {run.spec.output.uri}"


def _say_first(prepared: "Prepared", commits: "Commits", begun: bool, in_cluster: bool) -> None:
    """What the user should know before it starts."""
    from lfads_worker.execution.device import unused_gpus
    from lfads_worker.placement import without_work

    spec = prepared.run.spec
    ignored = () if in_cluster else spec.compute.ignored_locally()
    if ignored:
        logger.info("ignored on this machine: %s", ", ".join(f"compute.{name}" for name in ignored))
    unused = None if in_cluster else unused_gpus()
    if unused is not None:
        logger.warning("%s", unused)
    for warning in prepared.report.warnings:
        logger.warning("%s", warning)
    idle = without_work(spec, prepared.cohorts, prepared.site, has_begun=begun)
    if idle is not None:
        logger.warning("%s", idle)
    if prepared.restriction is not None:
        logger.info("%s", prepared.restriction)
    logger.info(
        "%s: %s", prepared.run.metadata.name, summary.size_of(prepared.run.spec, len(prepared.cohorts))
    )
    if commits.start is not None:
        logger.info(
            "going on after generation %d: %s",
            commits.generation,
            summary.committed(commits.start.generations),
        )
    elif begun:
        logger.info("%s holds this run without a committed generation; it starts again", spec.output.uri)


def _why(workers: int | None, prepared: "Prepared", devices: str) -> str:
    if workers is not None or prepared.choice.address:
        return ""
    return f" (this machine has {devices}; --workers chooses another number)"
