"""The measuring processes of a benchmark: which command, with which interpreter and environment.

Knows how they are started and nothing of when they are asked.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from lfads_worker.bench.processes import Process
from lfads_worker.bench.shapes import HYPERPARAMETERS, MINIBATCHES, SHAPES, Shape, spikes
from lfads_worker.execution.environment import training_environment

HERE = Path(__file__).parent
# On a CPU a call is short beside a round, on a GPU long beside the host's part.
MEMBER_STEPS_PER_CALL_ON_CPU, STEPS_PER_CALL_ON_GPU = 4, 10
SECONDS_TO_END_RAY = 60.0
# TensorFlow and jax take a GPU's whole memory unless told not to; the peer's processes want some of it.
ROOM_FOR_OTHERS = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


@dataclass(frozen=True)
class Peer:
    """A checkout of lfads-torch and an interpreter that can run it."""

    checkout: Path
    python: str
    forms: tuple[str, ...] = ("eager",)

    @property
    def commit(self) -> str:
        """Of the checkout, where it is one of git."""
        command = ["git", "-C", str(self.checkout), "rev-parse", "--short", "HEAD"]
        try:
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return "unknown commit"


@dataclass(frozen=True)
class Programs:
    """Starts measuring processes.

    Attributes:
      threads: of each process; 0 leaves it to the library (GPUs).
      peer: None where there is none.
      exported: a folder that `export` wrote; its program is then timed in place of ours.
      jax_python: the Python that has jax.
      recordings: where the peer finds spikes.
    """

    threads: int = 1
    peer: Peer | None = None
    exported: Path | None = None
    jax_python: str = sys.executable
    recordings: Path = Path()

    @property
    def peer_forms(self) -> tuple[str, ...]:
        return self.peer.forms if self.peer else ()

    def ours(self, shape: Shape, members: int) -> Process:
        """A cohort of ours."""
        environment = {**training_environment(self.threads or None), **ROOM_FOR_OTHERS}
        if self.exported is not None:
            command = [self.jax_python, str(HERE / "run_exported.py"), str(self.exported), "--serve"]
            return Process(command, environment)
        return Process(self._command("ours", shape, members), environment)

    def ours_on_ray(self, shape: Shape, members: int, workers: int) -> Process:
        """A cohort of ours on each of so many Ray workers; they get their environment from the pool."""
        command = [*self._command("on_ray", shape, members), "--workers", str(workers)]
        return Process(command, ROOM_FOR_OTHERS, patience_seconds=SECONDS_TO_END_RAY)

    def _command(self, module: str, shape: Shape, members: int) -> list[str]:
        steps = max(1, MEMBER_STEPS_PER_CALL_ON_CPU // members) if self.threads else STEPS_PER_CALL_ON_GPU
        command = [sys.executable, "-m", f"lfads_worker.bench.{module}", "--shape", shape.name]
        return [*command, "--members", str(members), "--steps", str(steps), "--threads", str(self.threads)]

    def theirs(self, shape: Shape, form: str) -> Process:
        """One member of lfads-torch."""
        assert self.peer is not None
        work = {
            "shape": shape.numbers(),
            "hyperparameters": dict(HYPERPARAMETERS),
            "spikes": str(self.recordings / f"{shape.name}.npy"),
        }
        command = [self.peer.python, str(HERE / "peer.py"), str(self.peer.checkout), "--form", form]
        command += ["--threads", str(self.threads), "--work", json.dumps(work)]
        # The allocator's settings help the peer too.
        return Process(command, training_environment(self.threads or None))


@contextmanager
def with_recordings(programs: Programs) -> Iterator[Programs]:
    """Programs whose peer trains on the same spikes as ours."""
    with TemporaryDirectory() as folder:
        for shape in SHAPES.values():
            np.save(Path(folder) / f"{shape.name}.npy", spikes(shape, shape.batch * MINIBATCHES))
        yield replace(programs, recordings=Path(folder))
