"""What the processes of one session of the tests have in common: a folder, and what is made in it once.

The first process makes the folder, those that it starts find it, and it goes with the first.
"""

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

_FOLDER = "AUTOLFADS_TESTS_SESSION"


def folder() -> Path:
    """The session's."""
    if _FOLDER not in os.environ:
        made = Path(tempfile.mkdtemp(prefix="autolfads-tests-"))
        atexit.register(shutil.rmtree, made, ignore_errors=True)
        os.environ[_FOLDER] = str(made)
    return Path(os.environ[_FOLDER])


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """A folder of the session, filled by whoever needs it first; the others wait for it.

    Args:
      name: which one.
      make: fills a folder that is empty.
    """
    place = folder() / name
    with (folder() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            unfinished = Path(tempfile.mkdtemp(dir=folder()))
            make(unfinished)
            unfinished.rename(place)
    return place
