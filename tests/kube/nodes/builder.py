"""Builds the images of dockerfiles/ on this machine, with buildah and the script that `make images` calls.

No registry is asked. Debian's Python stands where BASE stands elsewhere, pip finds in a folder what builds,
and uv takes the rest from its cache, which the environment of the tests has filled. Files of settings say so
that are mounted while it builds, as on a machine with an index of its own; the Dockerfiles know nothing of
it. Layers stay for the next build. Knows no Kubernetes.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from kube.nodes.programs import BuildError, do

ROOT = Path(__file__).resolve().parents[3]
REQUIREMENTS = ROOT / "requirements"
IMAGES = ("operator", "worker")
# As little as the Python of Docker Hub has.
SUITE, PACKAGES = "bookworm", "python3,python-is-python3,python3-venv,ca-certificates"
BASE = "localhost/autolfads-base:test"
BASE_DOCKERFILE = """\
FROM scratch
ADD debian.tar /
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin
"""
UV = Path(sys.prefix) / "bin" / "uv"  # the one that made the environment of the tests
# Ends with us, and so do its mounts.
WITH_US = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount")


class Builder:
    """buildah with a folder of its own: images, layers, and what builds are given."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._given = folder / "given"
        for left in folder.glob("run-*"):  # of a builder that was killed
            shutil.rmtree(left)
        self._run = tempfile.TemporaryDirectory(dir=folder, prefix="run-")
        settings = Path(self._run.name) / "storage.conf"
        places = {"driver": "overlay", "graphroot": str(folder / "buildah"), "runroot": self._run.name}
        lines = (f"{name} = {json.dumps(value)}" for name, value in places.items())
        settings.write_text("\n".join(("[storage]", *lines)))
        self._environment = {
            **os.environ,
            "CONTAINERS_STORAGE_CONF": str(settings),
            "TMPDIR": self._run.name,
            "BUILDAH_ISOLATION": "chroot",
        }

    def close(self) -> None:
        self._run.cleanup()

    def prepare(self, debian: Path) -> None:
        """Make the base image, and see that all that builds need is on this machine."""
        wheels = self._given / "wheels"
        wheels.mkdir(parents=True)
        pinned = ("--quiet", "--no-deps", "--require-hashes", "--requirement", REQUIREMENTS / "build.txt")
        do(sys.executable, "-m", "pip", "download", "--dest", wheels, *pinned)
        (self._given / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /given/wheels\n")
        (self._given / "uv.toml").write_text('offline = true\ncache-dir = "/given/cache"\n')
        for image in IMAGES:
            self._fill_cache_of_uv(REQUIREMENTS / f"{image}.txt")
        with tempfile.TemporaryDirectory(dir=self._folder) as context:
            (Path(context) / "debian.tar").hardlink_to(debian)
            (Path(context) / "Dockerfile").write_text(BASE_DOCKERFILE)
            self._do("buildah", "build", "--quiet", "--timestamp", "0", "--tag", BASE, context)

    def _fill_cache_of_uv(self, requirements: Path) -> None:
        """For Python 3.11, whatever runs the tests."""
        with tempfile.TemporaryDirectory(dir=self._folder) as target:
            what = ("--python-version", "3.11", "--require-hashes", "--requirements", requirements)
            do(UV, "pip", "install", "--quiet", "--link-mode", "hardlink", "--target", target, *what)

    def build(self, image: str, tag: str, *options: str) -> None:
        """One image of dockerfiles/; what it printed is told when it fails."""
        mounts = {
            self._given / "pip.conf": "/etc/pip.conf:ro",
            self._given / "uv.toml": "/etc/uv/uv.toml:ro",
            self._given / "wheels": "/given/wheels:ro",
            Path(do(UV, "cache", "dir").strip()): "/given/cache",
        }
        volumes = (word for here, there in mounts.items() for word in ("--volume", f"{here}:{there}"))
        words = (ROOT / "dockerfiles" / "image.sh", "build", image, "--pull-never", *volumes, *options)
        chosen = {"ENGINE": "buildah", "BASE": BASE, "TAG": tag, "REVISION": "test", "SOURCE": ""}
        done = subprocess.run(
            [str(word) for word in (*WITH_US, *words)],
            env={**self._environment, **chosen},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise BuildError(
                f"wanted the image {image} built, found exit status {done.returncode}:\n{done.stdout}"
            )

    def push(self, tag: str, target: str) -> "subprocess.Popen[bytes]":
        """Start writing an image, its layers not compressed, where `target` says."""
        words = (*WITH_US, "buildah", "push", "--quiet", "--disable-compression", tag, target)
        return subprocess.Popen(words, env=self._environment)

    def _do(self, *words: str | Path) -> None:
        do(*WITH_US, *words, env=self._environment)


def lay_debian(cache: Path, name: str) -> Path:
    """A tar of the smallest Debian with PACKAGES, made once."""
    debian = cache / f"{SUITE}-{name}.tar"
    if not debian.exists():
        with tempfile.TemporaryDirectory(dir=cache, prefix="unfinished-") as folder:
            what = ("--variant=minbase", f"--include={PACKAGES}", SUITE)
            do("mmdebstrap", "--quiet", *what, Path(folder) / "debian.tar")
            shutil.move(Path(folder) / "debian.tar", debian)
    return debian
