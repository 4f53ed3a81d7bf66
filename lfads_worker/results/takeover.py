"""A driver's start: it makes the run its own, and finds where to go on.

Each start has a number of its own in the lease and puts it on the manifest, which fences every driver
before it (`fencing`). A manifest that is lost is made anew from the records. Generations whose files are
damaged are given up; their files stay until the next commit.
"""

import contextlib
import logging
import os
import socket
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from autolfads_spec import AutoLFADSRun
from autolfads_spec.errors import ConflictError, MissingError
from autolfads_spec.manifest import CommittedGeneration, Lease, Manifest
from autolfads_spec.store import Expected, Store
from lfads_worker.errors import RecordingChangedError
from lfads_worker.history import Position
from lfads_worker.results import records, resume
from lfads_worker.results.commit import Commits
from lfads_worker.results.fencing import Hold, now, taken
from lfads_worker.results.resume import NAMES

logger = logging.getLogger(__name__)

# Two drivers that start in the same moment each get a number of their own; more than a few never do.
TRIES = 20

Cohorts = Sequence[tuple[int, ...]]


def take_over(
    store: Store,
    run: AutoLFADSRun,
    fingerprint: str,
    cohorts: Cohorts,
    versions: Mapping[str, str | None],
    attempt: int | None = None,
    recording_version: str | None = None,
) -> Commits:
    """Makes this process the driver of a run, new or begun.

    Args:
      store: the run's files.
      run: what is asked for.
      fingerprint: sha256 of the recording.
      cohorts: how a new run is cut; one that has begun keeps its cut.
      versions: of what the numbers depend on.
      attempt: that this driver makes; None leaves the number as it is, where nobody counts.
      recording_version: of the recording's file, see `Manifest`.

    Raises:
      RecordingChangedError: if the run began with another recording.
      StoreError: if the store refuses.
      FencedError: if yet another driver takes the run over in the same moment, or the run belongs to a
        later attempt.
    """
    found = require_recording_of(store, run, fingerprint)
    lease = _next_lease(store, attempt, found.driver_epoch if found is not None else 0)
    fresh = Manifest(
        run=run.metadata.name,
        fingerprint=fingerprint,
        recording_version=recording_version,
        cohorts=tuple(cohorts),
        generations_asked=run.spec.population.generations,
        attempt=lease.attempt,
        driver_epoch=lease.driver_epoch,
        driver=f"{socket.gethostname()}, process {os.getpid()}",
        heartbeat=now(),
        versions={name: version for name, version in versions.items() if version is not None},
    )
    manifest, version = _claim(store, fresh)
    entries = (*manifest.generations, *manifest.given_up)
    restored = resume.restore(store, entries, manifest.generations_asked)
    _tell(manifest, restored, fresh)
    hold = Hold(store, manifest, version)
    pointer = _pointer(manifest, entries, restored)
    if any(getattr(manifest, name) != value for name, value in pointer.items()):
        hold.renew(**pointer)
    commits = Commits(store, hold, restored, run.spec.output.keep_generations)
    commits.sweep()
    return commits


def require_recording_of(store: Store, run: AutoLFADSRun, fingerprint: str) -> Manifest | None:
    """Checks that a run that has begun goes on with its recording; its manifest, if there is one.

    Raises:
      RecordingChangedError: if it began with another one.
    """
    found = resume.read_manifest(store).manifest
    if found is not None:
        require_same_recording(run, found.fingerprint, fingerprint)
    return found


def require_same_recording(run: AutoLFADSRun, began_with: str, found: str) -> None:
    """Checks that a run goes on with the recording that it began with.

    Args:
      run: what is asked for.
      began_with: sha256 of the recording then.
      found: sha256 of the recording now.

    Raises:
      RecordingChangedError: if they differ.
    """
    if began_with == found:
        return
    raise RecordingChangedError(
        f"data.uri: wanted the recording that the run in {run.spec.output.uri} began with (sha256 "
        f"{began_with[:12]}…), found that {run.spec.data.uri} has another content now ({found[:12]}…); "
        "put the recording back, or give another output.uri"
    )


def _next_lease(store: Store, attempt: int | None, epoch_in_manifest: int) -> Lease:
    for _ in range(TRIES):
        before, expected = _lease(store)
        if attempt is not None and before.attempt > attempt:
            break
        epoch = max(before.driver_epoch, epoch_in_manifest) + 1  # a damaged lease may lag behind
        lease = before.model_copy(update={"attempt": attempt or before.attempt, "driver_epoch": epoch})
        with contextlib.suppress(ConflictError):
            store.write(NAMES.lease, lease.to_bytes(), expected)
            return lease
    raise taken(store, None)


def _lease(store: Store) -> tuple[Lease, str | Expected]:
    """The latest start of a driver, and the version for the write that will replace it."""
    try:
        stored = store.read(NAMES.lease)
    except MissingError:
        return Lease(), Expected.NOTHING
    try:
        return Lease.model_validate_json(stored.content), stored.version
    except ValidationError:  # damaged: the manifest knows the number too
        manifest = resume.read_manifest(store).manifest
        if manifest is None:
            return Lease(), stored.version
        return Lease(attempt=manifest.attempt, driver_epoch=manifest.driver_epoch), stored.version


def _claim(store: Store, fresh: Manifest) -> tuple[Manifest, str]:
    """Puts this driver's name on the manifest; what was committed stays."""
    for _ in range(TRIES):
        found, version = resume.read_manifest(store)
        if found is not None and found.driver_epoch > fresh.driver_epoch:
            break
        manifest = _as_ours(found, fresh) if found is not None else _recovered(store, fresh)
        with contextlib.suppress(ConflictError):
            return manifest, store.write(NAMES.manifest, manifest.to_bytes(), version)
    raise taken(store, resume.read_manifest(store).manifest)


def _as_ours(found: Manifest, fresh: Manifest) -> Manifest:
    whose = ("attempt", "driver_epoch", "driver", "heartbeat", "recording_version", "generations_asked")
    return found.model_copy(update={name: getattr(fresh, name) for name in whose})


def _recovered(store: Store, fresh: Manifest) -> Manifest:
    """A new manifest, with the generations whose records are there although the old one is lost."""
    entries = resume.recover_entries(store)
    if not entries:
        return fresh
    logger.warning("manifest.json is lost; it is made anew from the records of %d generations", len(entries))
    return fresh.model_copy(update={"generation": entries[-1].generation, "generations": entries})


def _pointer(
    manifest: Manifest, entries: Sequence[CommittedGeneration], restored: resume.Restored
) -> dict[str, object]:
    """What the manifest says once damaged generations are given up."""
    documents, position = restored.documents, restored.position
    return {
        # A manifest that was made anew knows only how a new run would be cut.
        "cohorts": manifest.cohorts if position is None else _cut(position),
        "generations": tuple(entries[: len(documents)]),
        "given_up": tuple(entries[len(documents) :]),
        "generation": documents[-1].generation if documents else None,
        "stop_reason": documents[-1].stop_reason if documents else None,
        "best": records.summary(documents[-1]) if documents else None,
    }


def _cut(position: Position) -> Cohorts:
    return tuple(tuple(state.member_ids.tolist()) for state in position.states if state is not None)


def _tell(manifest: Manifest, restored: resume.Restored, fresh: Manifest) -> None:
    """What the user should know before the run goes on."""
    for problem in restored.problems:
        logger.warning("%s", problem)
    if restored.problems and restored.position is None:
        logger.warning("no committed generation is whole: the run begins anew, and ends with the same result")
    changed = [
        f"{name} {version} (now {fresh.versions.get(name, 'missing')})"
        for name, version in manifest.versions.items()
        if fresh.versions.get(name) != version
    ]
    if changed and restored.position is not None:
        logger.warning(
            "the run began with %s; results may differ in the last digits from those of a run that keeps "
            "them",
            ", ".join(changed),
        )
