"""What a user sees while a run is training: a live table on a terminal, plain lines elsewhere.

It only looks at the `Tracker` that the driver keeps; nothing here changes a run.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lfads_worker.history import GenerationRecord
from lfads_worker.outline import Tracker, duration, joined, left

logger = logging.getLogger(__name__)

# A line in a log file every so often is enough to see that a run lives.
SECONDS_BETWEEN_LINES = 30.0
# Generations in the live table: what fits beside the rest on a small terminal.
SHOWN_GENERATIONS = 10
BAR_WIDTH = 40


class Progress:
    """Follows a run; the driver calls it. Does nothing by default."""

    @contextmanager
    def shown(self, tracker: Tracker) -> Iterator[None]:
        """Shows the run as long as the context lasts."""
        del tracker
        yield

    def trained(self) -> None:
        """A cohort has trained some epochs."""

    def generation_finished(self, record: GenerationRecord) -> None:
        """All cohorts have finished, and it is decided who goes on how."""
        del record


class Silent(Progress):
    """Shows nothing; the log still gets its line a generation."""


class Followed(Progress):
    """Shows the run as another one does, and keeps how long it will take for whoever asks.

    Attributes:
      seconds_left: an estimate, as of the last report; None as long as nothing is known. May be read from
        another thread.
    """

    def __init__(self, shown_by: Progress) -> None:
        self.seconds_left: float | None = None
        self._shown_by = shown_by
        self._tracker: Tracker | None = None

    @contextmanager
    def shown(self, tracker: Tracker) -> Iterator[None]:
        self._tracker = tracker
        with self._shown_by.shown(tracker):
            yield

    def trained(self) -> None:
        self._look()
        self._shown_by.trained()

    def generation_finished(self, record: GenerationRecord) -> None:
        self._look()
        self._shown_by.generation_finished(record)

    def _look(self) -> None:
        assert self._tracker is not None  # shown before
        self.seconds_left = self._tracker.seconds_left(self._tracker.elapsed)


class Lines(Progress):
    """A plain line now and then inside a generation; the driver logs the line at its end."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        seconds_between_lines: float = SECONDS_BETWEEN_LINES,
    ) -> None:
        self._clock = clock
        self._seconds_between_lines = seconds_between_lines
        self._tracker: Tracker | None = None
        self._began = self._last_line = clock()

    @contextmanager
    def shown(self, tracker: Tracker) -> Iterator[None]:
        self._tracker = tracker
        self._began = self._last_line = self._clock()
        outline = tracker.outline
        logger.info(
            "training %d members in %d cohorts for up to %d generations, %d epochs in all",
            outline.members,
            len(outline.cohort_sizes),
            outline.generations,
            sum(outline.epochs),
        )
        yield

    def trained(self) -> None:
        now = self._clock()
        if self._tracker is None or now - self._last_line < self._seconds_between_lines:
            return
        self._last_line = now
        logger.info("%s", progress_line(self._tracker, now - self._began))

    def generation_finished(self, record: GenerationRecord) -> None:
        del record
        self._began = self._last_line = self._clock()


class LiveTable(Progress):
    """The last generations as a table, and two bars that move; for terminals."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._records: deque[GenerationRecord] = deque(maxlen=SHOWN_GENERATIONS)
        self._tracker: Tracker | None = None
        self._began = clock()

    @contextmanager
    def shown(self, tracker: Tracker) -> Iterator[None]:
        self._tracker = tracker
        self._began = self._clock()
        # transient is off: the last table stays as the summary of the run.
        with Live(get_renderable=self.render, console=self._console, refresh_per_second=2):
            yield

    def generation_finished(self, record: GenerationRecord) -> None:
        self._records.append(record)
        self._began = self._clock()

    def render(self) -> RenderableType:
        """The table and the bars as they are now."""
        if self._tracker is None:
            return Text("")
        parts: list[RenderableType] = [_generations(list(self._records))] if self._records else []
        if self._tracker.generation_epochs:
            parts.append(_bars(self._tracker, self._clock() - self._began))
        return Group(*parts)


def progress_line(tracker: Tracker, elapsed: float) -> str:
    """One line on a generation that is being trained."""
    return f"generation {tracker.generation}: " + joined(
        [
            f"{tracker.mean_epochs_done} of {tracker.generation_epochs} epochs",
            f"{tracker.cohorts_done} of {len(tracker.outline.cohort_sizes)} cohorts done",
            left(tracker.seconds_left(elapsed)),
        ]
    )


def _generations(records: list[GenerationRecord]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("generation", "best", "member", "median", "exploited", "diverged", "time"):
        table.add_column(name, justify="right")
    for record in records:
        scores = sorted(member.score for member in record.population.members if member.has_score)
        table.add_row(
            str(record.generation),
            f"{record.best.score:z.4f}",
            str(record.best.index),
            f"{scores[len(scores) // 2]:z.4f}",
            str(record.exploited),
            str(record.population.size - len(scores)),
            duration(record.seconds),
        )
    return table


def _bars(tracker: Tracker, elapsed: float) -> Table:
    outline = tracker.outline
    bars = Table.grid(padding=(0, 1))
    epochs, generations = tracker.generation_epochs, outline.generations
    bars.add_row(
        f"generation {tracker.generation}",
        ProgressBar(total=epochs, completed=tracker.fraction * epochs, width=BAR_WIDTH),
        f"{tracker.mean_epochs_done}/{epochs} epochs, "
        f"{tracker.cohorts_done}/{len(outline.cohort_sizes)} cohorts done",
    )
    bars.add_row(
        "run",
        ProgressBar(total=sum(outline.epochs), completed=tracker.epochs_before_and_now, width=BAR_WIDTH),
        joined(
            [
                f"{tracker.generation}/{generations} generations",
                left(tracker.seconds_left(elapsed)) or "estimating the time",
            ]
        ),
    )
    return bars
