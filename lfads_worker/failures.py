"""How the command line ends when something goes wrong: a sentence and an exit code, never a traceback.

The exit codes are the ones that `autolfads --help` documents.
"""

import logging
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from autolfads_spec.errors import AutoLFADSError

logger = logging.getLogger(__name__)

INTERNAL, INTERRUPTED = 1, 130

EXIT_CODES = {
    0: "done",
    INTERNAL: "a fault of the program; the message names the file with the details",
    2: "run.yaml or the command line is not valid",
    3: "the recording cannot be used",
    4: "all members diverged",
    5: "the output folder cannot be used",
    6: "the device is missing or too small",
    INTERRUPTED: "interrupted",
}


@contextmanager
def told(when_interrupted: Callable[[], str], log_file: Callable[[], Path | None]) -> Iterator[None]:
    """Turns whatever is raised inside into a sentence on standard error and an exit code.

    Args:
      when_interrupted: how to go on after Ctrl-C.
      log_file: where the details of a fault go; None for a new file in the folder for temporary files.
    """
    try:
        yield
    except AutoLFADSError as error:
        for line in str(error).splitlines():
            _say(f"error: {line}")
        raise typer.Exit(error.exit_code) from error
    except (KeyboardInterrupt, SystemExit) as error:  # Ray turns SIGTERM into the second
        _say(f"interrupted: {when_interrupted()}")
        raise typer.Exit(INTERRUPTED) from error
    except MemoryError as error:
        _say(
            "error: wanted more memory than this machine has free; lower training.batchSize or "
            "compute.membersPerCohort, use fewer --workers, or a larger data.rebinMs"
        )
        raise typer.Exit(6) from error
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        path = _write_traceback(log_file())
        reason = str(error).strip().split("\n")[0]
        _say(
            f"error: the program failed at something it should be able to do "
            f"({type(error).__name__}{': ' if reason else ''}{reason}); "
            f"the details are in {path}: please report them"
        )
        raise typer.Exit(INTERNAL) from error


def _say(sentence: str) -> None:
    typer.echo(sentence, err=True)


def _write_traceback(log_file: Path | None) -> Path:
    if log_file is None:
        with tempfile.NamedTemporaryFile(prefix="autolfads-", suffix=".log", delete=False) as file:
            log_file = Path(file.name)
    with log_file.open("a", encoding="utf-8") as file:
        file.write(traceback.format_exc())
    return log_file
