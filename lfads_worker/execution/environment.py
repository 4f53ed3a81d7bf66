"""Settings of a training process that must be there before TensorFlow is loaded.

One thread a process and one process a core is what is fastest on CPUs, and glibc's
allocator must be told to keep the large buffers that every step frees and asks for again
(measured: up to 180 ms of system time a step otherwise). On GPUs the same program must give the
same bits each time, and in float32.
"""

import ctypes
import gc
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

# <malloc.h>, the same numbers on every glibc
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
M_ARENA_MAX = -8
KEEP_BYTES = 2**31 - 1  # mallopt takes a C int

# TensorFlow loads all of Keras, and Keras matplotlib: 0.7 of the 3.3 s that it takes to load. When it is told
# to use the old Keras and there is none, it goes without. We use neither.
WITHOUT_KERAS = {"TF_USE_LEGACY_KERAS": "1"}

# The first forbids sums in the order in which threads come, the second kernels that are chosen by
# stopwatch. XLA ends the process over a flag that it does not know: `tests/worker/execution/test_environment`
# holds these against the TensorFlow that is installed.
GPU_FLAGS = {"--xla_gpu_deterministic_ops": "true", "--xla_gpu_autotune_level": "0"}


def training_environment(threads: int | None) -> Mapping[str, str]:
    """Environment variables of a training process.

    Args:
      threads: threads for one operation; None leaves the choice to TensorFlow (GPUs).
    """
    lean = {"TF_CPP_MIN_LOG_LEVEL": "3", **WITHOUT_KERAS}
    malloc = {
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(KEEP_BYTES),
    }
    if threads is None:
        return {**lean, **malloc, "XLA_FLAGS": xla_flags_for_gpus(os.environ.get("XLA_FLAGS", ""))}
    count = str(threads)
    return {
        **lean,
        **malloc,
        "OMP_NUM_THREADS": count,
        "TF_NUM_INTRAOP_THREADS": count,
        "TF_NUM_INTEROP_THREADS": count,
    }


def prepare_this_process(threads: int | None) -> None:
    """Gives this process the settings, where it is not too late: values already set by the user stay."""
    settings = training_environment(threads)
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    if "XLA_FLAGS" in settings:  # several in one, the user's among them
        os.environ["XLA_FLAGS"] = settings["XLA_FLAGS"]
    if sys.platform == "linux":
        _set_malloc()


def xla_flags_for_gpus(set_by_user: str) -> str:
    """XLA_FLAGS for the same bits each time on GPUs; a flag that the user has set keeps the user's value."""
    if set_by_user.strip() and not set_by_user.lstrip().startswith("--"):
        return set_by_user  # the name of a file that holds the flags
    named = {flag.partition("=")[0] for flag in set_by_user.split()}
    ours = [f"{name}={value}" for name, value in GPU_FLAGS.items() if name not in named]
    return " ".join([*ours, *set_by_user.split()])


def multiply_in_float32() -> None:
    """Switches TensorFloat-32 off in TensorFlow: some GPUs multiply in it, with 10 bits, unless told not to.

    Loads TensorFlow; to be called before its first program is made.
    """
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(False)


@contextmanager
def loading() -> Iterator[None]:
    """Around the import of TensorFlow: quiet, and a tenth faster until the first step is computed.

    Keeps off standard error what its libraries in C print there whatever their log level; Python's exceptions
    come through. Looks for no garbage meanwhile, nor afterwards among what was loaded: 440,000 objects that
    stay as long as the process does.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        with _unheard():
            yield
    finally:
        gc.freeze()
        if collects:
            gc.enable()


@contextmanager
def _unheard() -> Iterator[None]:
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
