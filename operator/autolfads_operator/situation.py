"""What an observation means: which attempt is the present one, and how it stands.

`Situation` puts together what lies in several objects and judges nothing: every property is a plain
question about what was observed. Attempts are counted by the lease in the output folder, which only
one writer can take at a time; the RayJobs and the status tell which numbers were started.
"""

import statistics
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from autolfads_operator import cost, machines, pools, rivals, times
from autolfads_operator.cost import Running
from autolfads_operator.observed import (
    Cloud,
    CustomResource,
    NodePool,
    Observed,
    OutputFolder,
    Pod,
    PodRole,
    RayCluster,
    RayJob,
)
from autolfads_operator.pools import WantedPool
from autolfads_operator.terms import Terms
from autolfads_spec.attempt import AttemptEnd
from autolfads_spec.cost import CostRecord
from autolfads_spec.lifecycle import seconds
from autolfads_spec.manifest import Lease, Manifest
from autolfads_spec.run import AutoLFADSRun, RunSpec
from autolfads_spec.status import Attempt, Condition, ConditionType, RunStatus

# While one of these is True, nothing is wanted of a run, which may go on afterwards.
AT_REST = (ConditionType.SUSPENDED, ConditionType.COMPLETE)


@dataclass(frozen=True)
class Situation:
    """One run with a valid spec, at one moment.

    Attributes:
      observed: all that is known.
      run: what is asked for.
      terms: the operator's settings.
    """

    observed: Observed
    run: AutoLFADSRun
    terms: Terms

    @property
    def now(self) -> datetime:
        return self.observed.now

    @property
    def resource(self) -> CustomResource:
        return self.observed.custom_resource

    @property
    def spec(self) -> RunSpec:
        return self.run.spec

    @property
    def previous(self) -> RunStatus:
        """The status that was written last."""
        return self.resource.status

    # The output folder.

    @property
    def folder(self) -> OutputFolder | None:
        """The output folder; None when it cannot be read."""
        folder = self.observed.folder
        return folder if folder is not None and folder.problem is None else None

    @property
    def manifest(self) -> Manifest | None:
        return self.folder.manifest if self.folder is not None else None

    @property
    def lease(self) -> Lease | None:
        """The lease, when it is this run's; another run's, or a laptop's, is not."""
        lease = self.folder.lease if self.folder is not None else None
        return lease if lease is not None and lease.owner == self.resource.uid else None

    @property
    def generations_asked(self) -> int:
        """By the user, of whom a driver may have asked for fewer when it was started."""
        asked = self.spec.population.generations
        return asked if self.manifest is None else max(asked, self.manifest.generations_asked)

    @property
    def goes_further(self) -> bool:
        """Whether all generations of the run were trained that were asked for, and more are asked for now.

        One that has ended for any other reason, such as its own rule to stop, has ended for good.
        """
        manifest = self.manifest if self.lease is not None else None
        if manifest is None or manifest.stop_reason is None:
            return False
        return len(manifest.generations) == manifest.generations_asked < self.generations_asked

    @property
    def is_trained(self) -> bool:
        """Whether nothing is left to be trained."""
        return self.manifest is not None and self.manifest.stop_reason is not None and not self.goes_further

    @cached_property
    def rival(self) -> str | None:
        """Who else is at work in the output folder, in words; None when nobody is, as far as is known."""
        return rivals.at_work(self.observed, self.terms)

    # Google Cloud.

    @property
    def cloud(self) -> Cloud | None:
        """What Google Cloud says; None when the operator makes no nodes for this run."""
        return self.observed.cloud

    @cached_property
    def wanted_pools(self) -> tuple[WantedPool, ...]:
        """The node pools that are to be made, in the order in which they are tried."""
        return pools.wanted(self.run, self.resource, self.terms)

    def node_pool(self, name: str) -> NodePool | None:
        """The pool of this name, as far as it is known."""
        found = self.cloud.pools if self.cloud is not None else None
        return next((pool for pool in found or () if pool.name == name), None)

    # What it costs.

    @cached_property
    def running(self) -> tuple[Running, ...]:
        """Everything that costs at this moment."""
        return machines.running(self.observed, self.spec.compute, self.terms.prices)

    @cached_property
    def cost(self) -> CostRecord | None:
        """What the run has used until now; None while the output folder, which keeps it, cannot be read.

        Once another run has taken the folder over, the record is that run's.
        """
        is_lost = self.lease is None and self.folder is not None and self.folder.lease is not None
        if self.folder is None or self.rival is not None or (is_lost and self.previous.attempt):
            return None
        table = self.terms.prices
        notes = machines.notes(self.observed, self.spec.compute, table)
        title = "; ".join((table.title, *notes))
        kept, running = self.folder.cost, self.running
        if kept is None:  # the first look, or somebody has deleted the file
            kept = cost.remembered(self.previous.cost)
            known = times.parsed_or_none(kept.as_of)
            running = tuple(
                replace(one, since=max(one.since, known)) if known is not None else one for one in running
            )
        return cost.settled(kept, running, self.now, table.currency, title)

    # The present attempt.

    @cached_property
    def attempt(self) -> int:
        """Its number, started or not; 0 before the first one."""
        leased = self.lease.attempt if self.lease is not None else 0
        made = (job.attempt for job in self.observed.ray_jobs)
        return max((leased, self.previous.attempt or 0, *made))

    @property
    def is_started(self) -> bool:
        """Whether there ever was a RayJob of it, as far as anything tells."""
        if self.attempt == 0:
            return False
        recorded = self.attempt <= max((entry.number for entry in self.previous.attempts or ()), default=0)
        return recorded or self.ray_job is not None or self.has_begun or self.end_of(self.attempt) is not None

    @cached_property
    def ray_job(self) -> RayJob | None:
        return next((job for job in self.observed.ray_jobs if job.attempt == self.attempt), None)

    @property
    def is_live(self) -> bool:
        """Whether its driver may be at work or may yet start."""
        return self.ray_job is not None and self.ray_job.is_live

    @property
    def is_queued(self) -> bool:
        """Whether something else, such as Kueue, keeps KubeRay from starting it."""
        return self.ray_job is not None and self.ray_job.deployment_status in ("Suspended", "Suspending")

    @property
    def has_begun(self) -> bool:
        """Whether its driver has checked the recording and taken the run over."""
        return self.manifest is not None and self.attempt > 0 and self.manifest.attempt == self.attempt

    @cached_property
    def cluster(self) -> RayCluster | None:
        found = (c for c in self.observed.ray_clusters if c.attempt == self.attempt and c.deleted_at is None)
        return next(found, None)

    @property
    def pods(self) -> tuple[Pod, ...]:
        """Those of the present attempt."""
        return tuple(pod for pod in self.observed.pods if pod.attempt == self.attempt)

    @property
    def head(self) -> Pod | None:
        """A head that is there or coming; one that is going or has failed is none."""
        heads = (pod for pod in self._pods(PodRole.HEAD) if pod.phase in ("Pending", "Running"))
        return next((pod for pod in heads if pod.deleted_at is None), None)

    @property
    def workers(self) -> tuple[Pod, ...]:
        return self._pods(PodRole.WORKER)

    @property
    def ready_workers(self) -> int:
        return sum(pod.is_ready and pod.deleted_at is None for pod in self.workers)

    @property
    def accelerators_per_worker(self) -> int:
        accelerator = self.spec.compute.accelerator
        return accelerator.count_per_worker if accelerator is not None else 1

    @property
    def most_workers(self) -> int:
        """As many as are asked for, but none without a cohort to train, once the population is cut."""
        desired = self.spec.compute.workers.desired
        if self.manifest is None or self.lease is None:
            return desired
        return min(desired, -(-len(self.manifest.cohorts) // self.accelerators_per_worker))

    @property
    def least_workers(self) -> int:
        """Those without which nothing starts."""
        return min(self.spec.compute.workers.min, self.most_workers)

    def _pods(self, role: PodRole) -> tuple[Pod, ...]:
        return tuple(pod for pod in self.pods if pod.role is role)

    @property
    def last_end(self) -> AttemptEnd | None:
        """Why its newest driver ended; None while that one has not said so, or nobody can read it."""
        end = self.end_of(self.attempt)
        if end is None or self.folder is None:
            return None
        lease = self.folder.lease
        is_newest = lease is None or (lease.attempt, lease.driver_epoch) <= (end.attempt, end.driver_epoch)
        return end if is_newest else None

    def end_of(self, attempt: int) -> AttemptEnd | None:
        """What a driver of this attempt has written about its end, the newest one or not."""
        return self.folder.ends.get(attempt) if self.folder is not None else None

    # History.

    @cached_property
    def history(self) -> tuple[Attempt, ...]:
        """The attempts in the status, and the present one once it is started, oldest first."""
        known = tuple(self.previous.attempts or ())
        if not self.is_started or any(entry.number >= self.attempt for entry in known):
            return known
        began = self.ray_job.created if self.ray_job is not None else self.now
        name = self.ray_job.name if self.ray_job is not None else None
        entry = Attempt(number=self.attempt, ray_job=name, start_time=times.written(began))
        return (*known, entry)

    @property
    def last(self) -> Attempt | None:
        """The newest attempt that was started."""
        return self.history[-1] if self.history else None

    # Time.

    @property
    def median_generation_seconds(self) -> float:
        """Of the last generations; 0 before the first."""
        entries = self.manifest.generations[-10:] if self.manifest is not None else ()
        return statistics.median([entry.seconds for entry in entries]) if entries else 0.0

    def condition(self, kind: ConditionType) -> Condition | None:
        """A condition as it was written last."""
        return next((c for c in self.previous.conditions or () if c.type is kind), None)

    def since(self, kind: ConditionType, status: str) -> datetime | None:
        """Since when a condition has had this status; None when it has another one."""
        found = self.condition(kind)
        if found is None or found.status != status:
            return None
        return times.parsed_or_none(found.last_transition_time)

    @property
    def started_at(self) -> datetime | None:
        """When the first attempt began."""
        known = times.parsed_or_none(self.previous.start_time)
        if known is not None or not self.history:
            return known
        return times.parsed_or_none(self.history[0].start_time)

    @property
    def paused_seconds(self) -> float:
        """Seconds in which nothing was wanted of it since the first attempt began, until now."""
        if self.started_at is None:
            return 0.0
        present = sum(times.seconds_since(self.since(kind, "True"), self.now) for kind in AT_REST)
        return (self.previous.paused_seconds or 0) + present

    @property
    def elapsed_seconds(self) -> float:
        """Seconds that count for the deadline."""
        return times.seconds_since(self.started_at, self.now) - self.paused_seconds

    @property
    def seconds_left(self) -> float:
        """Until the deadline as it is set now; negative once that has passed."""
        return seconds(self.spec.schedule.deadline) - self.elapsed_seconds
