"""Writes small container images: a tar layer, a configuration and a manifest, by the OCI image layout.

For what no builder is needed: a few files on top of an image whose layers the receiving store already has, or
on top of nothing. The same content gives the same digests. Knows neither builders nor runtimes.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Base:
    """The image below: its two documents as its store has them."""

    manifest: dict[str, Any]
    config: dict[str, Any]


NOTHING = Base(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json"},
        "layers": [],
    },
    {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}},
)


def layer(files: Mapping[str, bytes], executable: bool = False) -> bytes:
    """A layer with these files, owned by root, as a tar without times."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as out:
        for name, content in sorted(files.items()):
            _add(out, name, content, 0o755 if executable else 0o644)
    return buffer.getvalue()


def write_archive(archive: Path, reference: str, base: Base, top: bytes, **settings: object) -> None:
    """Write what `ctr image import` takes: `base` and one more layer; `settings` go into its document."""
    docker = "docker" in base.manifest["mediaType"]
    kind = (
        "application/vnd.docker.image.rootfs.diff.tar" if docker else "application/vnd.oci.image.layer.v1.tar"
    )
    rootfs = {**base.config["rootfs"], "diff_ids": [*base.config["rootfs"]["diff_ids"], digest(top)]}
    history = [*base.config.get("history", []), {"created_by": reference}]
    inner = {**base.config.get("config", {}), **settings}
    config = _json({**base.config, "config": inner, "rootfs": rootfs, "history": history})
    manifest = _json(
        {
            **base.manifest,
            "config": {**base.manifest["config"], **_descriptor(config)},
            "layers": [*base.manifest["layers"], {"mediaType": kind, **_descriptor(top)}],
        }
    )
    entry = {
        "mediaType": base.manifest["mediaType"],
        **_descriptor(manifest),
        "annotations": {"io.containerd.image.name": reference},
    }
    with tarfile.open(archive, "w") as out:
        _add(out, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(out, "index.json", _json({"schemaVersion": 2, "manifests": [entry]}))
        for blob in (config, manifest, top):
            _add(out, f"blobs/sha256/{digest(blob).removeprefix('sha256:')}", blob)


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _descriptor(content: bytes) -> dict[str, Any]:
    return {"digest": digest(content), "size": len(content)}


def _json(document: object) -> bytes:
    return json.dumps(document).encode()


def _add(out: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    out.addfile(entry, io.BytesIO(content))
