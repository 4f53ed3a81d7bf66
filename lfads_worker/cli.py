"""The command `autolfads`: run, validate, report, infer, synthesize.

Only reads arguments and prints answers; `run` is carried out by `run_command`. Heavy
imports are inside the commands, so that `--help` and mistakes are answered at once.
"""

from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autolfads_spec import load_run
from autolfads_spec.store import PATIENCE_SECONDS
from lfads_worker import run_command, summary
from lfads_worker.failures import EXIT_CODES, told
from lfads_worker.results.output import open_output
from lfads_worker.session import LogFormat

if TYPE_CHECKING:
    from lfads_worker.data.synthetic import SyntheticData


# What trains cohorts; tests put a toy here. None: LFADS on TensorFlow.
make_trainer: Any = None
# What infers from new trials, likewise.
infer_posterior: Any = None

# How long `validate` waits for a bucket that does not answer.
SECONDS_TO_LOOK = 10.0
# For a driver that has to wake its GPUs up: `validate` is to answer at once, a run can wait.
VALIDATE_PATIENCE_SECONDS = 2.0

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
            "here, as far as memory carries. The result is the same.",
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
    asked = run_command.Asked(spec_file, output, workers, attempt, store_patience)
    run_command.carry_out(asked, quiet, log_format, make_trainer)


@app.command()
def validate(spec_file: SpecFile) -> None:
    """Check RUN.YAML, its recording and its output folder.

    Shows what would be trained on; trains and writes nothing.
    """
    with told(lambda: "run the same command again", lambda: None):
        from lfads_worker import output_folder
        from lfads_worker.execution.device import find_devices
        from lfads_worker.local_run import prepare

        asked = load_run(spec_file)
        prepared = prepare(asked, None, find_devices(VALIDATE_PATIENCE_SECONDS))
        _print(summary.of_report(prepared.report))
        for warning in prepared.report.warnings:
            typer.echo(f"warning: {warning}", err=True)
        where = asked.spec.output.uri
        with open_output(where, SECONDS_TO_LOOK) as output:
            typer.echo(f"{where} holds {output_folder.inspect(asked, output).value}")
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


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(line)
