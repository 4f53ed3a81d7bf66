"""run.yaml of one attempt as a ConfigMap, which the head mounts; pure.

Immutable: what an attempt was asked to do can be read afterwards, and nobody changes it under a driver.
"""

from typing import Any

from autolfads_operator.manifests import names
from autolfads_operator.observed import CustomResource
from autolfads_spec.run import AutoLFADSRun, Metadata, dump_run


def config_map(resource: CustomResource, run: AutoLFADSRun, attempt: int) -> dict[str, Any]:
    """The ConfigMap of an attempt; the same whoever makes it, as long as the spec does not change."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": names.metadata(resource, run, attempt),
        "immutable": True,
        "data": {names.CONFIG_FILE: dump_run(for_driver(run))},
    }


def for_driver(run: AutoLFADSRun) -> AutoLFADSRun:
    """The run as a driver gets it: without what is Kubernetes' business, and free to go on.

    `resume.policy: Never` is kept by the operator before the first attempt; every later one finds what
    the one before has left, and must go on from it.
    """
    spec = run.spec.model_copy(update={"suspend": False})
    if spec.resume.policy == "Never":
        spec = spec.model_copy(update={"resume": spec.resume.model_copy(update={"policy": "IfPresent"})})
    metadata = Metadata(name=run.metadata.name, namespace=run.metadata.namespace)
    return run.model_copy(update={"metadata": metadata, "spec": spec})
