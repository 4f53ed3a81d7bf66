"""A containerd root that nodes share: images unpacked once, seen by every node, changed by none.

Knows nothing of what the images are or of how they are built.
"""

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from subprocess import Popen

from kube.nodes import oci
from kube.nodes.containerd import PAUSE, Containerd
from kube.nodes.enclosure import Enclosure
from kube.nodes.programs import BuildError

BLOBS = "io.containerd.content.v1.content/blobs/sha256"
SNAPSHOTS = "io.containerd.snapshotter.v1.overlayfs/snapshots"
Push = Callable[[str, str], "Popen[bytes]"]


def make_store(push: Push, tags: Iterable[str], folder: Path) -> None:
    """Make `folder`/store of images, which `push` writes into a pipe, and of the one of sandboxes."""
    pipe, pause = folder / "pipe", folder / "pause.tar"
    os.mkfifo(pipe)
    program = Path(shutil.which("catatonit") or "").read_bytes()
    layer = oci.layer({"pause": program}, executable=True)
    oci.write_archive(pause, PAUSE, layer, Entrypoint=["/pause", "-P"])
    machine = Enclosure(folder, folder / "logs")
    try:
        containerd = Containerd(machine)
        containerd.import_image(pause)
        pause.unlink()
        for tag in tags:
            with push(tag, f"docker-archive:{pipe}:{tag}") as pushing:
                containerd.import_image(pipe)
            check(pushing, tag)
        containerd.stop()
        (machine.folder / "lib" / "containerd").rename(folder / "store")
    finally:
        machine.close()
    pipe.unlink()


def check(pushing: "Popen[bytes]", tag: str) -> None:
    """That a push which has ended went well."""
    if pushing.returncode:
        raise BuildError(f"wanted buildah to push {tag}, found status {pushing.returncode}; see above")


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
