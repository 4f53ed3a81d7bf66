"""The status of a run, from what was observed and what was decided; pure.

    status.projected(situation, verdict) -> RunStatus     the whole status, replacing the old one
    status.rejected(observed, problems)  -> RunStatus     of a run whose spec is not valid
    status.is_worth_writing(old, new)    -> bool          False when only times of reading differ
    status.is_urgent(old, new)           -> bool          True when it must not wait for the next interval

A projection of the output folder and of the cluster: nothing is counted here that is not there, but for
failed attempts and paused seconds, whose sources go away.
"""

import functools
from typing import Any

from autolfads_operator import budget, conditions, endings, headcount, pool_status, times
from autolfads_operator.conditions import NOT_SO, Told
from autolfads_operator.endings import Ending, Outcome
from autolfads_operator.manifests import names
from autolfads_operator.observed import Observed
from autolfads_operator.situation import AT_REST, Situation
from autolfads_operator.verdict import Verdict
from autolfads_spec.output import RunPaths
from autolfads_spec.run import RunSpec
from autolfads_spec.status import (
    Attempt,
    Best,
    ConditionType,
    Progress,
    Reason,
    RunStatus,
    StatusPaths,
)

MOST_ATTEMPTS = 10


def projected(situation: Situation, verdict: Verdict) -> RunStatus:
    """The whole status."""
    previous, now = situation.previous, situation.now
    told = conditions.facts(situation) | _decided(situation, verdict)
    written = conditions.written(told, previous, situation.resource.resource_generation, now)
    history = _history(situation, verdict.ending)
    first = situation.started_at
    completed = previous.completion_time or times.written(now) if verdict.is_terminal else None
    job, cluster = situation.ray_job, situation.cluster
    head = situation.head
    has_results = verdict.complete.status == "True" or (verdict.is_terminal and _has_results(situation))
    spec_hash = job.spec_hash if job is not None else ""
    return previous.model_copy(
        update={
            "observed_generation": situation.resource.resource_generation,
            "phase": conditions.phase(written, situation.resource.deleted_at is not None),
            "conditions": written,
            "attempt": situation.attempt or None,
            "attempts": history[-MOST_ATTEMPTS:] or None,
            "failed_attempts": failed_attempts(situation, verdict.ending),
            "paused_seconds": _paused_seconds(situation, verdict),
            "progress": _progress(situation),
            "best": _best(situation, has_results),
            "paths": _paths(situation.spec, has_results),
            "ray_job_name": job.name if job is not None else None,
            "ray_cluster_name": cluster.name if cluster is not None else None,
            "dashboard_service": cluster.head_service if cluster is not None else None,
            "node_pool": pool_status.told(situation, verdict.is_terminal),
            "cost": budget.told(situation, verdict.is_terminal),
            "data_fingerprint": situation.manifest.fingerprint
            if situation.manifest is not None and situation.lease is not None
            else previous.data_fingerprint,
            "image_digest": (head.image_digest if head is not None else None) or previous.image_digest,
            "spec_hash": spec_hash or previous.spec_hash or names.spec_hash(situation.spec),
            "start_time": times.written(first) if first is not None else None,
            "completion_time": completed,
            "message": conditions.shortened(_message(told, verdict)),
        }
    )


def rejected(observed: Observed, problems: tuple[str, ...]) -> RunStatus:
    """The status of a run whose spec cannot be carried out; what is under way is left alone."""
    resource = observed.custom_resource
    sentence = "; ".join(problems)
    told = {
        ConditionType.ACCEPTED: Told("False", Reason.INVALID_SPEC, sentence),
        ConditionType.STALLED: Told("True", Reason.INVALID_SPEC, sentence),
    }
    if not any(job.is_live for job in observed.ray_jobs):
        told[ConditionType.PROGRESSING] = Told("False", Reason.INVALID_SPEC, sentence)
        told[ConditionType.RECONCILING] = Told("False", Reason.INVALID_SPEC)
    written = conditions.written(told, resource.status, resource.resource_generation, observed.now)
    return resource.status.model_copy(
        update={
            "observed_generation": resource.resource_generation,
            "phase": conditions.phase(written, resource.deleted_at is not None),
            "conditions": written,
            "message": conditions.shortened(sentence),
        }
    )


def deleting(observed: Observed, progressing: Told) -> RunStatus:
    """The status of a run that its user has deleted: as before, but for what is being done."""
    resource = observed.custom_resource
    told = {
        ConditionType.PROGRESSING: progressing,
        ConditionType.RECONCILING: Told("True", progressing.reason),
    }
    written = conditions.written(told, resource.status, resource.resource_generation, observed.now)
    return resource.status.model_copy(
        update={
            "observed_generation": resource.resource_generation,
            "phase": conditions.phase(written, True),
            "conditions": written,
            "node_pool": pool_status.going(observed),
            "message": conditions.shortened(progressing.message),
        }
    )


def is_worth_writing(old: RunStatus, new: RunStatus) -> bool:
    """Whether anything differs but the time at which the progress was read, and by how little costs grew."""
    return _without_times(old) != _without_times(new) or budget.is_news(old.cost, new.cost)


def is_urgent(old: RunStatus, new: RunStatus) -> bool:
    """Whether later decisions hang on this status, or people wait for it."""
    return _pressing(old) != _pressing(new)


def failed_attempts(situation: Situation, ending: Ending | None) -> int:
    """Attempts that failed so far, this one included."""
    failed = ending is not None and ending.outcome is Outcome.RETRY
    return (situation.previous.failed_attempts or 0) + failed


def _without_times(status: RunStatus) -> RunStatus:
    status = status.model_copy(update={"cost": None, "attempts": _without_amounts(status)})
    if status.progress is None:
        return status
    bare = {"updated_at": None, "manifest_generation": None}  # a heartbeat changes the manifest's version
    return status.model_copy(update={"progress": status.progress.model_copy(update=bare)})


def _without_amounts(status: RunStatus) -> tuple[Attempt, ...]:
    return tuple(entry.model_copy(update={"gpu_hours": None}) for entry in status.attempts or ())


def _pressing(status: RunStatus) -> tuple[object, ...]:
    # A lost worker is seen for a moment only.
    lost = status.progress.preemptions if status.progress is not None else None
    return (status.phase, _statuses(status), _without_amounts(status), lost)


def _statuses(status: RunStatus) -> list[tuple[str, str, str]]:
    return [(c.type, c.status, c.reason) for c in status.conditions or ()]


def _decided(situation: Situation, verdict: Verdict) -> dict[ConditionType, Told]:
    busy = not verdict.is_terminal and verdict.suspended.status != "True"
    stalled = NOT_SO
    if verdict.failed.status == "True":
        stalled = verdict.failed
    elif verdict.suspended.status == "True" and verdict.suspended.reason is not Reason.PAUSED_BY_USER:
        stalled = Told("True", verdict.suspended.reason, verdict.suspended.message)
    return conditions.of_ending(situation, verdict.ending) | {
        ConditionType.PROGRESSING: verdict.progressing,
        ConditionType.SUSPENDED: verdict.suspended,
        ConditionType.COMPLETE: verdict.complete,
        ConditionType.FAILED: verdict.failed,
        ConditionType.RECONCILING: Told("True" if busy else "False", verdict.progressing.reason),
        ConditionType.STALLED: stalled,
    }


def _message(told: dict[ConditionType, Told], verdict: Verdict) -> str:
    """The most important thing to know."""
    for found in (verdict.failed, verdict.complete, verdict.suspended):
        if found.status == "True":
            return found.message
    storage, kuberay = told[ConditionType.STORAGE_WRITABLE], told[ConditionType.KUBERAY_COMPATIBLE]
    if storage.status == "False":
        return storage.message
    data = told[ConditionType.DATA_READY]
    if data.reason is Reason.STORAGE_DENIED:
        return data.message
    if kuberay.reason is Reason.KUBERAY_MISSING:  # with one that is too old the run goes on
        return kuberay.message
    return verdict.progressing.message


def _history(situation: Situation, ending: Ending | None) -> tuple[Attempt, ...]:
    """The attempts, the newest with its end if that has just turned out, those before it with any."""
    if not situation.history:
        return ()
    *older, newest = map(functools.partial(_with_gpu_hours, situation), situation.history)
    settled = [entry if entry.end_reason else _settled(situation, entry) for entry in older]
    update: dict[str, Any] = {}
    if newest.end_reason is None and newest.number == situation.attempt:
        update["generation"] = _committed(situation, newest.generation)
    if ending is not None:
        update |= {"end_time": times.written(situation.now), "end_reason": ending.reason}
    return (*settled, newest.model_copy(update=update))


def _settled(situation: Situation, entry: Attempt) -> Attempt:
    """An earlier attempt whose end was never written down, because a status was lost."""
    reason = endings.forgotten(situation.end_of(entry.number))
    return entry.model_copy(update={"end_time": times.written(situation.now), "end_reason": reason})


def _with_gpu_hours(situation: Situation, entry: Attempt) -> Attempt:
    used = situation.cost.attempts if situation.cost is not None else ()
    found = next((one for one in used if one.number == entry.number), None)
    return entry.model_copy(update={"gpu_hours": f"{found.gpu_hours:.2f}"}) if found is not None else entry


def _committed(situation: Situation, before: int | None) -> int | None:
    manifest = situation.manifest
    if manifest is None or not situation.has_begun:
        return before
    return manifest.generation


def _paused_seconds(situation: Situation, verdict: Verdict) -> int | None:
    """Counted when a pause is over, or a rest after an end; while it lasts its condition tells."""
    now = {ConditionType.SUSPENDED: verdict.suspended, ConditionType.COMPLETE: verdict.complete}
    if any(situation.since(kind, "True") and now[kind].status == "True" for kind in AT_REST):
        return situation.previous.paused_seconds
    return round(situation.paused_seconds) or situation.previous.paused_seconds


def _progress(situation: Situation) -> Progress | None:
    before = situation.previous.progress
    ready = situation.ready_workers if situation.is_live else 0
    workers = f"{ready}/{situation.most_workers}"
    lost = headcount.losses(situation)
    names = lost.workers_lost or None
    manifest = situation.manifest if situation.lease is not None else None
    if manifest is None:
        asked = situation.spec.population.generations
        known = before or Progress(generation=0, of=asked, summary=f"0/{asked}", percent=0)
        return known.model_copy(
            update={"workers_ready": workers, "preemptions": lost.preemptions, "workers_lost": names}
        )
    done = 0 if manifest.generation is None else manifest.generation + 1
    ramp = situation.spec.training.ramp_epochs if done else 0  # generation 0 holds the ramps
    asked = max(situation.generations_asked, done)
    left = 0 if situation.is_trained else asked - done
    median = situation.median_generation_seconds
    folder = situation.folder
    return Progress(
        generation=done,
        of=asked,
        summary=f"{done}/{asked}",
        percent=100 * done // asked if asked else None,
        epoch=ramp + done * situation.spec.population.epochs_per_generation,
        members_running=headcount.members_running(situation),
        members_failed=headcount.members_failed(situation),
        preemptions=lost.preemptions,
        workers_lost=names,
        workers_ready=workers,
        eta_seconds=round(left * median) if median else None,
        updated_at=times.written(situation.now),
        manifest_generation=folder.manifest_version[:32] if folder and folder.manifest_version else None,
    )


def _best(situation: Situation, is_complete: bool) -> Best | None:
    manifest = situation.manifest if situation.lease is not None else None
    if manifest is None or manifest.best is None:
        return situation.previous.best
    best = manifest.best
    return Best(
        member=best.member,
        generation=best.generation,
        metric=f"{best.score:.6g}",
        hyperparameters={name: f"{value:.6g}" for name, value in best.hyperparameters.items()},
        checkpoint_uri=situation.spec.output.paths.best_weights if is_complete else None,
    )


def _has_results(situation: Situation) -> bool:
    """Whether there are results although the run is not complete: its budget has ended it."""
    if situation.folder is None:
        known = situation.previous.paths
        return known is not None and (known.rates is not None)
    return situation.folder.has_results


def _paths(spec: RunSpec, is_complete: bool) -> StatusPaths:
    paths: RunPaths = spec.output.paths
    if not is_complete:
        return StatusPaths(root=spec.output.uri, manifest=paths.manifest)
    return StatusPaths(
        root=spec.output.uri,
        manifest=paths.manifest,
        best_model=paths.best_weights,
        rates=paths.rates if "HDF5" in spec.output.formats else paths.rates_matlab,
        report=paths.report if spec.output.report else None,
        logs=paths.training_log(0).rpartition("/")[0],
        tensorboard=paths.event_file(0).rsplit("/", 2)[0] if spec.output.report else None,
    )
