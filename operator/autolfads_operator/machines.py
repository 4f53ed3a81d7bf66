"""Which machines a run holds, and what they cost an hour; pure.

    machines.running(observed, compute, table) -> tuple[Running, ...]
    machines.notes(observed, compute, table)   -> what is to be known about the prices, in words
    machines.planned(compute, workers, table)  -> what an hour costs with so many workers

A machine is charged once and whole, however many workers of the run are on it: from when the first of them
was put there until the last is over or gone. The head shares its machine with others, so it is charged by
what it requests. What a machine is comes from its node; where that cannot be read, from the run's spec.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from autolfads_operator import pools
from autolfads_operator.cost import Running
from autolfads_operator.observed import Machine, Observed, Pod, PodRole
from autolfads_operator.prices import PriceTable, Provisioning
from autolfads_spec.compute import Accelerator, ComputeSpec

# Such a pod holds nothing any more, however long it is still shown.
_OVER = ("Succeeded", "Failed")


class Kind(NamedTuple):
    """What a machine is, as far as its price depends on it."""

    machine_type: str
    accelerator: str | None
    accelerators: int
    provisioning: Provisioning

    def __str__(self) -> str:
        return f"{self.machine_type} {self.provisioning}"


class Planned(NamedTuple):
    """What an hour of training takes."""

    price: float
    gpus: int


def running(observed: Observed, compute: ComputeSpec, table: PriceTable) -> tuple[Running, ...]:
    """Everything of a run that costs at this moment."""
    placed = [pod for pod in observed.pods if pod.node is not None and pod.phase not in _OVER]
    workers = [pod for pod in placed if pod.role is PodRole.WORKER]
    heads = [pod for pod in placed if pod.role is PodRole.HEAD]
    return (
        *_nodes(workers, observed, compute, table),
        *(_of_pod(pod, "GPUs of a worker", 0.0, observed.now) for pod in workers if pod.gpus),
        *(_of_pod(pod, "head", _head_price(compute, table), observed.now) for pod in heads),
    )


def notes(observed: Observed, compute: ComputeSpec, table: PriceTable) -> tuple[str, ...]:
    """What whoever reads the amounts should know; empty when all is as it should be."""
    nodes = {
        pod.node: observed.machines.get(pod.node)
        for pod in observed.pods
        if pod.node is not None and pod.role is PodRole.WORKER
    }
    found: set[str] = set()
    if observed.nodes_denied:
        found.add("machines as in the spec: nodes may not be read")
    for machine in nodes.values():
        kind = _seen(machine, compute) if machine is not None else None
        if kind is not None and _price(kind, table) is None:
            found.add(f"no price of {kind.machine_type}: counted as in the spec")
        if machine is not None and machine.region not in (None, table.region):
            found.add(f"machines are in {machine.region}")
    if priced(compute, table) is None:
        found.add(f"no price of {asked(compute).machine_type}: it is not counted")
    return tuple(sorted(found))


def asked(compute: ComputeSpec) -> Kind:
    """The machine of a worker as the spec has it; the dearest one where it leaves a choice."""
    accelerator = compute.accelerator or Accelerator(type="None")
    has_gpus = accelerator.type != "None"
    ways: dict[str, Provisioning] = {"Spot": "Spot", "FlexStart": "FlexStart"}
    return Kind(
        pools.machine_type(accelerator),
        accelerator.type if has_gpus else None,
        accelerator.count_per_worker if has_gpus else 0,
        ways.get(compute.provisioning, "OnDemand"),
    )


def priced(compute: ComputeSpec, table: PriceTable) -> float | None:
    """What a worker's machine costs an hour as the spec has it; None when the table does not say."""
    return _price(asked(compute), table)


def planned(compute: ComputeSpec, workers: int, table: PriceTable) -> Planned:
    """What an hour of training takes with so many workers as the spec has them."""
    kind = asked(compute)
    price = (priced(compute, table) or 0.0) * workers + _head_price(compute, table)
    return Planned(price, kind.accelerators * workers)


def _nodes(
    workers: list[Pod], observed: Observed, compute: ComputeSpec, table: PriceTable
) -> Iterator[Running]:
    by_node: dict[str, list[Pod]] = defaultdict(list)
    for pod in workers:
        by_node[pod.node or ""].append(pod)
    for node, on_it in sorted(by_node.items()):
        machine = observed.machines.get(node)
        kind = asked(compute) if machine is None else _seen(machine, compute)
        price = _price(kind, table)
        if price is None:
            price = priced(compute, table) or 0.0
        yield Running(
            key=f"node/{node}",
            kind=str(kind),
            attempt=max(pod.attempt for pod in on_it),
            price=price,
            gpus=0,
            since=min(pod.placed_at or observed.now for pod in on_it),
        )


def _of_pod(pod: Pod, kind: str, price: float, now: datetime) -> Running:
    return Running(
        key=f"pod/{pod.name}",
        kind=kind,
        attempt=pod.attempt,
        price=price,
        gpus=pod.gpus,
        since=pod.placed_at or now,
    )


def _seen(machine: Machine, compute: ComputeSpec) -> Kind:
    """What a node says it is, and the spec where it says nothing."""
    spec = asked(compute)
    if machine.machine_type is None:
        return spec
    return Kind(machine.machine_type, machine.accelerator, machine.count, machine.provisioning)


def _price(kind: Kind, table: PriceTable) -> float | None:
    return table.hourly(kind.machine_type, kind.accelerator, kind.accelerators, kind.provisioning)


def _head_price(compute: ComputeSpec, table: PriceTable) -> float:
    return table.of_head(compute.head.cpu, compute.head.memory)
