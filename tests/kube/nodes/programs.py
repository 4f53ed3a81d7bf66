"""The programs of this machine that nodes are made of and images built with: there, or installed from Debian.

Knows no program by more than its name.
"""

import os
import shutil
import subprocess
from pathlib import Path

PROGRAMS = {  # program -> the Debian package that has it
    "buildah": "buildah",
    "catatonit": "catatonit",
    "containerd": "containerd",
    "ctr": "containerd",
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
}


class BuildError(Exception):
    """Something could not be built; the message says what to do."""


def need_programs() -> None:
    """Install the Debian packages that nodes are made of, where they are missing."""
    missing = sorted({package for program, package in PROGRAMS.items() if not shutil.which(program)})
    if not missing:
        return
    if os.geteuid() or not shutil.which("apt-get"):
        raise BuildError(
            f"wanted {', '.join(missing)} for the nodes of the tests, found none; install these packages, "
            "on Debian by running as root"
        )
    print(f"installing {', '.join(missing)} from Debian's packages", flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    do("apt-get", "update", "-qq", env=quiet)
    do("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, env=quiet)


def do(*words: str | Path, **options) -> str:
    """What a program prints; its complaints go where ours go."""
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, text=True, **options)
    if done.returncode:
        raise BuildError(
            f"wanted `{' '.join(map(str, words[:8]))} ...` to succeed, found exit status {done.returncode}; "
            "see above"
        )
    return done.stdout
