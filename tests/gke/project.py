"""A Google Cloud project with one GKE cluster, as its node pools behave: the state behind the fakes.

This is not GKE. It does what Google's documentation and the client's own comments say that GKE does, as far
as our operator relies on it; test_conformance.py is the list. What it cannot tell is how GKE really behaves.

    project.pools                       {name: container_v1.NodePool}, as GetNodePool would tell them
    project.put_foreign_pool(name)      a pool that somebody else has made
    project.operation_seconds           how long an operation takes (0.2); the clock is `now`
    project.finish()                    every operation is over now
    project.meddle(seconds)             an operation of somebody else: the cluster is busy; without a number
                                        until finish()
    project.touch(name), project.remove(name)   somebody else changes a pool: another etag; or deletes it
    project.fault(method, what, times)  what the next calls of a method meet, in the order given:
        error(code, message, reason)        refused, without effect
        reply_lost(code)                    done, but the caller hears an error
        slow(seconds)                       answered late
        fails_late(condition, message)      accepted, but the operation ends with an error
        overtaken(seconds)                  the caller hears an error, and it is done so much later
        cut_off(told)                       done, and told() is called before anybody is answered
    project.faults_over()               none of them is left
    project.is_down, project.is_denied  True: every call is UNAVAILABLE, or PERMISSION_DENIED
    project.calls                       every call so far: method, name, code, at
    project.quotas                      {name: limit}; project.others_use(name, n) is what others hold
    project.stock_out(accelerator, provisioning, zone)      None is any; project.restock() ends all
    project.machines                    every machine ever: pool, zone, began, ended (None: it runs), ...
    project.running(pool=None)          those that run
    project.preempt(machine)            Google takes a spot machine back
    project.bill()                      {pool: seconds in which a machine of it ran}
    project.grow(pool), project.end(machine, at)    what the autoscaler does, `at` being now or a little
                                        earlier; grow() answers a Shortage when it cannot
"""

import contextlib
import dataclasses
import hashlib
import itertools
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable

from google.cloud import container_v1
from google.rpc import code_pb2, status_pb2

CLUSTER = "projects/lab/locations/us-central1/clusters/atlas"
ZONES = ("us-central1-a", "us-central1-b", "us-central1-c")
NAME = re.compile(r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$")
ALL_REGIONS = "GPUS_ALL_REGIONS"
# Of Google's names for them; whatever is not here has no quota in this project.
QUOTA_NAMES = {
    "nvidia-tesla-t4": "NVIDIA_T4_GPUS",
    "nvidia-l4": "NVIDIA_L4_GPUS",
    "nvidia-tesla-a100": "NVIDIA_A100_GPUS",
    "nvidia-a100-80gb": "NVIDIA_A100_80GB_GPUS",
}
Status = container_v1.NodePool.Status
Condition = container_v1.StatusCondition.Code
Kind = container_v1.Operation.Type
WORDS = {
    Kind.CREATE_NODE_POOL: "creating a node pool for",
    Kind.DELETE_NODE_POOL: "deleting a node pool for",
    Kind.UPDATE_CLUSTER: "updating",
    Kind.SET_NODE_POOL_SIZE: "resizing a node pool of",
}


class RefusedError(Exception):
    """An answer that is an error, in gRPC's words."""

    def __init__(self, code, message, reason=None):
        super().__init__(message)
        self.code, self.message, self.reason = code, message, reason


@dataclasses.dataclass(frozen=True)
class Fault:
    before: RefusedError | None = None
    after: RefusedError | None = None
    slow_seconds: float = 0.0
    late: tuple[str, str] | None = None
    later_seconds: float | None = None
    told: Callable[[], None] | None = None


def error(code, message="said so by the test", reason=None):
    return Fault(before=RefusedError(code, message, reason))


def reply_lost(code="UNAVAILABLE"):
    return Fault(after=RefusedError(code, "connection reset by the test"))


def slow(seconds):
    return Fault(slow_seconds=seconds)


def fails_late(condition="GCE_STOCKOUT", message="failed by the test"):
    return Fault(late=(condition, message))


def overtaken(seconds):
    return Fault(later_seconds=seconds)


def cut_off(told):
    return Fault(after=RefusedError("UNAVAILABLE", "connection reset by the test"), told=told)


@dataclasses.dataclass(frozen=True)
class Call:
    method: str
    name: str
    code: str
    at: float


@dataclasses.dataclass
class Machine:
    name: str
    pool: str
    zone: str
    machine_type: str
    accelerator: str | None
    accelerators: int
    provisioning: str
    began: float
    ended: float | None = None
    was_preempted: bool = False


@dataclasses.dataclass(frozen=True)
class Shortage:
    """Why there is no machine: GCE_STOCKOUT, GCE_QUOTA_EXCEEDED or "" for the pool's own limit."""

    code: str
    message: str
    zones: tuple[str, ...] = ()


@dataclasses.dataclass
class _Work:
    operation: container_v1.Operation
    ends_at: float
    pool: str
    late: tuple[str, str] | None = None


class Project:
    """Everything above; every method may be called from any thread."""

    def __init__(self, now=time.monotonic, operation_seconds=0.2):
        self.now, self.operation_seconds = now, operation_seconds
        self.pools: dict[str, container_v1.NodePool] = {}
        self.machines: list[Machine] = []
        self.calls: list[Call] = []
        self.quotas = dict.fromkeys(QUOTA_NAMES.values(), 16) | {ALL_REGIONS: 32}
        self.quotas |= {f"PREEMPTIBLE_{name}": 16 for name in QUOTA_NAMES.values()}
        self.is_down = self.is_denied = False
        self._others: dict[str, int] = {}
        self._stockouts: set[tuple[str | None, str | None, str | None]] = set()
        self._faults: dict[str, list[Fault]] = defaultdict(list)
        self._work: dict[str, _Work] = {}
        self._overtaken: list[tuple[float, str, object]] = []
        self._number = itertools.count(1)
        self._lock = threading.RLock()

    # What tests do

    def fault(self, method, what, times=1):
        self._faults[method] += [what] * times

    def faults_over(self):
        self._faults.clear()

    def finish(self):
        with self._lock:
            for work in self._work.values():
                work.ends_at = min(work.ends_at, self.now())
            self._settle()

    def meddle(self, seconds=1e9):
        with self._lock:
            self._settle()
            self._begin(Kind.UPDATE_CLUSTER, "", seconds=seconds)

    def touch(self, name):
        with self._lock:
            self.pools[name].config.resource_labels["touched"] = str(next(self._number))
            self._keep(self.pools[name])

    def remove(self, name):
        with self._lock:
            self._end_pool(name, self.now())

    def put_foreign_pool(self, name, **labels):
        config = container_v1.NodeConfig(machine_type="n2-standard-8", resource_labels=labels)
        pool = container_v1.NodePool(name=name, config=config, status=Status.RUNNING, locations=ZONES)
        with self._lock:
            self._keep(pool)

    def others_use(self, quota, number):
        self._others[quota] = number

    def stock_out(self, accelerator=None, provisioning=None, zone=None):
        self._stockouts.add((accelerator, provisioning, zone))

    def restock(self):
        self._stockouts.clear()

    def running(self, pool=None):
        with self._lock:
            self._settle()
            return [m for m in self.machines if m.ended is None and pool in (None, m.pool)]

    def bill(self):
        with self._lock:
            self._settle()
            seconds = defaultdict(float)
            for machine in self.machines:
                seconds[machine.pool] += (machine.ended or self.now()) - machine.began
            return dict(seconds)

    def asked(self, *methods):
        """Codes of the calls of these methods, in their order."""
        return [call.code for call in self.calls if call.method in methods]

    # Machines

    def grow(self, name):
        """One more machine of a pool, or the Shortage that is in the way; the pool's conditions follow."""
        with self._lock:
            self._settle()
            pool = self.pools.get(name)
            if pool is None or pool.status not in (Status.RUNNING, Status.RUNNING_WITH_ERROR):
                return Shortage("", "the pool is not running")
            found = self._machine(pool)
            self._note(pool, found if isinstance(found, Shortage) else None)
            if isinstance(found, Machine):
                self.machines.append(found)
            return found

    def end(self, machine, at=None):
        with self._lock:
            machine.ended = machine.ended or at or self.now()

    def preempt(self, machine):
        with self._lock:
            machine.was_preempted = True
            self.end(machine)

    def usage(self, quota):
        """How much of a quota is taken, by this cluster and by others."""
        own = sum(m.accelerators for m in self.machines if m.ended is None and quota in self._counted(m))
        return own + self._others.get(quota, 0)

    def _counted(self, machine):
        """Names of the quotas a machine counts against.

        Spot and flex-start count against the preemptible one when the project has any.
        """
        name = QUOTA_NAMES.get(machine.accelerator)
        if name is None:
            return ()
        if machine.provisioning != "OnDemand" and self.quotas.get(f"PREEMPTIBLE_{name}", 0):
            return (f"PREEMPTIBLE_{name}",)
        return (name, ALL_REGIONS)

    def _machine(self, pool):
        config, scaling = pool.config, pool.autoscaling
        zones = tuple(pool.locations)
        if len(self.running(pool.name)) >= (
            scaling.total_max_node_count or scaling.max_node_count * len(zones)
        ):
            return Shortage("", "max node group size reached")
        gpus = config.accelerators[0] if config.accelerators else None
        made = Machine(
            name=f"gke-{CLUSTER.rpartition('/')[2]}-{pool.name}-{next(self._number):04x}",
            pool=pool.name,
            zone="",
            machine_type=config.machine_type,
            accelerator=gpus.accelerator_type if gpus else None,
            accelerators=gpus.accelerator_count if gpus else 0,
            provisioning="Spot" if config.spot else "FlexStart" if config.flex_start else "OnDemand",
            began=self.now(),
        )
        for quota in self._counted(made):
            if self.usage(quota) + made.accelerators > self.quotas.get(quota, 0):
                message = (
                    f"Quota '{quota}' exceeded. Limit: {self.quotas.get(quota, 0):.1f} in region us-central1."
                )
                return Shortage("GCE_QUOTA_EXCEEDED", message, zones)
        has = [zone for zone in zones if not self._is_out_of_stock(made, zone)]
        if not has:
            message = (
                f"The zones {', '.join(zones)} do not have enough resources available to fulfill the request."
            )
            return Shortage("GCE_STOCKOUT", message, zones)
        made.zone = min(has, key=lambda zone: sum(m.zone == zone for m in self.running(pool.name)))
        return made

    def _is_out_of_stock(self, machine, zone):
        return any(
            accelerator in (None, machine.accelerator)
            and provisioning in (None, machine.provisioning)
            and where in (None, zone)
            for accelerator, provisioning, where in self._stockouts
        )

    def _note(self, pool, shortage):
        """A shortage is told by the pool until a machine comes."""
        if shortage is not None and shortage.code:
            pool.status = Status.RUNNING_WITH_ERROR
            pool.conditions = [{"code": Condition[shortage.code], "message": shortage.message}]
            self._keep(pool)
        elif shortage is None and pool.conditions:
            pool.status, pool.conditions = Status.RUNNING, []
            self._keep(pool)

    # The Cluster Manager, by the names of its methods

    def answer(self, method, request):
        """The reply to one call; RefusedError when it is an error."""
        name = getattr(request, "name", "") or request.parent
        name += f"/nodePools/{request.node_pool.name}" if method == "CreateNodePool" else ""
        with self._lock:
            fault = self._faults[method].pop(0) if self._faults[method] else Fault()
        if fault.slow_seconds:
            time.sleep(fault.slow_seconds)
        try:
            with self._lock:
                self._settle()
                self._admit(fault)
                if fault.later_seconds is not None:
                    self._overtaken.append((self.now() + fault.later_seconds, method, request))
                    raise RefusedError("UNAVAILABLE", "no answer by the test")
                reply = getattr(self, f"_{method}")(request, fault.late)
            if fault.told is not None:
                fault.told()
            if fault.after is not None:
                raise fault.after
        except RefusedError as refusal:
            self.calls.append(Call(method, name, refusal.code, self.now()))
            raise
        self.calls.append(Call(method, name, "OK", self.now()))
        return reply

    def _admit(self, fault):
        if self.is_down:
            raise RefusedError("UNAVAILABLE", "The service is currently unavailable.")
        if self.is_denied:
            raise RefusedError("PERMISSION_DENIED", f'Required "container.clusters.update" on "{CLUSTER}".')
        if fault.before is not None:
            raise fault.before

    def _GetNodePool(self, request, late):
        return _copy(self._find(request.name))

    def _ListNodePools(self, request, late):
        _must_be_cluster(request.parent)
        return container_v1.ListNodePoolsResponse(node_pools=[_copy(pool) for pool in self.pools.values()])

    def _CreateNodePool(self, request, late):
        _must_be_cluster(request.parent)
        pool = _copy(request.node_pool)
        _must_be_valid(pool)
        if pool.name in self.pools:
            raise RefusedError("ALREADY_EXISTS", f"Already exists: {CLUSTER}/nodePools/{pool.name}.")
        self._must_be_free()
        pool.status = Status.PROVISIONING
        pool.locations = pool.locations or ZONES
        self._keep(pool)
        return self._begin(Kind.CREATE_NODE_POOL, pool.name, late)

    def _SetNodePoolAutoscaling(self, request, late):
        pool = self._find(request.name)
        self._must_be_free()
        _must_be_valid_scaling(request.autoscaling)
        pool.autoscaling, pool.status = request.autoscaling, Status.RECONCILING
        self._keep(pool)
        return self._begin(Kind.SET_NODE_POOL_SIZE, pool.name, late)

    def _UpdateNodePool(self, request, late):
        pool = self._find(request.name)
        if request.etag and request.etag != pool.etag:
            raise RefusedError("ABORTED", "The etag does not match the current one of the node pool.")
        self._must_be_free()
        pool.config.resource_labels = request.resource_labels.labels
        self._keep(pool)
        return self._begin(Kind.UPDATE_CLUSTER, pool.name, late)

    def _DeleteNodePool(self, request, late):
        pool = self._find(request.name)
        self._must_be_free()
        pool.status = Status.STOPPING
        self._keep(pool)
        return self._begin(Kind.DELETE_NODE_POOL, pool.name, late)

    def _GetOperation(self, request, late):
        work = self._work.get(request.name.rpartition("/")[2])
        if work is None:
            raise RefusedError("NOT_FOUND", f"Not found: {request.name}.")
        return work.operation

    def _ListOperations(self, request, late):
        return container_v1.ListOperationsResponse(operations=[w.operation for w in self._work.values()])

    def _find(self, name):
        cluster, _, short = name.partition("/nodePools/")
        _must_be_cluster(cluster)
        if short not in self.pools:
            raise RefusedError("NOT_FOUND", f"Not found: {name}.")
        return self.pools[short]

    def _must_be_free(self):
        for work in self._work.values():
            if work.operation.status != container_v1.Operation.Status.DONE:
                raise RefusedError(
                    "FAILED_PRECONDITION",
                    f"Operation {work.operation.name} is currently {WORDS[work.operation.operation_type]} "
                    f"cluster {CLUSTER.rpartition('/')[2]}. Please wait and try again once it is done.",
                    "CLUSTER_ALREADY_HAS_OPERATION",
                )

    def _begin(self, kind, pool, late=None, seconds=None):
        operation = container_v1.Operation(
            name=f"operation-{next(self._number)}",
            operation_type=kind,
            status=container_v1.Operation.Status.RUNNING,
            # By the number of the project, as GKE does.
            target_link="https://container.googleapis.com/v1/projects/1234567890/locations/us-central1/clusters/"
            + CLUSTER.rpartition("/")[2]
            + (f"/nodePools/{pool}" if pool else ""),
        )
        seconds = self.operation_seconds if seconds is None else seconds
        self._work[operation.name] = _Work(operation, self.now() + seconds, pool, late)
        return operation

    def _settle(self):
        """What the time that went by has brought."""
        for work in self._work.values():
            if work.operation.status != container_v1.Operation.Status.DONE and work.ends_at <= self.now():
                work.operation.status = container_v1.Operation.Status.DONE
                self._conclude(work)
        due = [one for one in self._overtaken if one[0] <= self.now()]
        self._overtaken = [one for one in self._overtaken if one not in due]
        for _, method, request in due:
            with contextlib.suppress(RefusedError):
                getattr(self, f"_{method}")(request, None)

    def _conclude(self, work):
        pool = self.pools.get(work.pool)
        if pool is None:
            return
        if work.late is not None:
            code, message = work.late
            work.operation.error = status_pb2.Status(code=code_pb2.INTERNAL, message=message)
            pool.status, pool.status_message = Status.ERROR, message
            pool.conditions = [{"code": Condition[code], "message": message}]
            self._keep(pool)
        elif work.operation.operation_type == Kind.DELETE_NODE_POOL:
            self._end_pool(pool.name, work.ends_at)
        else:
            pool.status = Status.RUNNING
            self._keep(pool)

    def _end_pool(self, name, at):
        del self.pools[name]
        for machine in self.machines:
            if machine.pool == name:
                machine.ended = machine.ended or at

    def _keep(self, pool):
        """With a new etag: a checksum of everything else."""
        pool.etag = ""
        message = container_v1.NodePool.pb(pool).SerializeToString(deterministic=True)
        pool.etag = hashlib.sha256(message).hexdigest()[:16]
        self.pools[pool.name] = pool


def _copy(pool):
    return container_v1.NodePool.deserialize(container_v1.NodePool.serialize(pool))


def _must_be_cluster(name):
    if name != CLUSTER:
        raise RefusedError("NOT_FOUND", f"Not found: {name}.")


def _must_be_valid(pool):
    if not NAME.match(pool.name):
        raise RefusedError("INVALID_ARGUMENT", f"Invalid value for field node_pool.name: '{pool.name}'.")
    if pool.config.spot and pool.config.flex_start:
        raise RefusedError("INVALID_ARGUMENT", "Spot and flex-start are mutually exclusive.")
    if pool.initial_node_count:
        raise RefusedError("INVALID_ARGUMENT", "this fake makes pools without nodes only")
    wrong = set(pool.locations) - set(ZONES)
    if wrong:
        raise RefusedError("INVALID_ARGUMENT", f"Zones {', '.join(sorted(wrong))} are not in us-central1.")
    _must_be_valid_scaling(pool.autoscaling)


def _must_be_valid_scaling(scaling):
    total = scaling.total_min_node_count or scaling.total_max_node_count
    if total and (scaling.min_node_count or scaling.max_node_count):
        raise RefusedError("INVALID_ARGUMENT", "total and per-zone node counts are mutually exclusive.")
    if scaling.total_min_node_count > scaling.total_max_node_count:
        raise RefusedError("INVALID_ARGUMENT", "total_min_node_count exceeds total_max_node_count.")
