"""Writes small container images of one layer, by the OCI image layout: for what no builder is needed.

The same content gives the same digests. Knows neither builders nor runtimes.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def layer(files: Mapping[str, bytes], executable: bool = False) -> bytes:
    """A layer with these files, owned by root, as a tar without times."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as out:
        for name, content in sorted(files.items()):
            _add(out, name, content, 0o755 if executable else 0o644)
    return buffer.getvalue()


def write_archive(archive: Path, reference: str, top: bytes, **settings: object) -> None:
    """Write what `ctr image import` takes: an image of one layer; `settings` go into its configuration."""
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": settings,
            "rootfs": {"type": "layers", "diff_ids": [digest(top)]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **_descriptor(config)},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", **_descriptor(top)}],
        }
    )
    entry = {
        "mediaType": MANIFEST,
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
