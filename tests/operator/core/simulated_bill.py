"""What a run of a lab has cost, from the book of the machines, beside what its record says.

simulated_bill.of(world, room, prices) -> Bill
"""

from dataclasses import dataclass

from autolfads_operator import budget


@dataclass
class Bill:
    """A run's record beside the book; amounts in the table's currency, GPUs in hours.

    Attributes:
      amount, gpu_hours: of the record.
      least, most: what its stays on machines (and its head) cost: those that a look has seen of which the
        record was kept; and any others seen, all of them counted on until the next such look.
      gpu_least, gpu_most: the same of GPUs.
    """

    amount: float
    least: float
    most: float
    gpu_hours: float
    gpu_least: float
    gpu_most: float


def of(world, room, prices):
    stays = [stay for stay in room.stays if stay.run_uid == world.uid]
    by_machine = {}
    for stay in stays:
        by_machine.setdefault(stay.machine.name, []).append(stay)
    kept = world.folder.cost
    amount, gpu_hours = (kept.amount, kept.gpu_hours) if kept is not None else (0.0, 0.0)
    found = Bill(amount, 0.0, 0.0, gpu_hours, 0.0, 0.0)
    for on_it in by_machine.values():
        least, most = _counted(world, on_it)
        price = _price(on_it[0].machine, prices)
        found.least, found.most = found.least + price * least, found.most + price * most
    for stay in stays:
        least, most = _counted(world, [stay])
        found.gpu_least, found.gpu_most = found.gpu_least + least, found.gpu_most + most
    head = world.run.spec.compute.head
    for stay in world.head_stays:
        least, most = (prices.of_head(head.cpu, head.memory) * hours for hours in _counted(world, [stay]))
        found.least, found.most = found.least + least, found.most + most
    return found


def _price(machine, prices):
    return prices.hourly(
        machine.machine_type, machine.accelerator, machine.accelerators, machine.provisioning
    )


def _counted(world, stays):
    """Hours of stays on one machine that must be counted, and that may be."""
    least, spans = 0.0, []
    last = kept = world.kept_looks[-1] if world.kept_looks else 0.0
    if world.last_look > last:  # let go while its folder was down; while nothing changes, it is kept rarely
        kept -= budget.KEPT_EVERY_SECONDS
    for stay in stays:
        ended = stay.ended if stay.ended is not None else float("inf")
        if any(stay.began <= look < ended for look in world.kept_looks):
            least += max(0.0, min(ended, kept) - stay.began)
        if any(stay.began <= look < ended for look in world.looks):
            spans.append((stay.began, next((look for look in world.kept_looks if look >= ended), last)))
    most, until = 0.0, 0.0
    for began, ended in sorted(spans):  # where two overlap, the machine is counted once
        most += max(0.0, ended - max(began, until))
        until = max(until, ended)
    return least / 3600, most / 3600
