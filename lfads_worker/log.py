"""Where log lines go: the console in words or JSON, and a file in the output folder with all details.

Called by the command line only; everything else just logs.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

# Ours, and the contract's: its store tells when a bucket does not answer.
LOGGERS = tuple(logging.getLogger(name) for name in ("lfads_worker", "autolfads_spec"))

FILE_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Plain(logging.Formatter):
    """The message alone; warnings say that they are."""

    def format(self, record: logging.LogRecord) -> str:
        message = super().format(record)
        return f"warning: {message}" if record.levelno >= logging.WARNING else message


class _Forgiving(logging.FileHandler):
    """Leaves a line out when the disk is full: what matters then is said by whoever writes results."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        del record

    def close(self) -> None:
        with suppress(OSError):  # what it still held
            super().close()


class JsonLines(logging.Formatter):
    """One JSON object a line, in the names that log collectors look for, as the operator's own."""

    def __init__(self, about: Callable[[], Mapping[str, object]]) -> None:
        """As the base class.

        Args:
          about: what else is in a line, asked for each; None is left out.
        """
        super().__init__()
        self._about = about

    def format(self, record: logging.LogRecord) -> str:
        written = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": written.replace("+00:00", "Z"),
            "severity": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        known = {name: value for name, value in self._about().items() if value is not None}
        return json.dumps(line | known, ensure_ascii=False, default=str)


@contextmanager
def to_console(handler: logging.Handler, level: int) -> Iterator[None]:
    """Sends our lines of at least `level` to the console for as long as the context lasts."""
    handler.setLevel(level)
    if not isinstance(handler, logging.FileHandler) and handler.formatter is None:
        handler.setFormatter(_Plain("%(message)s"))
    with _attached(handler):
        yield


@contextmanager
def to_file(path: Path) -> Iterator[None]:
    """Appends our lines and Python's warnings to a file for as long as the context lasts."""
    handler = _Forgiving(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter(FILE_FORMAT))
    try:
        with _attached(handler):
            yield
    finally:
        handler.close()


@contextmanager
def _attached(handler: logging.Handler) -> Iterator[None]:
    with ExitStack() as stack:
        for logger in LOGGERS:
            stack.enter_context(_attached_to(logger, handler))
        yield


@contextmanager
def _attached_to(logger: logging.Logger, handler: logging.Handler) -> Iterator[None]:
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    # Handlers of the root logger belong to libraries; our lines would appear twice.
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
