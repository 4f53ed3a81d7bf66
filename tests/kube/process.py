"""One process of a test cluster: started, killed and started again, with its log in a file.

Every process is told by the kernel to die with its parent, so that nothing outlives the tests even when
they are killed. Knows nothing of Kubernetes.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SLOWEST_START = 120.0  # seconds; ten on a quiet machine
SLOWEST_STOP = 10.0
_LINES_SHOWN = 25

# The kernel ends a child when the *thread* that made it ends; this one lasts as long as the interpreter.
_parent = ThreadPoolExecutor(1, thread_name_prefix="parent-of-processes")


class ProcessError(AssertionError):
    """A process did not come up; the message ends with the last lines of its log."""


class Process:
    """A program with its arguments, running or not.

    `program`, `arguments` and `environment` may be changed; the next start takes them up.
    """

    def __init__(
        self,
        name: str,
        program: Path,
        arguments: Sequence[str],
        log: Path,
        *,
        is_ready: Callable[[], bool] = lambda: True,
        environment: Mapping[str, str] | None = None,
        port: int = 0,
    ) -> None:
        self.name = name
        self.program = program
        self.arguments = list(arguments)
        self.environment = dict(environment or {})
        self.log = log
        self.port = port
        self._is_ready = is_ready
        self._running: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<{self.name} {self.pid if self.is_alive else 'not running'}, log {self.log}>"

    @property
    def is_alive(self) -> bool:
        return self._running is not None and self._running.poll() is None

    @property
    def pid(self) -> int:
        assert self._running is not None, f"{self.name} has not been started"
        return self._running.pid

    def start(self) -> None:
        """Start it and wait until it answers; nothing happens when it runs."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start it without waiting."""
        if not self.is_alive:
            self._running = _parent.submit(self._popen).result()

    def _popen(self) -> "subprocess.Popen[bytes]":
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            raise ProcessError(
                "wanted setpriv of util-linux to tie a process to its parent, found none; install it"
            )
        with self.log.open("ab") as log:
            log.write(f"=== start at {time.strftime('%H:%M:%S')}\n".encode())
            log.flush()
            return subprocess.Popen(
                [setpriv, "--pdeathsig=KILL", "--", str(self.program), *self.arguments],
                env={"PATH": os.environ["PATH"], "HOME": str(self.log.parent), **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is for the tests, which then stop it in order
            )

    def wait_until_ready(self, seconds: float = SLOWEST_START) -> None:
        deadline = time.monotonic() + seconds
        while not self._is_ready():
            if not self.is_alive:
                raise ProcessError(f"{self.name} ended with status {self._status()}\n{self.last_words()}")
            if time.monotonic() > deadline:
                raise ProcessError(f"{self.name} is not ready after {seconds:.0f} s\n{self.last_words()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Ask it to end, and make it after ten seconds."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it without a warning, and wait until it is gone."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def last_words(self) -> str:
        """The end of its log, and where the log is."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join((f"log of {self.name}: {self.log}", *lines[-_LINES_SHOWN:]))

    def _end(self, how: signal.Signals) -> None:
        if self._running is None:
            return
        self._running.send_signal(how)
        try:
            self._running.wait(SLOWEST_STOP)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.wait()

    def _status(self) -> int | None:
        return self._running.returncode if self._running else None
