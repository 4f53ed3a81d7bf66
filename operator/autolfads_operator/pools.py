"""Which node pools a run wants; pure: what a pool is made of, never how it is made.

    pools.wanted(run, resource, terms) -> the pools of a run, in the order in which they are tried

Names and hashes are deterministic, so that an operator that was killed finds what it has made before.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from autolfads_operator.observed import CustomResource
from autolfads_operator.terms import Terms
from autolfads_spec.compute import MACHINE_TYPES, Accelerator, NodePool
from autolfads_spec.run import AutoLFADSRun

PoolProvisioning = Literal["OnDemand", "Spot", "FlexStart"]

MANAGED_MODES = ("Shared", "Dedicated")
# 40 characters of a name, less `alr-`, a dash and eight of the hash.
_LONGEST_ACCELERATOR = 27
# Machines that hold more than one accelerator, where the type alone does not say which.
_LARGER: Mapping[tuple[str, int], str] = {
    ("nvidia-l4", 2): "g2-standard-24",
    ("nvidia-l4", 4): "g2-standard-48",
    ("nvidia-l4", 8): "g2-standard-96",
    **{("nvidia-tesla-a100", count): f"a2-highgpu-{count}g" for count in (2, 4, 8)},
    **{("nvidia-a100-80gb", count): f"a2-ultragpu-{count}g" for count in (2, 4, 8)},
    **{("nvidia-h100-80gb", count): f"a3-highgpu-{count}g" for count in (2, 4, 8)},
}


@dataclass(frozen=True)
class WantedPool:
    """A node pool as it is to be made.

    Attributes:
      name: `alr-<accelerator>-<hash8>`, at most 40 characters.
      machine_type: such as g2-standard-8.
      accelerator: in GKE's words, such as nvidia-l4; None for CPU nodes.
      accelerators_per_node: 0 for CPU nodes.
      provisioning: how its nodes are bought; the run's SpotThenOnDemand is two pools.
      zones: where its nodes may be; none means the cluster's own.
      max_nodes: largest size in all zones together; the least is always 0.
      driver_version: GPU driver that GKE installs.
      labels: of nodes and of the machines behind them, beside those of ownership: for reading the bill.
      spec_hash: of everything above that cannot be changed later; also in the labels.
      run_uid: of the run it is for alone; None for a shared one; also in the labels.
    """

    name: str
    machine_type: str
    accelerator: str | None
    accelerators_per_node: int
    provisioning: PoolProvisioning
    zones: tuple[str, ...]
    max_nodes: int
    driver_version: Literal["Default", "Latest"]
    labels: Mapping[str, str]
    spec_hash: str
    run_uid: str | None = None


def is_managed(run: AutoLFADSRun) -> bool:
    """Whether the operator makes the nodes of this run."""
    pool = run.spec.compute.node_pool
    return pool is not None and pool.mode in MANAGED_MODES


def wanted(run: AutoLFADSRun, resource: CustomResource, terms: Terms) -> tuple[WantedPool, ...]:
    """The pools of a run, the one to be tried first before the others; none when others make its nodes."""
    asked = run.spec.compute.node_pool
    if asked is None or asked.mode not in MANAGED_MODES:
        return ()
    ladder: tuple[PoolProvisioning, ...]
    match run.spec.compute.provisioning:
        case "SpotThenOnDemand":
            ladder = ("Spot", "OnDemand")
        case single:
            ladder = (single,)
    return tuple(_pool(run, asked, each, resource, terms) for each in ladder)


def machine_type(accelerator: Accelerator) -> str:
    """The machine of a worker: as asked for, else the smallest that holds its accelerators."""
    if accelerator.machine_type is not None:
        return accelerator.machine_type
    larger = _LARGER.get((accelerator.type, accelerator.count_per_worker))
    return larger or MACHINE_TYPES.get(accelerator.type, MACHINE_TYPES["None"])


def _pool(
    run: AutoLFADSRun, asked: NodePool, provisioning: PoolProvisioning, resource: CustomResource, terms: Terms
) -> WantedPool:
    compute = run.spec.compute
    accelerator = compute.accelerator or Accelerator(type="None")
    has_gpus = accelerator.type != "None"
    is_own = asked.mode == "Dedicated"
    run_uid = resource.uid if is_own else None
    shape = {
        "install": terms.install_id,  # two installations in one cluster must not meet in a name
        "machineType": machine_type(accelerator),
        "accelerator": accelerator.type,
        "count": accelerator.count_per_worker if has_gpus else 0,
        "provisioning": provisioning,
        "zones": sorted(asked.zones or ()),
        "driver": asked.driver_version or "Default",
        "run": run_uid,
    }
    spec_hash = hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()[:16]
    whose = {"autolfads-name": resource.name, "autolfads-namespace": resource.namespace}
    return WantedPool(
        name=_name(accelerator.type if has_gpus else "cpu", spec_hash),
        machine_type=machine_type(accelerator),
        accelerator=accelerator.type if has_gpus else None,
        accelerators_per_node=accelerator.count_per_worker if has_gpus else 0,
        provisioning=provisioning,
        zones=tuple(sorted(asked.zones or ())),
        max_nodes=asked.max_nodes or compute.workers.desired,
        driver_version=asked.driver_version or "Default",
        labels=whose if is_own else {},
        spec_hash=spec_hash,
        run_uid=run_uid,
    )


def _name(accelerator: str, spec_hash: str) -> str:
    word = re.sub("[^a-z0-9]+", "-", accelerator.lower())[:_LONGEST_ACCELERATOR].strip("-")
    return f"alr-{word}-{spec_hash[:8]}"
