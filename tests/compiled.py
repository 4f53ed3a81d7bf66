"""Programs that XLA has compiled, kept for a session of the tests.

Nearly all runs of the tests train the same program, each in processes of its own, and compiling takes longer
than training. Runs in pods keep theirs apart, so that what a run gives here and there was compiled twice.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_FOLDER = "AUTOLFADS_TESTS_COMPILED"


def keep_programs() -> None:
    """Before TensorFlow is imported; processes that this one starts keep theirs in the same place."""
    if _FOLDER in os.environ:
        return
    folder = Path(tempfile.mkdtemp(prefix="autolfads-compiled-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    for place in ("here", "pods"):
        (folder / place).mkdir()
        (folder / place).chmod(0o777)  # pods have users of their own
    os.environ[_FOLDER] = str(folder)
    os.environ.setdefault("TF_XLA_FLAGS", flags(folder / "here"))


def of_pods() -> Path:
    """The folder of this machine in which pods keep theirs."""
    return Path(os.environ[_FOLDER]) / "pods"


def flags(folder: Path | str) -> str:
    """TF_XLA_FLAGS with which TensorFlow keeps what it compiles, and takes what is there."""
    return f"--tf_xla_persistent_cache_directory={folder}"
