"""The images of a test node: the store it begins with, and the worker's image with the code of this clone.

The worker's image is the environment and, on top, our packages as pip installs them. That layer is made at
every start of a node and takes seconds; a builder would read and write again the gigabytes below it. Building
the environment is environment.py's business.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from kube.nodes import environment, oci
from kube.nodes.containerd import Containerd
from kube.nodes.enclosure import Enclosure

WORKER = "localhost/autolfads-worker:test"
SNAPSHOTS = "io.containerd.snapshotter.v1.overlayfs/snapshots"
SITE = "usr/local/lib/python3.11/dist-packages"
PACKAGES = ("lfads_worker", "crds", "operator")


def lay_store(store: Path, machine: Enclosure) -> None:
    """Give a node a containerd root of its own that has the images of `store`.

    Blobs are links and databases copies. Unpacked layers are fifty thousand files, so they are mounted where
    they are wanted, read-only: a node can neither change nor remove them.
    """
    target = machine.folder / "lib" / "containerd"
    snapshots = shutil.ignore_patterns("snapshots")
    shutil.copytree(store, target, ignore=snapshots, copy_function=_copy_or_link, dirs_exist_ok=True)
    (target / SNAPSHOTS).mkdir()
    for layer in (store / SNAPSHOTS).iterdir():
        (target / SNAPSHOTS / layer.name).mkdir()
        machine.run("mount", "--options", "bind,ro", layer, f"/var/lib/containerd/{SNAPSHOTS}/{layer.name}")


def _copy_or_link(source: str, target: str) -> None:
    (shutil.copy if source.endswith(".db") else os.link)(source, target)


def import_worker(store: Path, machine: Enclosure, containerd: Containerd) -> None:
    """Make the worker's image of the code as it is now, and give it to a node that has `store`."""
    archive = machine.folder / "worker.tar"
    oci.write_archive(archive, WORKER, environment.image(store), oci.layer(_code()))
    containerd.import_image(archive)


def _code() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        source, site = Path(folder) / "source", Path(folder) / "site"
        built = shutil.ignore_patterns("__pycache__", "*.egg-info")
        for name in PACKAGES:
            shutil.copytree(environment.ROOT / name, source / name, ignore=built)
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(environment.ROOT / name, source)
        alone = ("--quiet", "--offline", "--no-deps", "--no-build-isolation", "--python", sys.executable)
        environment.do(environment.UV, "pip", "install", *alone, "--target", site, source)
        files = [path for path in site.rglob("*") if path.is_file()]
        return {
            f"{SITE}/{path.relative_to(site)}": path.read_bytes()
            for path in files
            if path.relative_to(site).parts[0] not in ("bin", ".lock")
        }
