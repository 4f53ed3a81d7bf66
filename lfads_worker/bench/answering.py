"""A measuring process's side of the conversation: orders on stdin, one JSON object a line on stdout.

Standard library only, and nothing that Python 3.8 lacks: the peer's
interpreter imports this file too.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Callable  # noqa: UP035 - the peer's Python may be old

MARK = "@@"  # what libraries print on stdout does not start with it


def answer(**values: Any) -> None:
    """Write one answer."""
    sys.stdout.write(MARK + json.dumps(values) + "\n")
    sys.stdout.flush()


def serve(call: Callable[[], None], report: Callable[[], dict[str, Any]]) -> None:
    """Make the calls that are asked for, `{"calls": n}`, until stdin ends.

    Args:
      call: does one measured piece of work and waits for its end.
      report: what to add to an answer, made after the clock has stopped.
    """
    for line in sys.stdin:
        calls = json.loads(line)["calls"]
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(calls):
            call()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        answer(seconds=wall, cpu_seconds=cpu, **report())


def memory_mb(process: int | str = "self") -> int:
    """Largest memory a process of this machine has held so far, as Linux counts it (VmHWM)."""
    with open(f"/proc/{process}/status") as lines:
        for line in lines:
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024)
    return 0
