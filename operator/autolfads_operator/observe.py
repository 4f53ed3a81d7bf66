"""Everything about one run, gathered: what watches have shown, its output folder, and the clock.

Two rules keep 500 runs cheap. What Kubernetes holds is read from the cache, and only the absence of an
object that should be there is checked at the server, because plans hang on absence. And while a run simply
trains, or its machines are waited for, only its manifest is looked at; the other files are read again when
anything about it changed, or after `FULL_EVERY` looks.
"""

import asyncio
import dataclasses
import datetime
import logging
import time
from collections.abc import Callable

from autolfads_operator import objects, pools, times
from autolfads_operator.api import KubeApi
from autolfads_operator.cache import Cache
from autolfads_operator.cloud import CloudView
from autolfads_operator.errors import RefusedError
from autolfads_operator.kinds import CONFIG_MAPS, CRDS, PODS, RAY_CLUSTERS, RAY_JOBS, RUNS
from autolfads_operator.manifests import names
from autolfads_operator.nodes import Nodes
from autolfads_operator.observed import (
    Cloud,
    CustomResource,
    FolderProblem,
    KubeRay,
    Observed,
    OutputFolder,
    RayJob,
)
from autolfads_operator.reports import Reports, Versioned
from autolfads_operator.terms import Terms
from autolfads_spec.attempt import AttemptEnd
from autolfads_spec.errors import DeniedError, StoreError

logger = logging.getLogger(__name__)

FULL_EVERY = 20
# A driver gives a sign of life every 30 s; one that is late is looked at from all sides.
FRESH_SECONDS = 90
# KubeRay watches the driver's status with a time limit since 1.7.0, and has this field since then.
_SINCE_1_7 = "jobStatusCheckFailureStartTime"


@dataclasses.dataclass
class _Memory:
    """Of one run, between two looks."""

    spec: objects.Spec
    resource_generation: int
    folder: OutputFolder | None = None
    ray_jobs: tuple[RayJob, ...] = ()
    looks: int = 0
    heard_version: str | None = None
    heard_at: float = 0.0


class Observer:
    """Looks at runs.

    Args:
      now: UTC.
      monotonic: seconds that never go back, nor jump when somebody sets the clock.
      cloud: where node pools are made, and by what settings; None when none are.
    """

    def __init__(
        self,
        api: KubeApi,
        cache: Cache,
        reports: Reports,
        now: Callable[[], datetime.datetime],
        monotonic: Callable[[], float] = time.monotonic,
        cloud: tuple[CloudView, Terms] | None = None,
    ) -> None:
        self._api, self._cache, self._reports = api, cache, reports
        self._now, self._monotonic, self._cloud = now, monotonic, cloud
        self._memories: dict[str, _Memory] = {}
        self._nodes = Nodes(api, monotonic)
        self.kuberay = KubeRay.MISSING
        self._kuberay_version: str | None = None

    async def observe(self, uid: str) -> Observed | None:
        """One run at this moment; None when it is gone."""
        entry = self._cache.run(uid)
        if entry is None:
            return None
        custom_resource = self._custom_resource(entry.value)
        ray_jobs = tuple(found.value for found in self._cache.made_for(uid, RAY_JOBS))
        folder = await self._folder(custom_resource, ray_jobs)
        if folder is not None and folder.problem is None:
            ray_jobs = await self._surely(custom_resource, ray_jobs, folder)
        pods = tuple(found.value for found in self._cache.made_for(uid, PODS))
        machines = await self._nodes.under(pods)
        return Observed(
            custom_resource=custom_resource,
            now=self._now(),
            ray_jobs=ray_jobs,
            ray_clusters=tuple(found.value for found in self._cache.made_for(uid, RAY_CLUSTERS)),
            pods=pods,
            workers_lost=self._workers_lost(custom_resource),
            machines=machines,
            nodes_denied=self._nodes.denied,
            config_maps=await self._config_maps(custom_resource, ray_jobs, folder),
            kuberay=self.kuberay,
            folder=folder,
            cloud=await self._look_at_cloud(custom_resource, is_alone=not ray_jobs and not pods),
        )

    def runs(self) -> tuple[CustomResource, ...]:
        """All runs that are there, without anything that was made for them."""
        found = (self._cache.run(uid) for uid in self._cache.uids(RUNS))
        return tuple(self._custom_resource(entry.value) for entry in found if entry is not None)

    async def _look_at_cloud(self, custom_resource: CustomResource, is_alone: bool) -> Cloud | None:
        """Google Cloud's side of a run whose nodes the operator makes, or has made.

        That a pool is gone which the status still knows, or of a run that waits for nothing else to go, is
        asked of GKE itself.
        """
        if self._cloud is None or not _uses_pools(custom_resource):
            return None
        view, terms = self._cloud
        run = custom_resource.run
        wanted = pools.wanted(run, custom_resource, terms) if run is not None else ()
        known = custom_resource.status.node_pool
        was_there = known is not None and known.managed is True and known.status is not None
        surely = was_there or (custom_resource.deleted_at is not None and is_alone)
        return await view.look(wanted, custom_resource.uid, surely)

    def _workers_lost(self, custom_resource: CustomResource) -> frozenset[str]:
        progress = custom_resource.status.progress
        if progress is not None and progress.workers_lost:
            self._cache.forget_lost(custom_resource.uid, progress.workers_lost)
        return self._cache.workers_lost(custom_resource.uid)

    def doubt(self, uid: str) -> None:
        """The next look at this run reads every file: something went otherwise than planned."""
        memory = self._memories.get(uid)
        if memory is not None:
            memory.folder = None

    def forget(self, uid: str) -> None:
        """The run is gone."""
        memory = self._memories.pop(uid, None)
        if memory is not None and memory.spec[0] is not None:
            self._reports.forget(memory.spec[0].spec.output.uri)

    async def look_for_kuberay(self) -> None:
        """Find out whether there is a KubeRay, and which; asks for its huge CRD only when that changed."""
        if not await self._api.serves(RAY_JOBS):
            self.kuberay, self._kuberay_version = KubeRay.MISSING, None
            return
        crd = f"{RAY_JOBS.plural}.{RAY_JOBS.group}"
        try:
            version = await self._api.get_version(CRDS, None, crd)
            if version is None or version == self._kuberay_version:
                return
            found = await self._api.get(CRDS, None, crd)
        except RefusedError:  # with rights in some namespaces only, its age stays unknown
            self.kuberay = KubeRay.FINE
            return
        self._kuberay_version = version
        self.kuberay = KubeRay.FINE if found is None or _is_new_enough(found) else KubeRay.TOO_OLD

    def _custom_resource(self, thing: objects.Object) -> CustomResource:
        uid = thing["metadata"]["uid"]
        resource_generation = int(thing["metadata"].get("generation", 1))
        memory = self._memories.get(uid)
        if memory is None or memory.resource_generation != resource_generation:
            memory = self._memories[uid] = _Memory(objects.spec_of(thing), resource_generation)
        return objects.custom_resource_of(thing, memory.spec)

    async def _folder(
        self, custom_resource: CustomResource, ray_jobs: tuple[RayJob, ...]
    ) -> OutputFolder | None:
        if custom_resource.run is None:
            return None
        address = custom_resource.run.spec.output.uri
        memory = self._memories[custom_resource.uid]
        memory.looks += 1
        try:
            manifest = await self._reports.manifest(address)
            before = memory.folder if memory.looks % FULL_EVERY else None
            if (
                before is not None
                and manifest is not None
                and self._just_trains(custom_resource, ray_jobs, before, manifest)
            ):
                folder = dataclasses.replace(
                    before, manifest=manifest.document, manifest_version=manifest.version
                )
            elif (
                before is not None
                and ray_jobs == memory.ray_jobs
                and self._just_starts(custom_resource, ray_jobs, before, manifest)
            ):
                folder = before
            else:
                folder = await self._all_files(address, custom_resource, manifest)
                memory.ray_jobs = ray_jobs
        except StoreError as error:
            memory.folder, memory.heard_version = None, None
            problem = FolderProblem.DENIED if isinstance(error, DeniedError) else FolderProblem.UNAVAILABLE
            return OutputFolder(problem=problem, message=str(error))
        memory.folder = folder
        return dataclasses.replace(folder, silence_seconds=self._silence(memory, folder))

    def _silence(self, memory: _Memory, folder: OutputFolder) -> float:
        """For how long this process has listened to the driver in vain."""
        version = folder.manifest_version or "none"
        if version != memory.heard_version:
            memory.heard_version, memory.heard_at = version, self._monotonic()
        return self._monotonic() - memory.heard_at

    def _just_trains(
        self,
        custom_resource: CustomResource,
        ray_jobs: tuple[RayJob, ...],
        before: OutputFolder,
        manifest: Versioned,
    ) -> bool:
        """Whether nothing can have changed but the manifest, and that in the expected way."""
        if before.lease is None or before.manifest is None or manifest.document is None:
            return False
        if custom_resource.run is None or custom_resource.run.spec.suspend or custom_resource.deleted_at:
            return False
        if before.wish is not None and before.wish.pause:
            return False
        found, known = manifest.document, before.manifest
        if found.stop_reason is not None or before.ends.get(before.lease.attempt) is not None:
            return False
        if (found.attempt, found.driver_epoch) != (known.attempt, known.driver_epoch):
            return False
        heartbeat = times.parsed_or_none(found.heartbeat)
        if heartbeat is None or times.seconds_since(heartbeat, self._now()) > FRESH_SECONDS:
            return False
        live = [job for job in ray_jobs if job.is_live]
        return (
            len(live) == 1
            and live[0].attempt == before.lease.attempt == found.attempt
            and live[0].deployment_status == "Running"
        )

    def _just_starts(
        self,
        custom_resource: CustomResource,
        ray_jobs: tuple[RayJob, ...],
        before: OutputFolder,
        manifest: Versioned | None,
    ) -> bool:
        """Whether machines and a driver are waited for, and nobody can have written anything.

        A driver that ends before it has taken the run over leaves its last word and ends its RayJob with it.
        """
        if before.lease is None or before.ends.get(before.lease.attempt) is not None:
            return False
        if custom_resource.run is None or custom_resource.run.spec.suspend or custom_resource.deleted_at:
            return False
        if (None if manifest is None else manifest.version) != before.manifest_version:
            return False
        if manifest is not None and (
            manifest.document is None or manifest.document.attempt >= before.lease.attempt
        ):
            return False
        live = [job for job in ray_jobs if job.is_live]
        return len(live) == 1 and live[0].attempt == before.lease.attempt

    async def _all_files(
        self, address: str, custom_resource: CustomResource, manifest: Versioned | None
    ) -> OutputFolder:
        lease, wish, cost = await asyncio.gather(
            self._reports.lease(address), self._reports.wish(address), self._reports.cost(address)
        )
        open_attempts = {
            attempt.number for attempt in custom_resource.status.attempts or () if not attempt.end_time
        }
        if lease is not None and lease.document is not None:
            open_attempts.add(lease.document.attempt)
        has_stopped = manifest is not None and (
            manifest.document is None or manifest.document.stop_reason is not None
        )
        return OutputFolder(
            lease=None if lease is None else lease.document,
            lease_version=None if lease is None else lease.version,
            manifest=None if manifest is None else manifest.document,
            manifest_version=None if manifest is None else manifest.version,
            wish=None if wish is None else wish.document,
            ends=await self._ends(address, open_attempts),
            has_results=has_stopped and await self._reports.has_results(address),
            cost=None if cost is None else cost.document,
            cost_version=None if cost is None else cost.version,
        )

    async def _ends(self, address: str, attempts: set[int]) -> dict[int, AttemptEnd]:
        numbers = sorted(attempts)
        found = await asyncio.gather(*(self._reports.end(address, number) for number in numbers))
        return {
            number: end.document
            for number, end in zip(numbers, found, strict=True)
            if end is not None and end.document is not None
        }

    async def _surely(
        self, custom_resource: CustomResource, ray_jobs: tuple[RayJob, ...], folder: OutputFolder
    ) -> tuple[RayJob, ...]:
        """With the RayJobs of the newest attempt, if the server has them: a watch may be late."""
        if _has_ended(custom_resource):
            return ray_jobs
        newest = {custom_resource.status.attempt, folder.lease.attempt if folder.lease is not None else None}
        found = list(ray_jobs)
        for attempt in newest - {None} - {job.attempt for job in ray_jobs}:
            name = names.attempt_name(custom_resource.name, attempt or 0)
            thing = await self._api.get(RAY_JOBS, custom_resource.namespace, name)
            if thing is None or objects.run_uid_of(thing) != custom_resource.uid:
                continue
            self._cache.put(RAY_JOBS, thing)
            job = objects.ray_job_of(thing)
            found += [] if job is None else [job]
        return tuple(found)

    async def _config_maps(
        self, custom_resource: CustomResource, ray_jobs: tuple[RayJob, ...], folder: OutputFolder | None
    ) -> frozenset[str]:
        """Those that exist, as far as it matters: of the attempts that may be started next.

        A RayJob is made after its ConfigMap, so each has one; only for the others the server is asked.
        """
        there = {names.attempt_name(custom_resource.name, job.attempt) for job in ray_jobs}
        if folder is None or folder.lease is None or _has_ended(custom_resource):
            return frozenset(there)
        name = names.attempt_name(custom_resource.name, folder.lease.attempt)
        if name not in there:
            found = await self._api.get(CONFIG_MAPS, custom_resource.namespace, name)
            if found is not None and objects.run_uid_of(found) == custom_resource.uid:
                there.add(name)
        return frozenset(there)


def _uses_pools(custom_resource: CustomResource) -> bool:
    """Whether the operator makes, or may have made, nodes for this run that it must look after."""
    known = custom_resource.status.node_pool
    if known is not None and known.managed and known.status is not None:
        return True
    if _has_ended(custom_resource) and custom_resource.deleted_at is None:
        return False
    if custom_resource.run is None:
        return custom_resource.deleted_at is not None
    return pools.is_managed(custom_resource.run)


def _has_ended(custom_resource: CustomResource) -> bool:
    phase = custom_resource.status.phase
    return phase is not None and phase.is_terminal


def _is_new_enough(crd: objects.Object) -> bool:
    for version in crd.get("spec", {}).get("versions", ()):
        if version.get("name") == RAY_JOBS.version:
            schema = version.get("schema", {}).get("openAPIV3Schema", {}).get("properties", {})
            return _SINCE_1_7 in schema.get("status", {}).get("properties", {})
    return False
