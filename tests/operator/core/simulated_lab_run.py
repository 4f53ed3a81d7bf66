"""A run in a lab: the world of `simulator`, with its pods on the machines of a Project; see simulated_lab.

What is known of its node pools, and what is done to them, is the product's. Beside that it keeps the book of
its heads and of the looks at it: `looks` are all that could read its folder, `kept_looks` those of them after
which its cost was in the folder, `last_look` is any.
"""

import datetime
from dataclasses import replace

import operator_simulated_cloud as simulated_cloud
import operator_simulator as simulator

from autolfads_operator import actions, objects
from autolfads_operator.errors import OutdatedError
from autolfads_operator.manifests import names
from autolfads_operator.observed import Pod, PodRole
from gke.machine_room import Stay

MOMENT_SECONDS = 0.01  # so that nothing happens at the very time of a look


class LabWorld(simulator.World):
    """One run of a lab."""

    def __init__(self, lab, run, generations=25):
        self.lab = lab
        super().__init__(run, lab.terms, generations)
        self.uid = f"uid-of-{run.metadata.name}"
        self.applied = self.now
        self.allowed = {}
        self.lost = {}  # slot → the stay of a pod that has failed and is still shown
        self.heads = {}
        self.head_stays, self.looks, self.kept_looks = [], [], []
        self.last_look = 0.0

    @property
    def now(self):
        return self.lab.clock.utc

    @now.setter
    def now(self, _):
        """Time is the lab's."""

    def _place(self):
        """Machines are the lab's too."""

    # Pods.

    def slots(self):
        """The pods of workers that want to be on a machine."""
        return {
            slot: (job.attempt, self.allowed.get(job.name, ()))
            for job in self.jobs.values()
            for index in range(job.replicas or 0)
            if (slot := (self.uid, job.name, index)) not in self.lost
        }

    def place_heads(self):
        now = self.lab.clock()
        for name in [name for name in self.heads if name not in self.jobs or not self.jobs[name].head]:
            self.heads.pop(name).ended = now
        for job in self.jobs.values():
            if job.head and job.name not in self.heads:
                pod = f"{job.name}-head-{len(self.head_stays)}"
                self.heads[job.name] = Stay(self.uid, pod, job.attempt, now)
                self.head_stays.append(self.heads[job.name])

    def nodes_for(self, job):
        return sum(
            self.lab.room.on((self.uid, job.name, index)) is not None for index in range(job.replicas or 0)
        )

    def kuberay_step(self):
        super().kuberay_step()
        if self.kuberay_up:
            self.lost.clear()  # it makes new ones

    def _pods(self, job):
        if job.head and job.name in self.heads:
            yield self._pod(self.heads[job.name], PodRole.HEAD, "default")
        for index in range(job.replicas):
            slot = (self.uid, job.name, index)
            stay = self.lab.room.on(slot)
            if slot in self.lost:
                pod = self._pod(self.lost[slot], PodRole.WORKER, self.lost[slot].machine.name)
                yield replace(pod, phase="Failed", is_ready=False, reason="Terminated")
            elif stay is not None:
                yield self._pod(stay, PodRole.WORKER, stay.machine.name)
            else:
                unplaced = Pod(f"{job.name}-waits-{index}", PodRole.WORKER, job.attempt, "Pending", gpus=1)
                yield replace(unplaced, unschedulable="0/3 nodes are available")

    def _pod(self, stay, role, node):
        since = simulator.START + datetime.timedelta(seconds=stay.began)
        gpus = 1 if role is PodRole.WORKER else 0
        return Pod(stay.pod, role, stay.attempt, "Running", True, node=node, placed_at=since, gpus=gpus)

    # What the operator sees, and does.

    def resource(self):
        found = super().observed().custom_resource
        return replace(found, uid=self.uid, created=self.applied)

    def observed(self):
        self.lab.place()
        found = super().observed()
        resource = replace(found.custom_resource, uid=self.uid, created=self.applied)
        jobs = {f"{job.name}-x": job for job in self.jobs.values()}
        clusters = tuple(replace(c, ready_workers=self.nodes_for(jobs[c.name])) for c in found.ray_clusters)
        nodes = self.lab.room.nodes
        placed = {pod.node for pod in found.pods if pod.node in nodes}
        is_alone = not found.ray_jobs and not found.pods
        now = self.now
        look = self.lab.process.observer._look_at_cloud(resource, is_alone)
        return replace(
            found,
            custom_resource=resource,
            ray_clusters=clusters,
            machines={name: objects.machine_of(nodes[name]) for name in placed},
            cloud=self.lab.ask(look),
            now=now,
        )

    def _do_ApplyRayJob(self, action):
        super()._do_ApplyRayJob(action)
        template = action.manifest["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]
        self.allowed[action.manifest["metadata"]["name"]] = simulated_cloud.pools_of(template)

    def _do_WriteCost(self, action):
        super()._do_WriteCost(action)
        if self.folder.cost is action.record:
            self.kept_looks.append(self.looks[-1])

    def _do_RemoveFinalizer(self, action):
        super()._do_RemoveFinalizer(action)
        own = [
            pool for pool in self.lab.ours() if pool.config.resource_labels.get("autolfads-run") == self.uid
        ]
        assert not own or names.FORCE_DELETE in self.annotations, "a run stays until its own pool is gone"

    def _do_CreateNodePool(self, action):
        assert self.ever_driven, "no pool before the recording is checked"
        self._change(action)

    def _do_ResizeNodePool(self, action):
        self._change(action)

    def _do_DeleteNodePool(self, action):
        live = [job for job in self.jobs.values() if simulator.is_live(job)]
        has_ended = self.status.phase is not None and self.status.phase.is_terminal
        assert not live or has_ended or self.deleted_at is not None, "no pool goes under a driver"
        self._change(action)

    def _change(self, action):
        try:
            self.lab.ask(self.lab.process.actor.carry_out(action, self.resource()))
        except OutdatedError as error:
            raise simulator.OutdatedActionError from error


class Operator(simulator.Operator):
    """Remembers which looks count: those after which the record was kept, or needed not be."""

    def look(self):
        world = self.world
        world.lab.pass_time(MOMENT_SECONDS)
        super().look()
        world.lab.clock.seconds += MOMENT_SECONDS
        if world.gone:
            return
        world.last_look = _seconds(self.seen.now)
        if self.seen.folder.problem is None:
            world.looks.append(world.last_look)
            if not any(isinstance(action, actions.WriteCost) for action in self.plan.actions):
                world.kept_looks.append(world.last_look)


def _seconds(now):
    return (now - simulator.START).total_seconds()
