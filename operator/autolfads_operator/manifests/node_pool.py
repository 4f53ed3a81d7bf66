"""A GKE node pool as the Cluster Manager is asked for it, as a plain mapping in the API's own words; pure.

GKE adds by itself the labels cloud.google.com/gke-nodepool, gke-accelerator and gke-spot and the taint
nvidia.com/gpu, so none of them is here. Machines come with the first pending pod and go with the last one.
"""

from typing import Any

from autolfads_operator.pools import WantedPool

INSTALL_LABEL = "autolfads-operator"
SPEC_LABEL = "autolfads-spec"
RUN_LABEL = "autolfads-run"

# Which scopes a node has is the old way to limit it; with Workload Identity rights are a matter of IAM.
SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


def labels(install: str, pool: WantedPool) -> dict[str, str]:
    """What says whose it is: on the machines for the bill, and on the Kubernetes nodes."""
    run = {RUN_LABEL: pool.run_uid} if pool.run_uid is not None else {}
    return {**pool.labels, INSTALL_LABEL: install, SPEC_LABEL: pool.spec_hash, **run}


def node_pool(install: str, pool: WantedPool) -> dict[str, Any]:
    """The whole request, without nodes at first."""
    made: dict[str, Any] = {
        "name": pool.name,
        "initial_node_count": 0,
        "autoscaling": autoscaling(pool.max_nodes),
        "config": _config(install, pool),
        "management": {"auto_repair": pool.provisioning != "FlexStart", "auto_upgrade": True},
    }
    return made | ({"locations": list(pool.zones)} if pool.zones else {})


def autoscaling(max_nodes: int) -> dict[str, Any]:
    """From nothing to so many nodes in all zones together, in whichever zone has one."""
    return {
        "enabled": True,
        "total_min_node_count": 0,
        "total_max_node_count": max_nodes,
        "location_policy": "ANY",  # BALANCED, the default, would wait for the zone that has run out
    }


def _config(install: str, pool: WantedPool) -> dict[str, Any]:
    whose = labels(install, pool)
    config: dict[str, Any] = {
        "machine_type": pool.machine_type,
        "labels": whose,
        "resource_labels": whose,
        "oauth_scopes": list(SCOPES),
        "workload_metadata_config": {"mode": "GKE_METADATA"},
        # Secure boot stays off: it refuses kernel modules that are not signed, and some drivers are not.
        "shielded_instance_config": {"enable_integrity_monitoring": True},
    }
    if pool.accelerator is not None:
        driver = {"gpu_driver_version": pool.driver_version.upper()}
        config["accelerators"] = [
            {
                "accelerator_type": pool.accelerator,
                "accelerator_count": pool.accelerators_per_node,
                "gpu_driver_installation_config": driver,
            }
        ]
    return config | _bought(pool)


def _bought(pool: WantedPool) -> dict[str, Any]:
    match pool.provisioning:
        case "Spot":
            return {"spot": True}
        case "FlexStart":  # such machines come from no reservation and are replaced, not repaired
            return {
                "flex_start": True,
                "reservation_affinity": {"consume_reservation_type": "NO_RESERVATION"},
            }
        case _:
            return {}
