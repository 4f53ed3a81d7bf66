"""Names, labels, owner references and the hash of the spec of everything that the operator makes for a run.

Deterministic, so that an operator that was killed, or a second one, finds what the first one made.
Knows no Kubernetes client.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from autolfads_operator.observed import CustomResource
from autolfads_spec.run import API_VERSION, GROUP, KIND, AutoLFADSRun, RunSpec

FIELD_MANAGER = "autolfads-operator"
FINALIZER = f"{GROUP}/machines"
FORCE_DELETE = f"{GROUP}/force-delete"  # annotation; "true": drop the run without waiting for anything

RUN_LABEL = f"{GROUP}/run"
UID_LABEL = f"{GROUP}/run-uid"
ATTEMPT_LABEL = f"{GROUP}/attempt"
SPEC_HASH = f"{GROUP}/spec-hash"  # annotation: of which spec it is made
MANAGED_BY = "app.kubernetes.io/managed-by"

WORKER_GROUP = "workers"
RAY_CONTAINER = "ray"
CONFIG_FOLDER = "/etc/autolfads"
CONFIG_FILE = "run.yaml"
LONGEST_NAME = 47  # of a RayJob, says KubeRay


def attempt_name(run: str, attempt: int) -> str:
    """Name of the RayJob and of the ConfigMap of an attempt, and Ray's id of the driver: run-a01."""
    name = f"{run}-a{attempt:02d}"
    if len(name) > LONGEST_NAME:
        raise ValueError(
            f"wanted a name of at most {LONGEST_NAME} characters, found {name}; shorten the run's"
        )
    return name


def attempt_of(labels: Mapping[str, str]) -> int | None:
    """The attempt that an object of ours belongs to, from its labels; None when they do not say."""
    text = labels.get(ATTEMPT_LABEL, "")
    return int(text) if text.isdigit() else None


def labels(run: str, uid: str, attempt: int) -> dict[str, str]:
    """Labels of every object of an attempt, those that KubeRay makes included."""
    return {
        MANAGED_BY: FIELD_MANAGER,
        RUN_LABEL: run,
        UID_LABEL: uid,
        ATTEMPT_LABEL: str(attempt),
    }


def metadata(resource: CustomResource, run: AutoLFADSRun, attempt: int) -> dict[str, Any]:
    """`metadata` of the ConfigMap and of the RayJob of an attempt."""
    return {
        "name": attempt_name(resource.name, attempt),
        "namespace": resource.namespace,
        "labels": labels(resource.name, resource.uid, attempt),
        "annotations": {SPEC_HASH: spec_hash(run.spec)},
        "ownerReferences": [owner_reference(resource.name, resource.uid)],
    }


def spec_hash(spec: RunSpec) -> str:
    """Changes whenever something that an attempt is made of does; pausing is no such thing."""
    content = spec.model_dump(mode="json", by_alias=True, exclude={"suspend"})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def selector(uid: str) -> str:
    """Label selector of everything that belongs to one run."""
    return f"{UID_LABEL}={uid}"


ALL_RUNS_SELECTOR = f"{MANAGED_BY}={FIELD_MANAGER}"


def owner_reference(run: str, uid: str) -> dict[str, Any]:
    """Makes an object go with its run; it never keeps the run from going."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": run,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
