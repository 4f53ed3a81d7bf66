"""The world of `simulator` with a Google Cloud: node pools that take time, quotas, and nodes that run out.

Like the rest of the simulator it is written a second time, from GKE's documentation: one operation at a time,
each of which takes a while and may fail at its end; replies that are lost; pools of others. What the operator
remembers of refused writes (`cloud.CloudView`) is kept here as simply as possible.
"""

from dataclasses import dataclass, field, replace

import operator_simulator as simulator

from autolfads_operator import pools, sweeper
from autolfads_operator.errors import CloudError, CloudUnavailableError
from autolfads_operator.observed import Cloud, CloudProblem, NodePool, Quota
from autolfads_spec.status import Reason

POOL_LABEL = "cloud.google.com/gke-nodepool"
OPERATION_SECONDS = 90
BUSY_SECONDS = 15


@dataclass
class Pool:
    name: str
    provisioning: str
    max_nodes: int
    run_uid: str | None = None
    spec_hash: str = ""
    is_ours: bool = True
    status: str = "PROVISIONING"
    version: int = 1

    @property
    def gives_nodes(self):
        return self.status in ("RUNNING", "RUNNING_WITH_ERROR", "RECONCILING")


@dataclass
class Operation:
    kind: str
    pool: str
    done_at: object
    fails: bool = False


@dataclass
class Google:
    """The state of the cluster's pools."""

    world: "CloudWorld"
    pools: dict = field(default_factory=dict)
    operation: Operation | None = None
    is_up: bool = True
    reply_lost: bool = False
    fails_late: bool = False
    refuses: bool = False
    limit: float = 100.0
    dry: set = field(default_factory=set)  # kinds of machines that Google has none of
    trouble: tuple | None = None
    refused: dict = field(default_factory=dict)
    not_ours: set = field(default_factory=set)
    writes: list = field(default_factory=list)

    # Time.

    def step(self):
        """What is due is done."""
        operation = self.operation
        if operation is None or self.world.now < operation.done_at:
            return
        self.operation = None
        pool = self.pools.get(operation.pool)
        if pool is None:
            return
        pool.version += 1
        if operation.kind == "delete" and not operation.fails:
            del self.pools[operation.pool]
        else:
            pool.status = "ERROR" if operation.fails and operation.kind == "create" else "RUNNING"
            self.world.ever_usable |= pool.gives_nodes

    def meddle(self):
        """Somebody else does something to the cluster."""
        if self.operation is None:
            self._begin("other", "")

    def delete_by_hand(self):
        for pool in list(self.pools.values()):
            if pool.is_ours and self.operation is None:
                del self.pools[pool.name]

    def run_dry(self, provisioning):
        self.dry.add(provisioning)

    # What the operator may do.

    def create(self, wanted):
        self._answer(wanted.name)
        found = self.pools.get(wanted.name)
        if found is not None and not found.is_ours:
            self.not_ours.add(wanted.name)
            raise simulator.OutdatedActionError
        if found is not None and found.status != "STOPPING":
            assert found.spec_hash == wanted.spec_hash
            return
        self._begin_or_busy("create", wanted.name)
        if self.refuses:
            self.refuses, self.operation = False, None
            self.refused[wanted.name] = self.world.now
            raise simulator.OutdatedActionError
        assert len(wanted.name) <= 40
        self.pools[wanted.name] = Pool(
            wanted.name, wanted.provisioning, wanted.max_nodes, wanted.run_uid, wanted.spec_hash
        )
        self._lose_reply()

    def resize(self, name, max_nodes, etag):
        self._answer(name)
        pool = self._own(name, etag)
        assert max_nodes > pool.max_nodes, "a pool never shrinks under use"
        self._begin_or_busy("resize", name)
        pool.max_nodes, pool.status, pool.version = max_nodes, "RECONCILING", pool.version + 1
        self._lose_reply()

    def delete(self, name, etag):
        self._answer(name)
        if name not in self.pools or self.pools[name].status == "STOPPING":
            return
        pool = self._own(name, etag)
        self._begin_or_busy("delete", name)
        pool.status, pool.version = "STOPPING", pool.version + 1
        self._lose_reply()

    def _own(self, name, etag):
        pool = self.pools.get(name)
        if pool is None or str(pool.version) != etag:
            raise simulator.OutdatedActionError
        assert pool.is_ours, "a pool of somebody else is never touched"
        return pool

    def _answer(self, name):
        self.writes.append((self.world.now, name))
        if not self.is_up:
            self._remember(CloudProblem.UNAVAILABLE, "503", 15)

    def _begin_or_busy(self, kind, name):
        if self.operation is not None:
            self._remember(CloudProblem.BUSY, "at another operation", BUSY_SECONDS)
        self._begin(kind, name)

    def _begin(self, kind, name):
        later = simulator.timedelta(seconds=OPERATION_SECONDS)
        self.operation = Operation(kind, name, self.world.now + later, self.fails_late)
        self.fails_late = False

    def _lose_reply(self):
        if self.reply_lost:
            self.reply_lost = False
            self._remember(CloudProblem.UNAVAILABLE, "no answer", CloudUnavailableError.wait_seconds)

    def _remember(self, problem, message, seconds):
        self.trouble = (problem, message, self.world.now + simulator.timedelta(seconds=seconds))
        raise simulator.OutdatedActionError

    # What the operator sees.

    def seen(self, name=None, uid=None):
        pools = (p for p in self.pools.values() if p.is_ours and (uid is None or p.run_uid == uid))
        return tuple(self._told(pool) for pool in pools if name is None or pool.name == name)

    def look(self, names, uid):
        if not self.is_up:
            return Cloud(CloudProblem.UNAVAILABLE, "503", pools=None)
        known = {pool.name: pool for name in names for pool in self.seen(name)}
        known |= {pool.name: pool for pool in self.seen(uid=uid)}
        foreign = [NodePool(name, "", is_ours=False) for name in names if name in self.not_ours]
        trouble = self.trouble if self.trouble is not None and self.world.now < self.trouble[2] else None
        recent = [name for name, at in self.refused.items() if (self.world.now - at).total_seconds() < 60]
        return Cloud(
            problem=trouble[0] if trouble else None,
            message=trouble[1] if trouble else "",
            pools=(*known.values(), *foreign),
            quotas={name: (Quota("NVIDIA_L4_GPUS", self.limit, 0.0, "us-central1"),) for name in names},
            refused={name: (Reason.NODE_POOL_FAILED, "no such machine") for name in recent},
        )

    def _told(self, pool):
        operation = self.operation
        is_dry = pool.provisioning in self.dry and pool.status == "RUNNING"
        return NodePool(
            name=pool.name,
            status="RUNNING_WITH_ERROR" if is_dry else pool.status,
            is_ours=pool.is_ours,
            spec_hash=pool.spec_hash,
            run_uid=pool.run_uid,
            max_nodes=pool.max_nodes,
            conditions=(("GCE_STOCKOUT", "no such machines in the zone"),) if is_dry else (),
            operation=operation.kind if operation is not None and operation.pool == pool.name else None,
            etag=str(pool.version),
        )


class CloudWorld(simulator.World):
    """All that exists, Google Cloud included."""

    def __init__(self, run, terms, generations=3):
        super().__init__(run, terms, generations)
        self.google = Google(self)
        self.allowed: dict[str, tuple[str, ...]] = {}
        self.ever_usable = False
        runs = lambda: () if self.gone else (super(CloudWorld, self).observed().custom_resource,)  # noqa: E731
        self._sweeper = sweeper.Sweeper(
            _View(self.google), runs, terms, 3600, 3600, lambda: True, lambda: self.now.timestamp()
        )

    def sweep(self):
        """One look of the sweeper."""
        try:
            self._sweeper.sweep().send(None)
        except (StopIteration, CloudError, simulator.OutdatedActionError):
            return
        raise AssertionError("nothing waits in here")

    def pass_time(self, seconds):
        super().pass_time(seconds)
        self.google.step()

    def put_foreign(self, name):
        self.google.pools[name] = Pool(name, "OnDemand", 3, is_ours=False, status="RUNNING")

    # Nodes.

    def _room(self, job):
        """Nodes that the workers of a job can get."""
        pools = [self.google.pools.get(name) for name in self.allowed.get(job.name, ())]
        return sum(
            pool.max_nodes
            for pool in pools
            if pool is not None and pool.gives_nodes and pool.provisioning not in self.google.dry
        )

    def nodes_for(self, job):
        return min(super().nodes_for(job), self._room(job))

    def _pods(self, job):
        for pod in super()._pods(job):
            if pod.role == "worker":
                has_node = pod.node is not None
                yield replace(
                    pod,
                    phase="Running" if has_node else "Pending",
                    is_ready=has_node,
                    unschedulable=None if has_node else "0/3 nodes are available",
                )
            else:
                yield pod

    def observed(self):
        found = super().observed()
        mode = self.run.spec.compute.node_pool.mode if self.run.spec.compute.node_pool else "Existing"
        known = self.status.node_pool
        if mode not in ("Shared", "Dedicated") and (known is None or known.status is None):
            return found
        names = [pool.name for pool in self._wanted(found)]
        return replace(found, cloud=self.google.look(names, found.custom_resource.uid))

    def _wanted(self, found):
        return pools.wanted(self.run, found.custom_resource, self.terms)

    # What an operator does.

    def _do_ApplyRayJob(self, action):
        super()._do_ApplyRayJob(action)
        template = action.manifest["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]
        self.allowed[action.manifest["metadata"]["name"]] = pools_of(template)

    def _do_ScaleWorkers(self, action):
        job = next((job for job in self.jobs.values() if f"{job.name}-x" == action.cluster), None)
        if job is not None and not job.replicas and job.replicas is not None:
            assert self.ever_usable, "a pool is there before workers are asked for"
        super()._do_ScaleWorkers(action)

    def _do_CreateNodePool(self, action):
        assert self.ever_driven, "no pool before the recording is checked"
        self.google.create(action.pool)

    def _do_ResizeNodePool(self, action):
        self.google.resize(action.name, action.max_nodes, action.etag)

    def _do_DeleteNodePool(self, action):
        pool = self.google.pools.get(action.name)
        live = [job for job in self.jobs.values() if simulator.is_live(job)]
        has_ended = self.status.phase is not None and self.status.phase.is_terminal
        assert pool is None or pool.run_uid is not None, "a shared pool is the sweeper's"
        assert not live or has_ended or self.deleted_at is not None, "no pool goes under a driver"
        self.google.delete(action.name, action.etag)


class _View:
    """What the sweeper sees, and does."""

    def __init__(self, google):
        self.google = google

    async def pools(self):
        if not self.google.is_up:
            raise CloudUnavailableError("503")
        return self.google.seen()

    async def change(self, name, write):
        await write(self)

    async def delete(self, name, etag):
        self.google.delete(name, etag)


def pools_of(template):
    """Names of the pools that a pod may be on."""
    name = template.get("nodeSelector", {}).get(POOL_LABEL)
    if name is not None:
        return (name,)
    required = (
        template.get("affinity", {})
        .get("nodeAffinity", {})
        .get("requiredDuringSchedulingIgnoredDuringExecution", {})
    )
    found = [
        expression["values"]
        for term in required.get("nodeSelectorTerms", ())
        for expression in term["matchExpressions"]
        if expression["key"] == POOL_LABEL
    ]
    return tuple(found[0]) if found else ()


def check(world, operators=1):
    """What must hold at every moment, beside what `simulator.check` says."""
    simulator.check(world, operators)
    for pool in world.google.pools.values():
        assert pool.is_ours or (pool.status, pool.max_nodes, pool.version) == ("RUNNING", 3, 1)


def calm(world):
    """No fault any more."""
    world.store_up = world.machines = world.kuberay_up = True
    google = world.google
    google.is_up, google.reply_lost, google.fails_late, google.refuses = True, False, False, False
    google.limit = 100.0
    google.dry.clear()


def settle(world, operator, rounds=400):
    """Lets everything run without faults until nothing changes any more and no pool of the run is left."""
    calm(world)
    for _ in range(rounds):
        operator.turn()
        check(world)
        for _ in range(2):
            world.kuberay_step()
            world.driver_step()
            check(world)
        world.pass_time(20)
        if world.gone and not world.jobs:
            return
        phase = world.status.phase
        at_rest = phase is not None and (phase.is_terminal or phase == "Suspended")
        live = any(simulator.is_live(job) for job in world.jobs.values())
        own = world.google.seen(uid="run-uid")
        if at_rest and world.deleted_at is None and not live and not own:
            return
