"""What the operator can do to the world: a closed list of plain values, carried out one by one, in order.

    from autolfads_operator.actions import Action    # the union of all of them
    for action in plan.actions: carry_out(action); log(str(action))

Each is idempotent by construction: it names what it makes, or says which version or uid it means, so
doing it twice, or by two operators at once, is the same as once. An action that finds the world changed
raises `errors.OutdatedError`; the rest of the plan is then dropped and the run observed again. The same
goes for every other error: no later action of a plan may be carried out when an earlier one failed.
`str(action)` is the line for the log. This module does not know how anything is carried out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from autolfads_operator.pools import WantedPool
from autolfads_spec.attempt import Wish
from autolfads_spec.cost import CostRecord
from autolfads_spec.manifest import Lease

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class WriteLease:
    """Write lease.json, expecting the version that was observed: the start of a new attempt.

    Attributes:
      lease: its new content.
      expected: version of what it replaces; None: there must be none (`Expected.NOTHING`).
    """

    lease: Lease
    expected: str | None

    def __str__(self) -> str:
        return f"take the lease for attempt {self.lease.attempt}"


@dataclass(frozen=True)
class WriteWish:
    """Write wish.json, whatever is there: only the operator writes it."""

    wish: Wish

    def __str__(self) -> str:
        verb = "to pause" if self.wish.pause else "to go on"
        return f"ask the driver of attempt {self.wish.attempt} {verb}: {self.wish.why}"


@dataclass(frozen=True)
class WriteCost:
    """Keep what the run has cost in cost.json, expecting the version that was observed.

    The only action that may fail without an error: nobody waits for it, and what is not kept now is counted
    again, and kept, at the next look.

    Attributes:
      record: its new content.
      expected: version of what it replaces; None: there must be none.
    """

    record: CostRecord
    expected: str | None

    def __str__(self) -> str:
        return f"keep the cost until {self.record.as_of}: {self.record.amount:.4f} {self.record.currency}"


@dataclass(frozen=True)
class ApplyConfigMap:
    """Create or apply a ConfigMap; it is immutable, so a different one in its place is OutdatedError."""

    manifest: Manifest

    def __str__(self) -> str:
        return f"apply ConfigMap {self.manifest['metadata']['name']}"


@dataclass(frozen=True)
class ApplyRayJob:
    """Create or apply the RayJob of an attempt, by its name, as long as the lease is still that attempt's.

    Attributes:
      manifest: the whole object.
      attempt: read lease.json just before; when it names another attempt, raise OutdatedError: another
        operator went on, and this attempt is over.
    """

    manifest: Manifest
    attempt: int

    def __str__(self) -> str:
        return f"apply RayJob {self.manifest['metadata']['name']}"


@dataclass(frozen=True)
class ScaleWorkers:
    """Set the number of workers of a RayCluster: patch replicas and maxReplicas of its only group.

    A RayCluster that is gone is OutdatedError.
    """

    cluster: str
    group: str
    replicas: int

    def __str__(self) -> str:
        return f"ask RayCluster {self.cluster} for {self.replicas} workers"


@dataclass(frozen=True)
class DeleteRayJob:
    """Delete this very RayJob (precondition: its uid), in the background; gone already is done."""

    name: str
    uid: str
    why: str

    def __str__(self) -> str:
        return f"delete RayJob {self.name}: {self.why}"


@dataclass(frozen=True)
class AddFinalizer:
    """Put our finalizer on the run, so that it is not gone before its machines are."""

    finalizer: str

    def __str__(self) -> str:
        return f"add finalizer {self.finalizer}"


@dataclass(frozen=True)
class RemoveFinalizer:
    """Take our finalizer off the run: nothing of it is left. Gone already is done."""

    finalizer: str

    def __str__(self) -> str:
        return f"remove finalizer {self.finalizer}"


@dataclass(frozen=True)
class PostEvent:
    """Tell people what happened; the same name again is the same event and is dropped.

    Attributes:
      name: of the Event object; made of the run's uid and what happened, so it is posted once.
      kind: Normal, or Warning when a user may have to act.
      reason: one word of `events.EventReason`.
      message: a sentence.
    """

    name: str
    kind: Literal["Normal", "Warning"]
    reason: str
    message: str

    def __str__(self) -> str:
        return f"event {self.reason}: {self.message}"


@dataclass(frozen=True)
class RemoveRun:
    """Delete the custom resource itself (precondition: its uid), as its ttl asks; results stay."""

    uid: str
    why: str

    def __str__(self) -> str:
        return f"delete the run: {self.why}"


@dataclass(frozen=True)
class CreateNodePool:
    """Have GKE make a node pool; one that is there, or being made, and is ours is adopted."""

    pool: WantedPool

    def __str__(self) -> str:
        return f"create node pool {self.pool.name} of at most {self.pool.max_nodes} {self.pool.machine_type}"


@dataclass(frozen=True)
class ResizeNodePool:
    """Let a node pool of ours grow, provided that it is still as it was seen."""

    name: str
    max_nodes: int
    etag: str

    def __str__(self) -> str:
        return f"let node pool {self.name} grow up to {self.max_nodes} nodes"


@dataclass(frozen=True)
class DeleteNodePool:
    """Have GKE delete a node pool of ours and its nodes; gone, or going, is done."""

    name: str
    etag: str
    why: str

    def __str__(self) -> str:
        return f"delete node pool {self.name}: {self.why}"


Action = (
    WriteLease
    | WriteWish
    | WriteCost
    | ApplyConfigMap
    | ApplyRayJob
    | ScaleWorkers
    | DeleteRayJob
    | AddFinalizer
    | RemoveFinalizer
    | PostEvent
    | RemoveRun
    | CreateNodePool
    | ResizeNodePool
    | DeleteNodePool
)
