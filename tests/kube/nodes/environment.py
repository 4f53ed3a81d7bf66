"""Builds what the pods of test nodes run in: Debian, its Python and requirements/worker.txt, not our code.

Minutes of work and gigabytes, so the outcome lies outside the clone under a name that is a hash of what went
in: a containerd root that has the image unpacked, which nodes share. Installs from the package caches of this
machine, inside buildah's chroot. An interrupted build leaves nothing that counts.
`python -m kube.nodes.environment` makes what is missing. Knows nothing of Kubernetes.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from kube.nodes import enclosure, oci
from kube.nodes.containerd import PAUSE, Containerd

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
LOCK = ROOT / "requirements" / "worker.txt"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autolfads"
IMAGE = "localhost/autolfads-environment:test"
SUITE, PACKAGES = "bookworm", "python3,python-is-python3,ca-certificates"
UV = Path(sys.prefix) / "bin" / "uv"  # the one that made the environment of the tests
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
# Ends with us, and so do its mounts.
BUILDAH = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "buildah")


class BuildError(Exception):
    """The environment could not be built; the message says what to do."""


def prepared_store() -> Path:
    """Folder of a containerd root with the image unpacked; made once. Nobody may write in there."""
    folder = CACHE / "images"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        need_programs()
        store = folder / _key()
        if not store.exists():
            print(f"building the worker's environment for test nodes: {store}", flush=True)
            for left in folder.glob("unfinished-*"):
                enclosure.sweep(left)
                shutil.rmtree(left)
            with tempfile.TemporaryDirectory(dir=folder, prefix="unfinished-") as unfinished:
                _build(Path(unfinished), _debian(folder, Path(unfinished)))
                (Path(unfinished) / "store").rename(store)
    return store


def image(store: Path) -> oci.Base:
    """The image of a store, to put layers on."""
    return oci.Base(**json.loads((store / "image.json").read_text()))


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


def _key() -> str:
    content = hashlib.sha256(f"{SUITE} {PACKAGES}".encode())
    for path in (HERE / "worker.dockerfile", LOCK):
        content.update(path.read_bytes())
    return content.hexdigest()[:16]


def _debian(cache: Path, unfinished: Path) -> Path:
    """A tar of the smallest Debian with PACKAGES."""
    debian = cache / f"{SUITE}-{oci.digest(PACKAGES.encode())[-8:]}.tar"
    if not debian.exists():
        with _timed("Debian"):
            what = ("--variant=minbase", f"--include={PACKAGES}", SUITE)
            do("mmdebstrap", "--quiet", *what, unfinished / "debian.tar")
            (unfinished / "debian.tar").rename(debian)
    return debian


def _build(folder: Path, debian: Path) -> None:
    """Make `folder`/store."""
    store = ("--root", folder / "buildah", "--runroot", folder / "run")
    context = folder / "context"
    context.mkdir()
    (context / "debian.tar").hardlink_to(debian)
    shutil.copy(LOCK, context / "worker.txt")
    with _timed("requirements"):
        cache = _fill_cache_of_uv(folder / "filled")
        mounts = ("--volume", f"{cache}:/root/.cache/uv", "--volume", f"{UV}:/build/uv:ro")
        how = ("--quiet", "--isolation=chroot", "--pull-never", "--layers=false", *mounts)
        do(*BUILDAH, *store, "bud", *how, "--tag", IMAGE, "--file", HERE / "worker.dockerfile", context)
    with _timed("image store"):
        _unpack((*BUILDAH, *store, "push", "--quiet", IMAGE), folder)


def _fill_cache_of_uv(target: Path) -> str:
    """See that all that the image installs is in uv's cache, for Python 3.11 whatever runs the tests."""
    what = ("--python-version", "3.11", "--require-hashes", "--requirements", LOCK)
    do(UV, "pip", "install", "--quiet", "--link-mode", "hardlink", "--target", target, *what)
    return do(UV, "cache", "dir").strip()


def _unpack(push: tuple[str | Path, ...], folder: Path) -> None:
    """From the builder's store into a containerd root, by a pipe; and the image of sandboxes beside it."""
    pipe, pause = folder / "pipe", folder / "pause.tar"
    os.mkfifo(pipe)
    program = Path(shutil.which("catatonit") or "").read_bytes()
    layer = oci.layer({"pause": program}, executable=True)
    oci.write_archive(pause, PAUSE, oci.NOTHING, layer, Entrypoint=["/pause", "-P"])
    machine = enclosure.Enclosure(folder, folder / "logs")
    try:
        containerd = Containerd(machine)
        containerd.import_image(pause)
        with subprocess.Popen([*map(str, push), f"docker-archive:{pipe}:{IMAGE}"]) as pushing:
            containerd.import_image(pipe)
        if pushing.returncode:
            raise BuildError(f"wanted buildah to push, found status {pushing.returncode}; see above")
        documents = containerd.image(IMAGE)
        containerd.stop()
        (machine.folder / "lib" / "containerd").rename(folder / "store")
    finally:
        machine.close()
    (folder / "store" / "image.json").write_text(json.dumps(asdict(documents)))


@contextmanager
def _timed(what: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    print(f"{what:<24} {time.monotonic() - start:.0f} s", flush=True)


def do(*words: str | Path, **options) -> str:
    """What a program prints; its complaints go where ours go."""
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, text=True, **options)
    if done.returncode:
        raise BuildError(
            f"wanted `{' '.join(map(str, words[:8]))} ...` to succeed, found exit status {done.returncode}; "
            "see above"
        )
    return done.stdout


if __name__ == "__main__":
    try:
        prepared_store()
    except (BuildError, enclosure.EnclosureError) as error:
        sys.exit(str(error))
