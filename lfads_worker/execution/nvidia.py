"""What the NVIDIA driver says of this machine's GPUs.

Asks `nvidia-smi`, which neither loads TensorFlow nor takes a GPU. A machine without it is nothing unusual:
then nothing is known.
"""

import subprocess
from dataclasses import dataclass

# A driver that nobody uses has to wake its GPUs up.
PATIENCE_SECONDS = 20.0
MEBIBYTE = 2**20


@dataclass(frozen=True)
class GPUs:
    """The GPUs of a machine.

    Attributes:
      names: of their models, each once.
      smallest_bytes: memory of the smallest one; None where it is not known.
    """

    names: tuple[str, ...]
    smallest_bytes: int | None


def ask_driver(patience_seconds: float = PATIENCE_SECONDS) -> GPUs | None:
    """The GPUs of this machine, visible to CUDA or not; None where the driver does not tell in time."""
    command = [
        "nvidia-smi",
        "--query-gpu=name,mig.mode.current,memory.total",
        "--format=csv,noheader,nounits",
    ]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=patience_seconds)
    except (OSError, subprocess.SubprocessError):  # no driver, or one that is not well
        return None
    return understood(said.stdout)


def understood(table: str) -> GPUs | None:
    """The answer of `nvidia-smi`: a line a GPU with its name, whether it is cut up (MIG), and its MiB."""
    rows = [tuple(part.strip() for part in line.rsplit(",", 2)) for line in table.splitlines()]
    rows = [row for row in rows if len(row) == 3]
    if not rows:
        return None
    # The memory of a GPU that is cut up says nothing of the slice that a process will get.
    whole = all(mode != "Enabled" and mebibytes.isdigit() for _, mode, mebibytes in rows)
    smallest = min(int(mebibytes) for *_, mebibytes in rows) * MEBIBYTE if whole else None
    return GPUs(tuple(sorted({name for name, _, _ in rows})), smallest)
