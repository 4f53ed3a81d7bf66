"""GKE's autoscaler and scheduler for a Project, without Kubernetes and by the Project's clock; and the book.

    room.step(wanted)        pods that want a machine get one, machines that nobody wants go
    room.stays               every stay of a pod on a machine: from when to when; the last ones are open
    room.on(slot)            the stay of a pod that is on a machine now

A machine takes one pod (one with all its accelerators). It takes BOOT_SECONDS to start, and is ended when it
stood empty for IDLE_SECONDS: what docs/cost.md says is not counted. The book is written from the machines,
not from what the operator saw of them.
"""

from dataclasses import dataclass

from gke import autoscaler
from gke.project import Machine, Shortage

BOOT_SECONDS, IDLE_SECONDS = 120.0, 600.0


@dataclass
class Stay:
    """A pod on a machine; of a run's head, whose machine is not the operator's, `machine` is None."""

    run_uid: str
    pod: str
    attempt: int
    began: float
    machine: Machine | None = None
    ended: float | None = None

    @property
    def was_preempted(self):
        return self.machine is not None and self.machine.was_preempted


class MachineRoom:
    def __init__(self, project):
        self.project = project
        self.stays = []
        self.nodes = {}  # what the node of each machine says of itself
        self._present, self._promised, self._empty_since = {}, {}, {}
        self._number, self._stepped_at = 0, project.now()

    def on(self, slot):
        return self._present.get(slot)

    def step(self, wanted):
        """wanted: {(uid of the run, name of the RayJob, index): (attempt, names of pools)}, in order."""
        self._leave(wanted)
        for slot, (attempt, names) in wanted.items():
            if slot not in self._present:
                self._promise(slot, names)
                self._come(slot, attempt)
        self._shrink()
        self._stepped_at = self.project.now()

    def _leave(self, wanted):
        """Pods that are wanted no more go, and those whose machine has ended, with it."""
        now = self.project.now()
        self.project.running()  # what is due is done
        for slot, stay in list(self._present.items()):
            if stay.machine.ended is not None or slot not in wanted:
                stay.ended = now if stay.machine.ended is None else stay.machine.ended
                self._empty_since[stay.machine.name] = stay.ended
                del self._present[slot]
        for slot, machine in list(self._promised.items()):
            if machine.ended is not None or slot not in wanted:
                del self._promised[slot]

    def _promise(self, slot, names):
        """A machine that is free or starting, else a new one of the first pool that has any."""
        if slot in self._promised:
            return
        taken = {m.name for m in self._promised.values()} | {s.machine.name for s in self._present.values()}
        free = [m for m in self.project.running() if m.pool in names and m.name not in taken]
        for name in names if not free else ():
            found = self.project.grow(name)
            if not isinstance(found, Shortage):
                self._add_node(found)
                free = [found]
                break
        if free:
            self._promised[slot] = free[0]

    def _add_node(self, machine):
        pool = self.project.pools[machine.pool]
        capacity = {autoscaler.GPU: str(machine.accelerators)}
        labels = autoscaler.node_labels(pool, machine.zone)
        self.nodes[machine.name] = {"metadata": {"labels": labels}, "status": {"capacity": capacity}}
        self._empty_since[machine.name] = machine.began + BOOT_SECONDS

    def _come(self, slot, attempt):
        machine = self._promised.get(slot)
        if machine is not None and self.project.now() >= machine.began + BOOT_SECONDS:
            began = max(machine.began + BOOT_SECONDS, self._stepped_at)
            del self._promised[slot]
            self._number += 1
            uid, job, _ = slot
            self._present[slot] = Stay(uid, f"{job}-worker-{self._number}", attempt, began, machine)
            self.stays.append(self._present[slot])

    def _shrink(self):
        used = {m.name for m in self._promised.values()} | {s.machine.name for s in self._present.values()}
        for machine in self.project.running():
            until = max(self._empty_since[machine.name] + IDLE_SECONDS, self._stepped_at)
            if machine.name not in used and self.project.now() >= until:
                self.project.end(machine, until)
