"""One `autolfads run` as those see it who look on: its console, its log, and its last words.

A person on a terminal sees a table that moves, a file plain lines, and a cluster's log collector
one JSON object a line with nothing of the recording in it. Decides nothing about the run.
"""

import contextlib
import logging
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from autolfads_spec.attempt import EndClass
from autolfads_spec.errors import AutoLFADSError
from lfads_worker.attempt import Attempt, end_class
from lfads_worker.errors import FencedError
from lfads_worker.failures import End, judge, to_standard_error
from lfads_worker.log import JsonLines

if TYPE_CHECKING:
    from lfads_worker.progress import Progress
    from lfads_worker.results.commit import Commits

logger = logging.getLogger(__name__)

DRIVER = "lfads_worker.driver"


class LogFormat(StrEnum):
    """How log lines are written."""

    TEXT = "text"
    JSON = "json"


@dataclass
class Session:
    """What is known of a run, however early it ends.

    Attributes:
      command: that goes on with it.
      quiet: nothing but warnings and errors.
      log_format: of the console.
      run: its name.
      log_file: with all details; None while there is none that stays.
      attempt: at the run.
      commits: where it stands, once this process is its driver.
    """

    command: str
    quiet: bool = False
    log_format: LogFormat = LogFormat.TEXT
    run: str | None = None
    log_file: Path | None = None
    attempt: Attempt = field(default_factory=Attempt)
    commits: "Commits | None" = None

    def how_to_go_on(self) -> str:
        """Words after "interrupted: "."""
        generation = self.commits.look() if self.commits else None
        if generation is None:
            return f"no generation was committed; the same command starts again: {self.command}"
        return (
            f"generation {generation} and all before it are committed; "
            f"the same command goes on from there: {self.command}"
        )

    def displays(self) -> tuple["Progress", logging.Handler]:
        """What shows the progress, and where log lines go beside it."""
        from lfads_worker.progress import Lines, LiveTable, Silent

        handler: logging.Handler = logging.StreamHandler(sys.stderr)
        if self.log_format is LogFormat.JSON:
            handler.setFormatter(JsonLines(self._about))
        if self.quiet:
            return Silent(), handler
        if self.log_format is LogFormat.JSON or not sys.stderr.isatty():
            return Lines(), handler
        from rich.console import Console
        from rich.logging import RichHandler

        console = Console(stderr=True)
        handler = RichHandler(
            console=console, show_time=False, show_path=False, show_level=False, markup=False
        )
        # The table has a row for every line that the driver logs.
        handler.addFilter(lambda record: record.name != DRIVER or record.levelno >= logging.WARNING)
        return LiveTable(console), handler

    def show(self, lines: Iterable[str]) -> None:
        """Prints what a person wants to know of recording and results; a log collector gets none of it."""
        if self.quiet or self.log_format is LogFormat.JSON:
            return
        for line in lines:
            typer.echo(line)

    def finish(self, sentence: str) -> None:
        """The last word of a run that is finished."""
        if self.log_format is LogFormat.JSON:
            logger.info("%s", sentence)
        self.attempt.end(EndClass.OK, sentence, self._epoch)

    def say(self, end: End) -> None:
        """Says how the run ended when it is not finished."""
        if self.log_format is LogFormat.TEXT:
            to_standard_error(end)
            return
        level = logging.ERROR if end.exit_code else logging.INFO
        record = logging.LogRecord(logger.name, level, __file__, 0, end.sentence, None, None)
        typer.echo(JsonLines(self._about).format(record), err=True)

    def cut_short(self) -> int:
        """Says why a process ends that has not noticed its interrupt; its exit code.

        A driver that another one has superseded was interrupted for that, and must not invite anybody to
        start it again.
        """
        fenced = self.commits.hold.fenced if self.commits else None
        end = judge(fenced or KeyboardInterrupt(), self.how_to_go_on, lambda: self.log_file)
        with contextlib.suppress(OSError):  # nobody reads it any more
            self.say(end)
        return end.exit_code

    def last_word(self, error: BaseException, end: End) -> None:
        """Tells the operator why; a driver that lost the run to another one has no word."""
        if isinstance(error, FencedError):
            return
        try:
            self.attempt.end(end_class(error), end.sentence, self._epoch)
        except AutoLFADSError as unwritten:
            self.say(End("error", f"the operator could not be told: {unwritten}", end.exit_code or 1))

    @property
    def _epoch(self) -> int | None:
        return self.commits.manifest.driver_epoch if self.commits else None

    def _about(self) -> dict[str, object]:
        generation = self.commits.generation if self.commits else None
        return {"run": self.run, "attempt": self.attempt.number, "generation": generation}
