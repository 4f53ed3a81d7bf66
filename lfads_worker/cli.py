"""The command `autolfads`: run, validate, report, infer, synthesize.

Only reads arguments and talks to the user; what a run consists of is in `local_run`. Heavy
imports are inside the commands, so that `--help` and mistakes are answered at once.
"""

import logging
import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autolfads_spec import AutoLFADSRun, load_run
from autolfads_spec.store import PATIENCE_SECONDS
from lfads_worker import interruption, log, summary
from lfads_worker.attempt import CountedAttempt, address_in, attempt_at
from lfads_worker.failures import EXIT_CODES, told
from lfads_worker.results.output import open_output
from lfads_worker.session import LogFormat, Session

if TYPE_CHECKING:
    from lfads_worker.data.synthetic import SyntheticData
    from lfads_worker.execution.device import Devices
    from lfads_worker.local_run import Prepared
    from lfads_worker.progress import Progress
    from lfads_worker.results.commit import Commits
    from lfads_worker.results.output import Output

logger = logging.getLogger(__name__)

# What trains cohorts; tests put a toy here. None: LFADS on TensorFlow.
make_trainer: Any = None
# What infers from new trials, likewise.
infer_posterior: Any = None

# \b keeps the lines as they are.
EPILOG = "\b\nExit codes:\n" + "\n".join(f"{code:5}  {meaning}" for code, meaning in EXIT_CODES.items())

app = typer.Typer(
    name="autolfads",
    help="Firing rates and latent dynamics from spike trains: LFADS tuned by population based training.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
synthesize = typer.Typer(
    name="synthesize",
    help="Make a recording with known rates, to try things out.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(synthesize)

SpecFile = Annotated[
    Path,
    typer.Argument(
        metavar="RUN.YAML",
        help="The run. Relative paths in it are relative to the current folder, wherever the file is.",
    ),
]


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"autolfads {version('autolfads')}")
        raise typer.Exit


@app.callback()
def autolfads(
    show_version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    pass


@app.command()
def run(
    spec_file: SpecFile,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Ray workers, one core or GPU each; 0 trains in this process. By default what is fastest "
            "here. The result is the same.",
        ),
    ] = None,
    output: Annotated[
        str | None, typer.Option(metavar="DIR", help="Folder of the results, instead of the one in RUN.YAML.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing but warnings and errors.")] = False,
    log_format: Annotated[
        LogFormat, typer.Option(help="Of standard error; json is for log collectors.")
    ] = LogFormat.TEXT,
    attempt: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="For the operator: the attempt that this driver makes, on the Ray cluster that RAY_ADDRESS "
            "names. It stops for later attempts and writes attempts/NN/end.json.",
        ),
    ] = None,
    store_patience: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            envvar="AUTOLFADS_STORE_PATIENCE",
            help="How long Cloud Storage may be out of reach before the run stops where it is.",
        ),
    ] = PATIENCE_SECONDS,
) -> None:
    """Train a population on this machine.

    Rates, factors and all other results go to the output folder of RUN.YAML. A run that was interrupted goes
    on after its last committed generation. A folder that holds another run, or anything else, is left alone.
    """
    with ExitStack() as stack:
        command = f"autolfads run {spec_file}" + (f" --output {output}" if output else "")
        session = Session(command, quiet, log_format)
        stack.enter_context(
            told(session.how_to_go_on, lambda: session.log_file, session.say, session.last_word)
        )
        stack.enter_context(interruption.prompt(lambda: f"interrupted: {session.how_to_go_on()}"))
        progress, handler = session.displays()
        stack.enter_context(log.to_console(handler, logging.WARNING if quiet else logging.INFO))
        if attempt is not None:  # whatever is wrong with RUN.YAML, the operator is told if it can be
            session.attempt = attempt_at(output or address_in(spec_file), attempt)
        asked = _with_output(load_run(spec_file), output)
        session.run = asked.metadata.name
        opened = stack.enter_context(open_output(asked.spec.output.uri, store_patience))
        if attempt is not None:
            session.attempt = CountedAttempt(opened.store, attempt)
        _run(asked, opened, workers, progress, session, stack)
        session.finish(_finished(asked))


def _run(
    asked: AutoLFADSRun,
    output: "Output",
    workers: int | None,
    progress: "Progress",
    session: Session,
    stack: ExitStack,
) -> None:
    from lfads_worker import output_folder
    from lfads_worker.execution.pool import CohortPool
    from lfads_worker.execution.trainers import TensorFlowTrainer
    from lfads_worker.local_run import prepare, require_same_recording, take_over, train

    attempt = session.attempt
    attempt.begin()
    if output_folder.inspect(asked, output, attempt.number) is output_folder.FolderState.FINISHED:
        require_same_recording(asked, output)
        session.show([_finished(asked)])
        return
    address = os.environ.get("RAY_ADDRESS")
    in_cluster = attempt.number is not None and address is not None
    devices = _devices(asked, in_cluster)
    prepared = prepare(asked, workers, devices, address)
    # An attempt is fenced by its number: it must not wait for an earlier one that nobody can reach.
    if attempt.number is None:
        stack.enter_context(output_folder.held(output))
    # Again: it may have been another's until now.
    state = output_folder.inspect(asked, output, attempt.number)
    if state is output_folder.FolderState.FINISHED:
        session.show([_finished(asked)])
        return
    output_folder.claim(asked, output)
    log_file = stack.enter_context(output_folder.log_kept(output))
    session.log_file = log_file if output.is_here else None
    stack.enter_context(log.to_file(log_file))
    prepared, commits = take_over(prepared, output, attempt)
    session.commits = commits

    session.show(summary.of_report(prepared.report))
    _say_first(
        prepared,
        commits,
        begun=state is output_folder.FolderState.BEGUN,
        ignored=() if in_cluster else asked.spec.compute.ignored_locally(),
        workers=workers,
    )

    def announce(pool: CohortPool) -> None:
        logger.info("training on %s%s", pool.description, _why(workers, prepared, str(devices)))
        interruption.interrupt_when_terminated(stack)  # once more: Ray has set its own way

    results = train(prepared, commits, output, progress, make_trainer or TensorFlowTrainer, announce, attempt)
    session.show(summary.of_results(results, asked.spec.output.uri))


@app.command()
def validate(spec_file: SpecFile) -> None:
    """Check RUN.YAML and its recording.

    Shows what would be trained on; trains nothing.
    """
    with told(lambda: "run the same command again", lambda: None):
        from lfads_worker.execution.device import find_devices
        from lfads_worker.local_run import prepare

        asked = load_run(spec_file)
        prepared = prepare(asked, None, find_devices())
        _print(summary.of_report(prepared.report))
        for warning in prepared.report.warnings:
            typer.echo(f"warning: {warning}", err=True)
        typer.echo(f"{spec_file} is valid: {summary.size_of(prepared.run.spec, len(prepared.cohorts))}")


Results = Annotated[
    str, typer.Argument(metavar="RESULTS", help="The output folder of a finished run.", show_default=False)
]


@app.command()
def report(results: Results) -> None:
    """Draw the report of a finished run again.

    The page, its figures and TensorBoard's event files are made from the files of the folder, none of which
    changes.
    """
    with told(lambda: "the report is not complete; run the same command again", lambda: None):
        from lfads_worker.report.write import write_report

        with open_output(results) as output:
            typer.echo(f"report: {write_report(output)}")


@app.command()
def infer(
    results: Results,
    recording: Annotated[
        str, typer.Argument(metavar="RECORDING", help="New trials of the same neurons.", show_default=False)
    ],
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.H5",
            help="Where rates and factors go; by default inferred/ in RESULTS, named like RECORDING. "
            "The MATLAB file is put beside it.",
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Posterior samples a trial to average, 0 for the posterior mean; by default as in the run.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
) -> None:
    """Apply a finished run to new trials of the same neurons.

    Trains nothing. RECORDING is read with the data settings of the run and may have any number of trials, but
    must have the same neurons and as many bins.
    """
    with told(lambda: "nothing was written", lambda: None):
        from lfads_worker import inference

        with open_output(results) as output:
            new = inference.apply(
                output, recording, infer_posterior or inference.with_tensorflow, out, samples, overwrite
            )
        _print(summary.of_new_rates(new))


OutputFile = Annotated[Path, typer.Argument(metavar="OUT.H5", help="The HDF5 file to write.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed makes the same file.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")]
Count = typer.Option(min=1)


@synthesize.command("lorenz")
def synthesize_lorenz(
    path: OutputFile,
    seed: Seed = 0,
    neurons: Annotated[int, Count] = 29,
    conditions: Annotated[int, typer.Option(min=1, help="Stretches of the system.")] = 65,
    trials_per_condition: Annotated[int, typer.Option(min=1, help="Trials of each.")] = 24,
    bins: Annotated[int, typer.Option(min=1, help="Bins of a trial.")] = 50,
    bin_width_ms: Annotated[int, typer.Option(min=1, help="Whole milliseconds.")] = 20,
    base_rate: Annotated[float, typer.Option(help="Spikes/s where all latents are 0.")] = 5.0,
    published_form: Annotated[
        bool,
        typer.Option(
            "--published-form",
            help="As published: latents over their signed maximum, at most one spike a millisecond.",
        ),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Neurons driven by a chaotic Lorenz system; the default sizes are the literature's."""
    with told(lambda: "nothing was written", lambda: None):
        from lfads_worker.data.synthetic import lorenz

        made = lorenz(
            seed=seed,
            neurons=neurons,
            conditions=conditions,
            trials_per_condition=trials_per_condition,
            bins=bins,
            bin_width_ms=bin_width_ms,
            base_rate=base_rate,
            published_form=published_form,
        )
        _write_synthetic(made, path, overwrite)


@synthesize.command("chaotic-rnn")
def synthesize_chaotic_rnn(
    path: OutputFile,
    seed: Seed = 0,
    neurons: Annotated[int, Count] = 50,
    conditions: Annotated[int, typer.Option(min=1, help="Initial states.")] = 130,
    trials_per_condition: Annotated[int, typer.Option(min=1, help="Trials of each.")] = 10,
    bins: Annotated[int, typer.Option(min=1, help="Bins of 10 ms of a trial.")] = 100,
    gain: Annotated[float, typer.Option(help="Chaos begins at 1.")] = 1.5,
    pulse: Annotated[bool, typer.Option("--pulse", help="An input pulse in each trial.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Neurons of a random recurrent network in its chaotic regime."""
    with told(lambda: "nothing was written", lambda: None):
        from lfads_worker.data.synthetic import chaotic_rnn

        made = chaotic_rnn(
            seed=seed,
            neurons=neurons,
            conditions=conditions,
            trials_per_condition=trials_per_condition,
            bins=bins,
            gain=gain,
            pulse=pulse,
        )
        _write_synthetic(made, path, overwrite)


def _write_synthetic(made: "SyntheticData", path: Path, overwrite: bool) -> None:
    from lfads_worker.data.writing import write_hdf5

    write_hdf5(made, path, overwrite)
    trials, bins, neurons = made.spikes.shape
    typer.echo(f"{path}: {trials} trials of {bins} bins ({made.bin_width_ms:g} ms) and {neurons} neurons")


def main() -> None:
    """The console command."""
    app(prog_name="autolfads")


def _with_output(asked: AutoLFADSRun, output: str | None) -> AutoLFADSRun:
    if output is None:
        return asked
    # Loaded anew, so that the rules of the spec hold for the folder too.
    document = asked.model_dump(mode="json", by_alias=True, exclude_none=True)
    document["spec"]["output"]["uri"] = output
    return load_run(document)


def _devices(asked: AutoLFADSRun, in_cluster: bool) -> "Devices":
    """What it is trained on: in a cluster what the spec asks for, since the head trains nothing."""
    from lfads_worker.execution.device import Devices, find_devices

    if not in_cluster:
        return find_devices()
    compute = asked.spec.compute
    return Devices.of_cluster(
        compute.accelerator.type if compute.accelerator else None, compute.workers.desired
    )


def _finished(asked: AutoLFADSRun) -> str:
    return f"{asked.metadata.name} is finished: its results are in {asked.spec.output.uri}"


def _say_first(
    prepared: "Prepared", commits: "Commits", begun: bool, ignored: Sequence[str], workers: int | None
) -> None:
    """What the user should know before it starts."""
    spec = prepared.run.spec
    if ignored:
        logger.info("ignored on this machine: %s", ", ".join(f"compute.{name}" for name in ignored))
    for warning in prepared.report.warnings:
        logger.warning("%s", warning)
    if workers is not None and workers > prepared.choice.workers:
        logger.info(
            "%d workers would find %d cohorts only: training with %d",
            workers,
            len(prepared.cohorts),
            prepared.choice.workers,
        )
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


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(line)
