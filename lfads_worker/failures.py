"""How the command line ends when something goes wrong: a sentence and an exit code, never a traceback.

The exit codes are the ones that `autolfads --help` documents.
"""

import logging
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import typer

from autolfads_spec.errors import AutoLFADSError, DeniedError
from lfads_worker.errors import is_denied_output

logger = logging.getLogger(__name__)

# The operator reads DENIED: a driver that may not write its output folder has no other way to tell.
INTERNAL, DENIED, INTERRUPTED = 1, DeniedError.exit_code, 130

EXIT_CODES = {
    0: "done",
    INTERNAL: "a fault of the program; the message names the file with the details",
    2: "run.yaml or the command line is not valid",
    3: "the recording cannot be used",
    4: "all members diverged",
    5: "the output folder cannot be used",
    6: "the device is missing or too small",
    DENIED: "a bucket may not be used: a role or credentials are missing, or there is no such bucket",
    INTERRUPTED: "interrupted",
}


class End(NamedTuple):
    """What is said of something that went wrong.

    Attributes:
      word: what kind of end it is: error, interrupted, or nothing where nothing is wrong.
      sentence: for the user, without that word; several lines have several.
      exit_code: of the process.
    """

    word: str
    sentence: str
    exit_code: int

    def lines(self) -> Iterator[str]:
        """What standard error says."""
        for line in self.sentence.splitlines():
            yield f"{self.word}: {line}" if self.word else line


def to_standard_error(end: End) -> None:
    """Says how it ended in plain words."""
    for line in end.lines():
        typer.echo(line, err=True)


@contextmanager
def told(
    when_interrupted: Callable[[], str],
    log_file: Callable[[], Path | None],
    say: Callable[[End], None] = to_standard_error,
    last_word: Callable[[BaseException, End], None] = lambda error, end: None,
) -> Iterator[None]:
    """Turns whatever is raised inside into a sentence and an exit code.

    Args:
      when_interrupted: how to go on after Ctrl-C.
      log_file: where the details of a fault go; None for a new file in the folder for temporary files.
      say: tells the user.
      last_word: called after that, with what was raised.
    """
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except BaseException as error:
        end = judge(error, when_interrupted, log_file)
        say(end)
        last_word(error, end)
        raise typer.Exit(end.exit_code) from error


def judge(
    error: BaseException, when_interrupted: Callable[[], str], log_file: Callable[[], Path | None]
) -> End:
    """How a command ends that has raised this; the arguments are those of `told`."""
    if isinstance(error, AutoLFADSError):
        exit_code = DENIED if is_denied_output(error) else error.exit_code
        return End("error" if exit_code else "", str(error), exit_code)
    if isinstance(error, KeyboardInterrupt | SystemExit):  # Ray turns SIGTERM into the second
        return End("interrupted", when_interrupted(), INTERRUPTED)
    if isinstance(error, MemoryError):
        return End(
            "error",
            "wanted more memory than this machine has free; lower training.batchSize or "
            "compute.membersPerCohort, use fewer --workers, or a larger data.rebinMs",
            6,
        )
    path = _write_traceback(log_file())
    reason = str(error).strip().split("\n")[0]
    return End(
        "error",
        f"the program failed at something it should be able to do "
        f"({type(error).__name__}{': ' if reason else ''}{reason}); "
        f"the details are in {path}: please report them",
        INTERNAL,
    )


def _write_traceback(log_file: Path | None) -> Path:
    if log_file is None:
        with tempfile.NamedTemporaryFile(prefix="autolfads-", suffix=".log", delete=False) as file:
            log_file = Path(file.name)
    with log_file.open("a", encoding="utf-8") as file:
        file.write(traceback.format_exc())
    return log_file
