"""What Ray reads from the environment when it starts on this machine: quiet, private, gone afterwards.

Ray would otherwise write a token into the user's home, keep logs in a shared folder for
temporary files, and send usage statistics. Whatever the user has set stays as it is.
Imports no Ray.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import socket
import tempfile
import time
from pathlib import Path
from typing import IO

from lfads_worker.errors import DeviceError

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # silences a tip about a future version
    "RAY_prestart_worker_first_driver": "0",  # a process for each CPU, that no worker of ours uses
}

# Not the folder that TMPDIR names: its name may be long, and a socket's path has at most 107 characters.
TEMPORARY = Path("/tmp")
PREFIX = "alr-"
# Locked by the process that uses the folder, for as long as it lives.
LOCK_NAME = "autolfads.lock"
# After an interrupt Ray's processes need a moment to end, and write until then.
REMOVALS, SECONDS_BETWEEN_REMOVALS = 30, 0.1


def silence() -> None:
    """No usage statistics and no tips, here or on a cluster; no idle processes of a Ray that starts here."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


def require_reachable(address: str, patience_seconds: float = 10.0) -> None:
    """Checks that something listens at the address of a cluster; Ray itself would wait for minutes.

    Raises:
      DeviceError: if nothing does.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:  # "auto", or another form that only Ray knows
        return
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=patience_seconds).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise DeviceError(
                    f"RAY_ADDRESS: wanted to join the Ray cluster at {address}, found nobody there "
                    f"({error}); check the address, or unset RAY_ADDRESS to train on this machine"
                ) from error
        time.sleep(SECONDS_BETWEEN_REMOVALS)


class PrivateRay:
    """A token and a temporary folder for a Ray that only this process uses, until closed."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._lock: IO[bytes] | None = None
        # RAY_AUTH_MODE stays unset: Ray has read it on import; starting a cluster turns tokens on.
        if "RAY_AUTH_MODE" not in os.environ and "RAY_AUTH_TOKEN_PATH" not in os.environ:
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        if "RAY_TMPDIR" not in os.environ:
            remove_abandoned()
            self._folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=TEMPORARY))
            self._lock = (self._folder / "new").open("wb")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            os.rename(self._folder / "new", self._folder / LOCK_NAME)  # never seen unlocked
            os.environ["RAY_TMPDIR"] = str(self._folder)

    def close(self) -> None:
        """Removes the folder; to be called when Ray has ended."""
        if self._folder is None:
            return
        os.environ.pop("RAY_TMPDIR", None)
        if self._lock is not None:
            self._lock.close()
        for _ in range(REMOVALS):
            shutil.rmtree(self._folder, ignore_errors=True)
            if not self._folder.exists():
                break
            time.sleep(SECONDS_BETWEEN_REMOVALS)
        self._folder = None


def remove_abandoned() -> None:
    """Removes the folders of this user's drivers that were killed."""
    for folder in TEMPORARY.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another's, or of a driver that lives, or just removed
            with (folder / LOCK_NAME).open("rb+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
