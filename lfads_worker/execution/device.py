"""What this machine, or the workers of a cluster, can train on, found out without loading TensorFlow."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from lfads_worker.execution import nvidia
from lfads_worker.execution.cohorts import DeviceKind

GIGABYTE = 10**9

# Memory of one accelerator, in bytes, by GKE's names, and of one that nobody knows.
ACCELERATOR_BYTES: Mapping[str, int] = {
    "nvidia-tesla-p4": 8 * GIGABYTE,
    "nvidia-tesla-t4": 16 * GIGABYTE,
    "nvidia-l4": 24 * GIGABYTE,
    "nvidia-tesla-a100": 40 * GIGABYTE,
    "nvidia-a100-80gb": 80 * GIGABYTE,
    "nvidia-h100-80gb": 80 * GIGABYTE,
}
UNKNOWN_BYTES = 16 * GIGABYTE


@dataclass(frozen=True)
class Devices:
    """The devices that a worker can have for itself: cores, or GPUs if there are any.

    Attributes:
      gpu_bytes: memory of one GPU.
      model: of the GPUs; None where it is not known.
    """

    kind: DeviceKind
    count: int
    gpu_bytes: int = UNKNOWN_BYTES
    model: str | None = None

    @classmethod
    def of_cluster(cls, accelerator: str | None, workers: int) -> "Devices":
        """What the workers of a cluster train on: what was asked for, not what the driver's machine has.

        Args:
          accelerator: its type; None, also as a word, for CPUs.
          workers: that were asked for.
        """
        if accelerator is None or accelerator == "None":
            return cls("cpu", workers)
        return cls("gpu", workers, ACCELERATOR_BYTES.get(accelerator, UNKNOWN_BYTES), accelerator)

    @property
    def kind_in_words(self) -> str:
        """On what results depend in their last bits."""
        return self.model or self.kind.upper()

    def __str__(self) -> str:
        noun = "GPU" if self.kind == "gpu" else "core"
        return f"{self.count} {noun}{'s' if self.count > 1 else ''}"


def find_devices(patience_seconds: float = nvidia.PATIENCE_SECONDS) -> Devices:
    """GPUs when TensorFlow can use them, else the cores that this process may use.

    Args:
      patience_seconds: for the GPUs' driver to tell model and memory; what it does not tell is assumed.
    """
    gpus = visible_gpus() if tensorflow_has_cuda() else 0
    return (
        gpus_of_this_machine(gpus, patience_seconds) if gpus else Devices("cpu", len(os.sched_getaffinity(0)))
    )


def gpus_of_this_machine(count: int, patience_seconds: float = nvidia.PATIENCE_SECONDS) -> Devices:
    """So many of them, with what the driver tells."""
    told = nvidia.ask_driver(patience_seconds)
    if told is None:
        return Devices("gpu", count)
    return Devices("gpu", count, told.smallest_bytes or UNKNOWN_BYTES, " and ".join(told.names))


def unused_gpus() -> str | None:
    """A sentence for a machine whose GPUs are left idle by a TensorFlow for CPUs; None for all others."""
    gpus = visible_gpus()
    if not gpus or tensorflow_has_cuda():
        return None
    return (
        f"wanted to train on this machine's {Devices('gpu', gpus)}, found the TensorFlow for CPUs, which "
        "uses none: `make setup GPU=1` installs the one with CUDA; CUDA_VISIBLE_DEVICES=-1 silences this"
    )


def visible_gpus() -> int:
    """NVIDIA devices of this machine that CUDA may use, whatever TensorFlow can do with them."""
    return count_gpus(Path("/dev"), os.environ.get("CUDA_VISIBLE_DEVICES"))


def count_gpus(devices: Path, visible: str | None) -> int:
    """NVIDIA devices of the machine, no more than CUDA_VISIBLE_DEVICES allows."""
    found = sum(bool(re.fullmatch(r"nvidia\d+", path.name)) for path in devices.glob("nvidia*"))
    if visible is None:
        return found
    allowed = [name for name in visible.split(",") if name.strip() and name.strip() != "-1"]
    return min(found, len(allowed))


def tensorflow_has_cuda() -> bool:
    """Whether the TensorFlow that is installed is the one that knows GPUs."""
    try:
        distribution("tensorflow")
    except PackageNotFoundError:
        return False
    return True
