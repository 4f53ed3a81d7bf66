"""A run's output folder as a whole, read with as few requests as the moment allows.

While a run simply trains, or its machines are waited for, only its manifest is looked at; the other files
are read again when anything about it changed, or after `FULL_EVERY` looks. That keeps 500 runs cheap.

Judges only whether a file can have changed, never what it means; knows no Kubernetes.
"""

import asyncio
import dataclasses
import datetime
from collections.abc import Callable

from autolfads_operator import times
from autolfads_operator.observed import CustomResource, FolderProblem, OutputFolder, RayJob
from autolfads_operator.reports import Reports, Versioned
from autolfads_spec.attempt import AttemptEnd
from autolfads_spec.errors import DeniedError, StoreError

FULL_EVERY = 20
# A role that was given takes minutes to hold; a write that is not allowed costs a request.
DENIED_SECONDS = 30.0
# A driver gives a sign of life every 30 s; one that is late is looked at from all sides.
FRESH_SECONDS = 90


@dataclasses.dataclass
class _Memory:
    """Of one folder, between two looks; a changed spec makes all of it void."""

    resource_generation: int
    folder: OutputFolder | None = None
    ray_jobs: tuple[RayJob, ...] = ()
    looks: int = 0
    heard_version: str | None = None
    heard_at: float = 0.0


class Folders:
    """The output folders of all runs.

    Args:
      now: UTC.
      monotonic: seconds that never go back, nor jump when somebody sets the clock.
    """

    def __init__(
        self,
        reports: Reports,
        now: Callable[[], datetime.datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._reports, self._now, self._monotonic = reports, now, monotonic
        self._memories: dict[str, _Memory] = {}

    def doubt(self, uid: str) -> None:
        """The next look at this run's folder reads every file: something went otherwise than planned."""
        memory = self._memories.get(uid)
        if memory is not None:
            memory.folder = None

    def forget(self, uid: str, address: str) -> None:
        """The run is gone."""
        self._memories.pop(uid, None)
        self._reports.forget(address)

    async def look(
        self, custom_resource: CustomResource, ray_jobs: tuple[RayJob, ...]
    ) -> OutputFolder | None:
        """The folder of one run now; None when nobody knows where it is."""
        if custom_resource.run is None:
            return None
        address = custom_resource.run.spec.output.uri
        memory = self._memories.get(custom_resource.uid)
        if memory is None or memory.resource_generation != custom_resource.resource_generation:
            memory = _Memory(custom_resource.resource_generation)
            self._memories[custom_resource.uid] = memory
        memory.looks += 1
        try:
            manifest = await self._reports.manifest(address)
            before = memory.folder if memory.looks % FULL_EVERY else None
            if (
                before is not None
                and manifest is not None
                and _just_trains(custom_resource, ray_jobs, before, manifest, self._now())
            ):
                folder = dataclasses.replace(
                    before, manifest=manifest.document, manifest_version=manifest.version
                )
            elif (
                before is not None
                and ray_jobs == memory.ray_jobs
                and _just_starts(custom_resource, ray_jobs, before, manifest)
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
        denial = self._reports.denial(address)
        return dataclasses.replace(
            folder,
            silence_seconds=self._silence(memory, folder),
            denied=denial.message if denial is not None else "",
            is_due=denial is None or self._monotonic() - denial.at >= DENIED_SECONDS,
        )

    def _silence(self, memory: _Memory, folder: OutputFolder) -> float:
        """For how long this process has listened to the driver in vain."""
        version = folder.manifest_version or "none"
        if version != memory.heard_version:
            memory.heard_version, memory.heard_at = version, self._monotonic()
        return self._monotonic() - memory.heard_at

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


def _just_trains(
    custom_resource: CustomResource,
    ray_jobs: tuple[RayJob, ...],
    before: OutputFolder,
    manifest: Versioned,
    now: datetime.datetime,
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
    if heartbeat is None or times.seconds_since(heartbeat, now) > FRESH_SECONDS:
        return False
    live = [job for job in ray_jobs if job.is_live]
    return (
        len(live) == 1
        and live[0].attempt == before.lease.attempt == found.attempt
        and live[0].deployment_status == "Running"
    )


def _just_starts(
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
