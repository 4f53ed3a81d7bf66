"""The operator's log: one JSON object a line, each with what tells runs and attempts apart.

Where a line was written in the work on a run, `run`, `uid`, `attempt` and `generation` are in it without
anybody passing them on: they are set once by `about` for the task that works on the run. A line holds what
happened, never the content of a file or an address with a signature.
"""

import contextlib
import datetime
import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, TextIO

KEYS = ("run", "uid", "attempt", "generation", "reconcile")
LONGEST_MESSAGE = 4000
_RETRIED = re.compile(r"Request attempt #(\d+)(?:/\d+)? failed; will retry")
_about: ContextVar[dict[str, Any]] = ContextVar("about", default={})  # noqa: B039 (never changed in place)


@contextlib.contextmanager
def about(**values: Any) -> Iterator[None]:
    """Every line written within is about these: any of KEYS; None takes one away."""
    token = _about.set({**_about.get(), **values})
    try:
        yield
    finally:
        _about.reset(token)


class JsonFormatter(logging.Formatter):
    """One object a line, in the names that log collectors look for."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _utc(record.created),
            "severity": record.levelname,
            "logger": record.name,
            "message": record.getMessage()[:LONGEST_MESSAGE],
        }
        line |= {key: value for key, value in _about.get().items() if value is not None}
        line |= {key: getattr(record, key) for key in KEYS if getattr(record, key, None) is not None}
        line |= _of_kopf(record)
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info))[-LONGEST_MESSAGE:]
        return json.dumps(line, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """The same for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        run = _about.get().get("run") or _of_kopf(record).get("run")
        text = (
            f"{_utc(record.created)} {record.levelname:7} {f'[{run}] ' if run else ''}{record.getMessage()}"
        )
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def start(level: str, form: str, stream: TextIO | None = None) -> None:
    """Send everything logged in this process to `stream` (stderr), in `form` json or text."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    handler.addFilter(_without_kopfs_noise)
    # These tell of every object, request and slow step; our own lines are enough.
    for name in ("kopf", "kubernetes", "asyncio", "urllib3", "google"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)


def _without_kopfs_noise(record: logging.LogRecord) -> bool:
    """Kopf calls every attempt to reach Kubernetes an error; the first is a warning, the rest is silence."""
    if not record.name.startswith("kopf."):
        return True
    message = record.getMessage()
    if message.startswith("OS signals are ignored"):  # `__main__` listens to them
        return False
    attempt = _RETRIED.match(message)
    if attempt is None:
        return True
    record.levelno, record.levelname = logging.WARNING, "WARNING"
    return attempt[1] == "1"


def _utc(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _of_kopf(record: logging.LogRecord) -> dict[str, Any]:
    """Kopf's lines carry the object they are about in an attribute of their own."""
    reference = getattr(record, "k8s_ref", None)
    if not isinstance(reference, dict):
        return {}
    return {"run": f"{reference.get('namespace')}/{reference.get('name')}", "uid": reference.get("uid")}
