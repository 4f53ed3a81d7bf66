"""Measuring processes: started once, asked again and again, idle in between.

An idle process costs memory and no time, so several contenders can be kept
ready and measured in turn.
"""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lfads_worker.bench.answering import MARK
from lfads_worker.errors import DeviceError


@dataclass(frozen=True)
class Reading:
    """One measurement of one or more processes at work together.

    Attributes:
      seconds: wall time from the order to the last answer.
      cpu_seconds: of all processes together.
      member_steps: training steps times members, of all processes together.
    """

    seconds: float
    cpu_seconds: float
    member_steps: int

    @property
    def rate(self) -> float:
        """Member-steps per second."""
        return self.member_steps / self.seconds


class Process:
    """One measuring process; a context manager that ends it."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        patience_seconds: float = 0.0,
    ) -> None:
        """Starts it.

        Args:
          command: its program and arguments.
          environment: variables beside those of this process.
          patience_seconds: for it to clean up at the end, before it is killed.
        """
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in `close`
        self._popen = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self._patience_seconds = patience_seconds
        self._name = " ".join(Path(part).name for part in command[:3])
        self.facts: dict[str, Any] = {}
        self.peak_mb = 0  # so far

    def wait_until_ready(self) -> dict[str, Any]:
        """What it says of itself once it is warm; waits as long as that takes."""
        if not self.facts:
            self.facts = self.answer()
        return self.facts

    @property
    def has_ended(self) -> bool:
        return self._popen.poll() is not None

    def order(self, calls: int) -> None:
        """Ask for calls; `answer` gets what they took."""
        assert self._popen.stdin is not None
        with suppress(BrokenPipeError):  # `answer` tells why it has ended
            self._popen.stdin.write(json.dumps({"calls": calls}) + "\n")
            self._popen.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Its next answer.

        Raises:
          DeviceError: if it has ended instead, with its last words.
        """
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            if line.startswith(MARK):
                answer: dict[str, Any] = json.loads(line[len(MARK) :])
                self.peak_mb = answer.get("peak_mb", self.peak_mb)
                return answer
        code = self._popen.wait()
        self._errors.seek(0)
        said = self._errors.read().strip().splitlines()[-6:]
        raise DeviceError(
            f"a measuring process was wanted ({self._name}), found that it ended with code {code}; it said: "
            + (" | ".join(said) or "nothing (a kill for lack of memory says nothing: use smaller cohorts)")
        )

    def close(self) -> None:
        """End it."""
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        with suppress(BrokenPipeError):
            self._popen.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(self._patience_seconds)
        if self._popen.poll() is None:
            self._popen.kill()
        self._popen.wait()
        self._popen.stdout.close()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def measure(processes: Sequence[Process], calls: int) -> Reading:
    """All of them at work at the same time, each making `calls` calls."""
    began = time.perf_counter()
    for process in processes:
        process.order(calls)
    answers = [process.answer() for process in processes]
    seconds = time.perf_counter() - began
    return Reading(
        seconds=seconds,
        cpu_seconds=sum(answer["cpu_seconds"] for answer in answers),
        member_steps=calls * sum(process.facts["member_steps"] for process in processes),
    )
