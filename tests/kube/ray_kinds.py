"""KubeRay's kinds as the clusters of the tests have them: in the one version in which they are stored.

The old version that KubeRay serves beside it, and nobody here asks for, has the whole schema of a pod again,
several times: without it an API server starts with half the work.
"""

import functools
import json
from pathlib import Path

import yaml

import session
from controlplane import build

# But for the one behind an alpha gate.
NAMES = ("rayclusters", "rayjobs", "rayservices")


def files(kuberay: str) -> list[Path]:
    """The CRDs, to be applied by the server's side: they are too large for a client's annotation.

    Args:
      kuberay: folder of its go.mod in tests/controlplane.
    """
    folder = session.made_once(f"ray-kinds-of-{kuberay}", functools.partial(_write, kuberay))
    return [folder / f"{name}.json" for name in NAMES]


def _write(kuberay: str, folder: Path) -> None:
    for name in NAMES:
        path = build.files(kuberay) / f"config/crd/bases/ray.io_{name}.yaml"
        crd = yaml.load(path.read_text(), yaml.CSafeLoader)
        crd["spec"]["versions"] = [version for version in crd["spec"]["versions"] if version["storage"]]
        (folder / f"{name}.json").write_text(json.dumps(crd))
