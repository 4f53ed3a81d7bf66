"""The images of test nodes, built from dockerfiles/, and what of them is kept outside the clone.

Minutes of work and gigabytes, so it is kept under names that are hashes of what went in:

    images/<dependencies>/store           containerd root, the layers of dependencies unpacked; nodes share it
    images/<dependencies>/buildah         the builder's layers, for the next change of our code
    images/<dependencies>/<code>.tar      manifests and the layers above: a megabyte or two

An interrupted build leaves nothing that counts. `python -m kube.nodes.images` makes what is missing.
"""

import fcntl
import hashlib
import json
import os
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kube.nodes import builder, enclosure, oci
from kube.nodes.builder import ROOT, Builder
from kube.nodes.programs import BuildError, need_programs
from kube.nodes.store import BLOBS, check, make_store

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autolfads"
OPERATOR, WORKER = (f"localhost/autolfads-{image}:test" for image in builder.IMAGES)
TAGS = {"operator": OPERATOR, "worker": WORKER}
# What .dockerignore lets in, requirements apart.
CODE = ("pyproject.toml", "README.md", "crds/autolfads_spec", "operator/autolfads_operator", "lfads_worker")
KEPT = 4  # versions of our code: a few clones use the same dependencies


@dataclass(frozen=True)
class Images:
    """What a node is given: nobody may write in `store`."""

    store: Path
    archive: Path


def prepared_images() -> Images:
    """The images of the clone as it is now, built if they are not there yet."""
    cache = CACHE / "images"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        need_programs()
        place = cache / _key_of_dependencies()
        if not place.exists():
            print(f"building the images for test nodes: {place}", flush=True)
            _build_dependencies(cache, place)
        archive = place / f"{_key_of_code()}.tar"
        if not archive.exists():
            with _timed("our code"):
                _build_images(place, archive)
        return Images(place / "store", archive)


def _key_of_dependencies() -> str:
    """Of all that is before the last stage of the Dockerfiles; it has our code."""
    content = hashlib.sha256(f"{builder.SUITE} {builder.PACKAGES} {builder.BASE_DOCKERFILE}".encode())
    for image in builder.IMAGES:
        before, _, _ = _dockerfile(image).read_bytes().partition(b"\nFROM dependencies\n")
        content.update(before + (builder.REQUIREMENTS / f"{image}.txt").read_bytes())
    content.update((builder.REQUIREMENTS / "build.txt").read_bytes())
    return content.hexdigest()[:16]


def _key_of_code() -> str:
    content = hashlib.sha256()
    paths = [*(_dockerfile(image) for image in builder.IMAGES), ROOT / "dockerfiles/image.sh"]
    for name in CODE:
        below = (path for path in (ROOT / name).rglob("*") if path.is_file() and path.suffix != ".pyc")
        paths += sorted(below) if (ROOT / name).is_dir() else [ROOT / name]
    for path in paths:
        content.update(f"{path.relative_to(ROOT)} {path.stat().st_size} ".encode() + path.read_bytes())
    return content.hexdigest()[:16]


def _dockerfile(image: str) -> Path:
    return ROOT / "dockerfiles" / f"{image}.Dockerfile"


def _build_dependencies(cache: Path, place: Path) -> None:
    for left in cache.glob("unfinished-*"):
        enclosure.sweep(left)
        shutil.rmtree(left)
    with _timed("Debian"):
        debian = builder.lay_debian(cache, oci.digest(builder.PACKAGES.encode())[-8:])
    unfinished = Path(tempfile.mkdtemp(dir=cache, prefix="unfinished-"))
    with closing(Builder(unfinished)) as made:
        with _timed("base image"):
            made.prepare(debian)
        for image in builder.IMAGES:
            with _timed(f"dependencies: {image}"):
                made.build(image, _dependencies(image), "--target", "dependencies")
        with _timed("image store"):
            make_store(made.push, map(_dependencies, builder.IMAGES), unfinished)
    unfinished.rename(place)


def _dependencies(image: str) -> str:
    return f"localhost/autolfads-{image}-dependencies:test"


def _build_images(place: Path, archive: Path) -> None:
    """Write the images without the layers that `store` has."""
    older = sorted(place.glob("*.tar"), key=lambda path: path.stat().st_mtime)
    for path in older[: 1 - KEPT]:
        path.unlink()
    with closing(Builder(place)) as made, tempfile.TemporaryDirectory(dir=place) as folder:
        layout = Path(folder) / "layout"
        blobs = layout / "blobs/sha256"
        blobs.mkdir(parents=True)
        (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        there = [path.name for path in (place / "store" / BLOBS).iterdir()]
        for name in there:
            (blobs / name).hardlink_to(place / "store" / BLOBS / name)
        for image, tag in TAGS.items():
            made.build(image, tag)
            with made.push(tag, f"oci:{layout}:{image}") as pushing:
                pass
            check(pushing, tag)
        _write_archive(layout, set(there), Path(folder) / "archive.tar")
        (Path(folder) / "archive.tar").rename(archive)


def _write_archive(layout: Path, there: set[str], archive: Path) -> None:
    """What `ctr image import` takes of a layout, without the blobs that are there."""
    index = json.loads((layout / "index.json").read_text())
    for entry in index["manifests"]:
        image = entry["annotations"]["org.opencontainers.image.ref.name"]
        entry["annotations"] = {"io.containerd.image.name": TAGS[image]}
    (layout / "index.json").write_text(json.dumps(index))
    with tarfile.open(archive, "w") as out:
        for name in ("oci-layout", "index.json"):
            out.add(layout / name, name)
        for blob in sorted((layout / "blobs/sha256").iterdir()):
            if blob.name not in there:
                out.add(blob, f"blobs/sha256/{blob.name}")


@contextmanager
def _timed(what: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    print(f"{what:<24} {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    try:
        prepared_images()
    except (BuildError, enclosure.EnclosureError) as error:
        sys.exit(str(error))
