"""`spec.compute`: on which machines the population trains.

A local run uses `workers` and `membersPerCohort` at most and ignores the rest; prices and quotas are the
operator's business.
"""

import difflib
from typing import Any, ClassVar, Literal

from pydantic import Field

from autolfads_spec.block import (
    ANY_TIME,
    LIST_OF_UNIQUE,
    WHILE_SUSPENDED,
    Block,
    Rule,
    wanted,
)

# One accelerator a machine where such a machine exists: the cheapest way to hold one cohort.
MACHINE_TYPES: dict[str, str] = {
    "None": "n2-standard-8",
    "nvidia-tesla-t4": "n1-standard-8",
    "nvidia-l4": "g2-standard-8",
    "nvidia-tesla-a100": "a2-highgpu-1g",
    "nvidia-a100-80gb": "a2-ultragpu-1g",
    "nvidia-h100-80gb": "a3-highgpu-1g",
}
QUANTITY = r"^[1-9][0-9]{0,8}(\.[0-9]{1,3})?"


def _unknown_accelerator(a: "Accelerator") -> str | None:
    if a.type in MACHINE_TYPES or a.machine_type is not None:
        return None
    near = difflib.get_close_matches(a.type, MACHINE_TYPES, n=1)
    cure = f"did you mean {near[0]}? Or" if near else "choose one of these, or"
    return (
        f"wanted type to be one of {', '.join(MACHINE_TYPES)}, found '{a.type}'; "
        f"{cure} give machineType beside another type"
    )


class Accelerator(Block):
    """What a worker computes on."""

    type: str = Field(
        min_length=1,
        max_length=63,
        pattern="^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$",
        examples=["nvidia-l4"],
        json_schema_extra=wanted("the name of an accelerator on GKE such as nvidia-l4, or None for CPU only"),
        description="The accelerator, named as GKE labels its nodes; None trains on CPU nodes.",
    )
    count_per_worker: int = Field(1, ge=1, le=8, description="Accelerators of one worker.")
    machine_type: str | None = Field(
        None,
        max_length=63,
        pattern="^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        json_schema_extra=wanted("a machine type such as g2-standard-8"),
        description="Machine type of the worker nodes; by default any that has the accelerator, and in a "
        "pool that the operator makes one that fits it, such as g2-standard-8 for one nvidia-l4.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            ("type", "machineType"),
            f"self.type in [{', '.join(repr(name) for name in MACHINE_TYPES)}] || has(self.machineType)",
            f"wanted type to be one of {', '.join(MACHINE_TYPES)}; choose one, or give machineType beside "
            "another type",
            _unknown_accelerator,
        ),
    )


class Workers(Block):
    """How many workers train cohorts at the same time."""

    desired: int = Field(
        1, ge=1, le=64, description="Workers to train with when there are machines for them."
    )
    min: int = Field(1, ge=1, le=64, description="Workers to start with; the run grows to `desired` later.")

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            ("desired", "min"),
            "self.min <= self.desired",
            "wanted workers.min of at most workers.desired; lower min or raise desired",
            lambda w: (
                f"wanted min of at most desired, found min {w.min} and desired {w.desired}; lower min or "
                "raise desired"
                if w.min > w.desired
                else None
            ),
        ),
    )


def _pool_name_problem(p: "NodePool") -> str | None:
    if p.mode == "Existing" and p.name is None:
        return (
            "wanted the name of the node pool with mode Existing, found none; "
            "add name, or remove nodePool to use any node with the accelerator"
        )
    if p.mode != "Existing" and p.name is not None:
        return (
            f"wanted no name with mode {p.mode}, whose pools are named by the operator, found '{p.name}'; "
            "remove name, or use mode Existing"
        )
    return None


def _pool_shape_problem(p: "NodePool") -> str | None:
    found = [
        name
        for name, value in (
            ("maxNodes", p.max_nodes),
            ("zones", p.zones),
            ("driverVersion", p.driver_version),
        )
        if value is not None
    ]
    if p.mode in ("Shared", "Dedicated") or not found:
        return None
    return (
        f"wanted {', '.join(found)} only with mode Shared or Dedicated, where the operator makes the pool, "
        f"found mode {p.mode}; remove {', '.join(found)}, or change mode"
    )


class NodePool(Block):
    """Which node pool the workers run in, and who makes it."""

    mode: Literal["Existing", "Shared", "Dedicated", "Auto"] = Field(
        "Existing",
        description="Existing: a pool of the cluster's; Shared: one the operator makes for all runs of a "
        "kind; "
        "Dedicated: one it makes for this run; Auto: GKE makes nodes as needed.",
    )
    name: str | None = Field(
        None,
        max_length=40,
        pattern="^[a-z]([a-z0-9-]*[a-z0-9])?$",
        json_schema_extra=wanted("the name of a node pool: at most 40 lower-case letters, digits and dashes"),
        description="Name of the pool, with mode Existing only.",
    )
    max_nodes: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Largest size of a pool the operator makes; the default is `workers.desired`.",
    )
    zones: tuple[str, ...] | None = Field(
        None,
        strict=False,
        min_length=1,
        max_length=8,
        json_schema_extra=LIST_OF_UNIQUE | {"x-item-max-length": 63},
        description="Zones of a pool the operator makes; the default is the cluster's.",
    )
    driver_version: Literal["Default", "Latest"] | None = Field(
        None,
        description="GPU driver that GKE installs in a pool the operator makes; GKE's default when left out.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            ("mode", "name"),
            "(self.mode == 'Existing') == has(self.name)",
            "mode Existing needs the pool's name, the other modes take none; add or remove name",
            _pool_name_problem,
        ),
        Rule(
            ("mode", "maxNodes", "zones", "driverVersion"),
            "self.mode in ['Shared', 'Dedicated']"
            " || (!has(self.maxNodes) && !has(self.zones) && !has(self.driverVersion))",
            "maxNodes, zones and driverVersion are for pools the operator makes; remove them, or use "
            "Shared or Dedicated",
            _pool_shape_problem,
        ),
        Rule(
            ("zones",),
            "",  # the list type `set` is the guard in the API server
            "",
            lambda p: (
                "wanted each zone once, found one twice; remove it"
                if p.zones is not None and len(set(p.zones)) < len(p.zones)
                else None
            ),
        ),
    )


class Head(Block):
    """The machine that runs the driver; it trains nothing."""

    cpu: str = Field(
        "2",
        max_length=16,
        pattern=QUANTITY + "m?$",
        json_schema_extra=wanted('a Kubernetes quantity of CPUs in quotes, such as "2" or "500m"'),
        description="CPUs of the head, as a Kubernetes quantity.",
    )
    memory: str = Field(
        "8Gi",
        max_length=16,
        pattern=QUANTITY + "(Mi|Gi|Ti|M|G|T)$",
        json_schema_extra=wanted("a Kubernetes quantity of memory such as 8Gi"),
        description="Memory of the head, as a Kubernetes quantity; Ray needs about 8Gi.",
    )


NAME_PATTERN = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"


class ComputeSpec(Block):
    """On which machines the population trains; a local run ignores most of it."""

    accelerator: Accelerator | None = Field(
        None,
        json_schema_extra=WHILE_SUSPENDED,
        description="What a worker computes on; needed in a cluster, where it costs money, ignored on a "
        "laptop.",
    )
    workers: Workers = Field(
        default_factory=Workers,
        json_schema_extra=ANY_TIME,
        description="How many workers train at the same time; in a cluster no more are asked for than there "
        "are cohorts to train. Changed while the run trains, machines join or leave, and no result changes; "
        "when a run begins on GPUs, membersPerCohort Auto goes by it.",
    )
    members_per_cohort: int | Literal["Auto"] = Field(
        "Auto",
        json_schema_extra={
            "x-wanted": "a whole number from 1 to 512, or Auto",
            "x-minimum": 1,
            "x-maximum": 512,
        },
        description="Members trained together on one device. Auto: 2 on a CPU; on GPUs the population shared "
        "out over the GPUs, as far as their memory carries: those that are asked for in a cluster, those of "
        "the machine on a laptop, when the run begins.",
    )
    provisioning: Literal["OnDemand", "Spot", "SpotThenOnDemand", "FlexStart"] = Field(
        "OnDemand",
        json_schema_extra=WHILE_SUSPENDED,
        description="How the worker nodes are bought; Spot is cheapest and can be taken away at any time, "
        "which costs at most the generation that is running.",
    )
    node_pool: NodePool | None = Field(
        None,
        json_schema_extra=WHILE_SUSPENDED,
        description="Which node pool the workers run in; by default any existing node with the accelerator.",
    )
    head: Head = Field(
        default_factory=Head,
        json_schema_extra=WHILE_SUSPENDED,
        description="The machine that runs the driver; it trains nothing.",
    )
    image: str | None = Field(
        None,
        min_length=1,
        max_length=512,
        pattern="^[!-~]+$",  # printable ASCII; engines differ about which other characters are spaces
        json_schema_extra=WHILE_SUSPENDED | wanted("the name of a container image, without spaces"),
        description="Container image of head and workers; the default is the operator's.",
    )
    service_account_name: str | None = Field(
        None,
        max_length=63,
        pattern=NAME_PATTERN,
        json_schema_extra=WHILE_SUSPENDED | wanted("the name of a Kubernetes service account"),
        description="Kubernetes service account of head and workers, which may read the data and write "
        "the output.",
    )
    queue_name: str | None = Field(
        None,
        max_length=63,
        pattern=NAME_PATTERN,
        json_schema_extra=WHILE_SUSPENDED | wanted("the name of a Kueue LocalQueue"),
        description="Kueue queue that admits the run; by default it is not queued.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            ("membersPerCohort",),
            "type(self.membersPerCohort) == string ? self.membersPerCohort == 'Auto'"
            " : self.membersPerCohort >= 1 && self.membersPerCohort <= 512",
            "wanted membersPerCohort to be a whole number from 1 to 512, or Auto",
            lambda c: _members_problem(c.members_per_cohort),
        ),
    )

    def ignored_locally(self) -> tuple[str, ...]:
        """The fields that were given and that a run on this machine does not look at, in camelCase."""
        given: dict[str, Any] = {
            "accelerator": self.accelerator,
            "provisioning": self.provisioning if self.provisioning != "OnDemand" else None,
            "nodePool": self.node_pool,
            "head": self.head if self.head != Head() else None,
            "image": self.image,
            "serviceAccountName": self.service_account_name,
            "queueName": self.queue_name,
        }
        return tuple(name for name, value in given.items() if value is not None)


def _members_problem(members: int | str) -> str | None:
    if members == "Auto" or (isinstance(members, int) and 1 <= members <= 512):
        return None
    return f"wanted a whole number from 1 to 512, or Auto, found {members}; correct it"
