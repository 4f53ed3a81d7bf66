"""Everything about one run, gathered: what watches have shown, its output folder, and the clock.

What Kubernetes holds is read from the cache, and only the absence of an object that should be there is
checked at the server, because plans hang on absence. How the output folder is read is `folders`' business.
"""

import dataclasses
import datetime
import logging
import time
from collections.abc import Callable

from autolfads_operator import lease_holder, objects, pools
from autolfads_operator.api import KubeApi
from autolfads_operator.cache import Cache
from autolfads_operator.cloud import CloudView
from autolfads_operator.errors import RefusedError
from autolfads_operator.folders import Folders
from autolfads_operator.kinds import CONFIG_MAPS, CRDS, PODS, RAY_CLUSTERS, RAY_JOBS, RUNS
from autolfads_operator.manifests import names
from autolfads_operator.nodes import Nodes
from autolfads_operator.observed import (
    Cloud,
    CustomResource,
    KubeRay,
    Observed,
    OutputFolder,
    RayJob,
)
from autolfads_operator.reports import Reports
from autolfads_operator.terms import Terms

logger = logging.getLogger(__name__)

# KubeRay limits the wait for machines since 1.6.0: before, the API server refuses our RayJobs for that field.
# It watches the driver's status with a time limit since 1.7.0, and has the second field since then.
_SINCE_1_6, _SINCE_1_7 = "preRunningDeadlineSeconds", "jobStatusCheckFailureStartTime"


@dataclasses.dataclass
class _Memory:
    """A run's spec, read once for each change of it."""

    spec: objects.Spec
    resource_generation: int


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
        self._api, self._cache, self._now, self._cloud = api, cache, now, cloud
        self._folders = Folders(reports, now, monotonic)
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
        folder = await self._folders.look(custom_resource, ray_jobs)
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
            rival=lease_holder.found(self._cache, uid, folder),
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
        self._folders.doubt(uid)

    def forget(self, uid: str) -> None:
        """The run is gone."""
        memory = self._memories.pop(uid, None)
        if memory is not None and memory.spec[0] is not None:
            self._folders.forget(uid, memory.spec[0].spec.output.uri)

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
        self.kuberay = KubeRay.FINE if found is None else _age_of(found)

    def _custom_resource(self, thing: objects.Object) -> CustomResource:
        uid = thing["metadata"]["uid"]
        resource_generation = int(thing["metadata"].get("generation", 1))
        memory = self._memories.get(uid)
        if memory is None or memory.resource_generation != resource_generation:
            memory = self._memories[uid] = _Memory(objects.spec_of(thing), resource_generation)
        return objects.custom_resource_of(thing, memory.spec)

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
    ) -> dict[str, str]:
        """Those that exist and their specs, as far as it matters: of the attempts that may be started next.

        A RayJob is made after its ConfigMap, so each has one; only for the others the server is asked.
        """
        there = {names.attempt_name(custom_resource.name, job.attempt): job.spec_hash for job in ray_jobs}
        if folder is None or folder.lease is None or _has_ended(custom_resource):
            return there
        name = names.attempt_name(custom_resource.name, folder.lease.attempt)
        if name not in there:
            found = await self._api.get(CONFIG_MAPS, custom_resource.namespace, name)
            if found is not None and objects.run_uid_of(found) == custom_resource.uid:
                there[name] = objects.spec_hash_of(found)
        return there


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


def _age_of(crd: objects.Object) -> KubeRay:
    for version in crd.get("spec", {}).get("versions", ()):
        if version.get("name") == RAY_JOBS.version:
            schema = version.get("schema", {}).get("openAPIV3Schema", {}).get("properties", {})
            if _SINCE_1_7 in schema.get("status", {}).get("properties", {}):
                return KubeRay.FINE
            if _SINCE_1_6 in schema.get("spec", {}).get("properties", {}):
                return KubeRay.TOO_OLD
    return KubeRay.UNUSABLE
