"""Several runs, one operator at a time, and Google Cloud's own client: the worlds of `simulator` in one lab.

KubeRay, drivers and output folders are those of `simulator`. Everything about node pools is the product's:
`Observer`'s look at the cloud, `CloudView`, `ClusterManager` with the google-cloud-container client over
gRPC, `Quotas` over HTTP, `Actor` and `Sweeper`; what they talk to is the Project of tests/gke. All of it goes
by one clock, in which the pauses of Google's client pass too, so nobody sleeps.

    lab = Lab(project, loop, terms, make_run, metrics)
    lab.apply(mode, way)          a new run -> its world
    lab.tick(seconds)             everybody moves, the operator included
    lab.away(seconds)             everybody but the operator, of which a new one takes over then
    lab.turn(world), lab.step(world), lab.sweep()
    lab.bill(world)               what its record says, and what it must say
"""

import asyncio
import datetime

import operator_simulated_bill as simulated_bill
import operator_simulated_lab_run as lab_run
import operator_simulator as simulator

from autolfads_operator import pools, sweeper
from autolfads_operator.act import Actor
from autolfads_operator.cloud import CloudView
from autolfads_operator.errors import CloudError, OutdatedError
from autolfads_operator.gke import ClusterManager, insecure
from autolfads_operator.observe import Observer
from autolfads_operator.quota import Quotas
from gke.machine_room import MachineRoom

TICK_SECONDS = 20.0
IDLE_SECONDS = SWEEP_SECONDS = 3600.0


class KilledError(Exception):
    """The operator's process is no more."""


class Clock:
    """Of everybody."""

    def __init__(self):
        self.seconds = 1000.0

    def __call__(self):
        return self.seconds

    def monotonic(self):
        return self.seconds

    async def sleep(self, seconds):
        self.seconds += seconds

    @property
    def utc(self):
        return simulator.START + datetime.timedelta(seconds=self.seconds)


class Process:
    """An operator: what it remembers is gone with it."""

    def __init__(self, lab):
        terms, clock = lab.terms, lab.clock
        endpoint = lab.project.endpoint
        self.clusters = ClusterManager(terms.cluster, terms.install_id, insecure(endpoint))
        self.quotas = Quotas(terms.cluster, lab.project.compute.url, monotonic=clock)
        self.view = CloudView(self.clusters, self.quotas, terms.poll_starting_seconds, clock)
        now = lambda: clock.utc  # noqa: E731
        self.observer = Observer(None, None, None, now, clock, (self.view, terms))
        self.actor = Actor(None, None, None, lab.metrics, "simulated", now, self.view)
        self.sweeper = sweeper.Sweeper(
            self.view, lab.resources, terms, IDLE_SECONDS, SWEEP_SECONDS, lambda: True, clock
        )
        self.sweeps_at = clock() + SWEEP_SECONDS
        self.swept_at = clock()
        self.operators = {}

    def operator(self, world):
        return self.operators.setdefault(world.uid, lab_run.Operator(world))

    async def close(self):
        self.quotas.close()
        await self.clusters.close()


class Lab:
    def __init__(self, project, loop, terms, make_run, metrics):
        self.project, self.loop, self.terms = project, loop, terms
        self.make_run, self.metrics = make_run, metrics
        self.clock = project.now
        self.room = MachineRoom(project)
        self.worlds, self._task = [], None
        self.process = Process(self)

    # People.

    def apply(self, mode, way):
        compute = {
            "accelerator": {"type": "nvidia-l4"},
            "workers": {"desired": 2},
            "nodePool": {"mode": mode},
            "provisioning": way,
        }
        blocks = {
            "output": {"uri": f"gs://lab/runs/{len(self.worlds)}"},
            "retry": {"maxAttempts": 100},
            "schedule": {"deadline": "10000h"},
        }
        run = self.make_run(f"reach-{len(self.worlds)}", compute=compute, **blocks)
        self.worlds.append(lab_run.LabWorld(self, run))
        return self.worlds[-1]

    def wanted_names(self):
        return [pool.name for world in self.worlds for pool in self._wanted(world)]

    def _wanted(self, world):
        return pools.wanted(world.run, world.resource(), self.terms)

    def resources(self):
        return tuple(world.resource() for world in self.worlds if not world.gone)

    # Time.

    def pass_time(self, seconds):
        self.clock.seconds += seconds
        self.place()

    def place(self):
        """Pods and machines as they are by now."""
        wanted = {}
        for world in self.worlds:
            world.place_heads()
            wanted |= world.slots()
        before = {slot: stay for slot in wanted if (stay := self.room.on(slot)) is not None}
        self.room.step(wanted)
        for slot, stay in before.items():
            if stay.was_preempted:
                next(world for world in self.worlds if world.uid == stay.run_uid).lost[slot] = stay

    def others(self):
        for world in self.worlds:
            world.kuberay_step()
        self.place()
        for world in self.worlds:
            world.driver_step()

    def tick(self, seconds=TICK_SECONDS):
        for world in self.worlds:
            self.turn(world)
        self.sweep_when_due()
        self.others()
        self.pass_time(seconds)

    def away(self, seconds):
        for _ in range(int(seconds // 60)):
            self.others()
            self.pass_time(60)
        self.restart()

    # The operator.

    def ask(self, question):
        """The answer to a coroutine of the product."""
        self._task = self.loop.create_task(question)
        try:
            return self.loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            raise KilledError from None

    def kill_at_once(self):
        """Called from the thread of a server: before any answer is sent."""
        self.loop.call_soon_threadsafe(self._task.cancel)

    def restart(self):
        self.loop.run_until_complete(self.process.close())
        self.process = Process(self)

    def turn(self, world):
        """A whole look."""
        self.alive(lambda: self.process.operator(world).turn())

    def step(self, world):
        """The next action of a look."""
        self.alive(lambda: self.process.operator(world).step())

    def alive(self, what):
        try:
            what()
        except KilledError:
            self.restart()

    def sweep(self):
        process = self.process
        process.swept_at = self.clock()
        pause_seconds = sweeper.PAUSE_SECONDS
        try:
            pause_seconds = self.ask(process.sweeper.sweep())
        except (CloudError, OutdatedError):
            pass
        except KilledError:
            self.restart()
            return
        process.sweeps_at = self.clock() + pause_seconds

    def sweep_when_due(self):
        waited = self.clock() - self.process.swept_at
        is_due = self.clock() >= self.process.sweeps_at
        if is_due or (waited >= sweeper.PAUSE_SECONDS and self._has_broken()):
            self.sweep()

    def _has_broken(self):
        told = (world for world in self.worlds if world.status.node_pool and not world.gone)
        broken = (world for world in told if world.status.node_pool.status == "ERROR")
        return any(sweeper._has_broken(world.resource()) for world in broken)

    # The end.

    def calm(self):
        """No fault any more."""
        project = self.project
        project.faults_over()
        project.restock()
        project.is_down = project.is_denied = False
        project.quotas = {name: 32 for name in project.quotas}
        for world in self.worlds:
            world.store_up = world.kuberay_up = True

    def is_at_rest(self, world):
        if any(simulator.is_live(job) for job in world.jobs.values()):
            return False
        phase = world.status.phase
        return world.gone or (
            world.deleted_at is None and phase is not None and (phase.is_terminal or phase == "Suspended")
        )

    def ours(self):
        return [pool for pool in self.project.pools.values() if self._is_ours(pool)]

    def _is_ours(self, pool):
        return pool.config.resource_labels.get("autolfads-operator") == self.terms.install_id

    def is_empty(self):
        return not self.ours() and not self.project.running()

    def settle(self, ends, longest_seconds):
        """Time passes without faults until `ends()`; whether it did."""
        self.calm()
        until = self.clock() + longest_seconds
        while self.clock() < until:
            if ends():
                return True
            rests = all(map(self.is_at_rest, self.worlds)) and not self.project.running()
            self.tick(15 * TICK_SECONDS if rests else TICK_SECONDS)
            for world in self.worlds:
                simulator.check(world)
        return False

    def bill(self, world):
        return simulated_bill.of(world, self.room, self.terms.prices)
