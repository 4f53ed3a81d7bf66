"""Programs that XLA has compiled, kept outside the clone for these tests and the next.

Nearly all runs of the tests train the same few programs, each in processes of its own, and compiling takes
longer than training. TensorFlow finds a program by what it computes and holds it against that once more, so
none is taken for another; the folder says for which TensorFlow and which processor they were compiled.
Runs in pods keep theirs apart, so that what a run gives here and there was compiled twice.
"""

import fcntl
import functools
import hashlib
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autolfads" / "compiled"
PINS = Path(__file__).parents[1] / "requirements" / "worker.txt"
KEPT = 300  # programs in a folder; a session of all tests has a third of that
HERE, IN_PODS = "here", "in-pods"


def keep_programs() -> None:
    """Before TensorFlow is imported; processes that this one starts keep theirs in the same place."""
    os.environ.setdefault("TF_XLA_FLAGS", flags(_folder(HERE)))


def of_pods() -> Path:
    """The folder of this machine in which pods keep theirs."""
    return _folder(IN_PODS)


def flags(folder: Path | str) -> str:
    """TF_XLA_FLAGS with which TensorFlow keeps what it compiles, and takes what is there."""
    return f"--tf_xla_persistent_cache_directory={folder}"


def number_functions_after(name: str) -> None:
    """From now on TensorFlow numbers functions by `name` and how many came since.

    It finds programs by these numbers too, which else tell how many functions the process has made before:
    another number wherever tests are shared out among processes or draw examples. Loads TensorFlow.
    """
    from tensorflow.python.framework import ops

    ops.uid = _numbers(name).__next__


@functools.cache  # who comes back to a name goes on counting: no two functions of a process have one number
def _numbers(name: str) -> Iterator[int]:
    return itertools.count(int(hashlib.sha256(name.encode()).hexdigest()[:10], 16) * 10**6)


def forget_the_unused() -> None:
    """Removes the programs that were taken longest ago, with which the folders would grow for ever."""
    for name in (HERE, IN_PODS):
        folder = _folder(name)
        with (folder.parent / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            programs = sorted(folder.iterdir(), key=lambda path: path.stat().st_atime)
            for path in programs[:-KEPT]:
                path.unlink(missing_ok=True)


def _folder(name: str) -> Path:
    folder = CACHE / _key() / name
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)  # pods have users of their own
    return folder


def _key() -> str:
    pins = re.findall(r"^tensorflow[\w-]*==.*$", PINS.read_text(), re.MULTILINE)
    told = Path("/proc/cpuinfo").read_text()
    processor = re.findall(r"^(?:cpu family|model|flags|CPU part|Features)\s*:.*$", told, re.MULTILINE)
    return hashlib.sha256("\n".join((*pins, *sorted(set(processor)))).encode()).hexdigest()[:16]
