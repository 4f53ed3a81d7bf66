"""What Ray reads from the environment when it starts on this machine: quiet, private, and gone afterwards.

Ray would otherwise write a token into the user's home, keep logs in a shared folder for
temporary files, and send usage statistics. Whatever the user has set stays as it is.
Imports no Ray.
"""

import os
import secrets
import shutil
import tempfile
import time
from pathlib import Path

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # silences a tip about a future version
}

# Not the folder that TMPDIR names: its name may be long, and a socket's path has at most 107 characters.
TEMPORARY = Path("/tmp")
# After an interrupt Ray's processes need a moment to end, and write until then.
REMOVALS, SECONDS_BETWEEN_REMOVALS = 30, 0.1


def silence() -> None:
    """No usage statistics and no tips, on this machine or on a cluster."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


class PrivateRay:
    """A token and a temporary folder for a Ray that only this process uses, until closed."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        # RAY_AUTH_MODE stays unset: Ray has read it on import; starting a cluster turns tokens on.
        if "RAY_AUTH_MODE" not in os.environ and "RAY_AUTH_TOKEN_PATH" not in os.environ:
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        if "RAY_TMPDIR" not in os.environ:
            self._folder = Path(tempfile.mkdtemp(prefix="alr-", dir=TEMPORARY))
            os.environ["RAY_TMPDIR"] = str(self._folder)

    def close(self) -> None:
        """Removes the folder; to be called when Ray has ended."""
        if self._folder is None:
            return
        os.environ.pop("RAY_TMPDIR", None)
        for _ in range(REMOVALS):
            shutil.rmtree(self._folder, ignore_errors=True)
            if not self._folder.exists():
                break
            time.sleep(SECONDS_BETWEEN_REMOVALS)
        self._folder = None
