"""Settings of a training process that must be there before TensorFlow is loaded.

One thread a process and one process a core is what is fastest on CPUs, and glibc's
allocator must be told to keep the large buffers that every step frees and asks for again
(measured: up to 180 ms of system time a step otherwise).
"""

import ctypes
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

# <malloc.h>, the same numbers on every glibc
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
M_ARENA_MAX = -8
KEEP_BYTES = 2**31 - 1  # mallopt takes a C int


def training_environment(threads: int | None) -> Mapping[str, str]:
    """Environment variables of a training process.

    Args:
      threads: threads for one operation; None leaves the choice to TensorFlow (GPUs).
    """
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    malloc = {
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(KEEP_BYTES),
    }
    if threads is None:
        return {**quiet, **malloc}
    count = str(threads)
    return {
        **quiet,
        **malloc,
        "OMP_NUM_THREADS": count,
        "TF_NUM_INTRAOP_THREADS": count,
        "TF_NUM_INTEROP_THREADS": count,
    }


def prepare_this_process(threads: int | None) -> None:
    """Gives this process the settings, where it is not too late: values already set by the user stay."""
    for name, value in training_environment(threads).items():
        os.environ.setdefault(name, value)
    if sys.platform == "linux":
        _set_malloc()


@contextmanager
def unheard() -> Iterator[None]:
    """Keeps off standard error what libraries in C print there whatever their log level, as TensorFlow does
    while it is loaded; Python's exceptions come through.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _set_malloc() -> None:
    # The MALLOC_ variables are read when a process starts; this one is running.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl has none
        return
    mallopt(M_ARENA_MAX, 1)
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, KEEP_BYTES)
