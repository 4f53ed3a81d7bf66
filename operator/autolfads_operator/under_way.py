"""An attempt that goes on: how far it is, what it is told, how many workers it has; pure.

under_way.found(situation) -> Verdict | None      None when no attempt is under way
"""

from autolfads_operator import endings, provisioning, stopping
from autolfads_operator.actions import Action, ScaleWorkers
from autolfads_operator.conditions import NOT_SO, Told, cluster
from autolfads_operator.manifests import names
from autolfads_operator.situation import Situation
from autolfads_operator.verdict import SOON, Verdict
from autolfads_spec.status import ConditionType, Reason


def found(situation: Situation) -> Verdict | None:
    """The present attempt goes on, as far as anybody knows."""
    last = situation.last
    if last is None or last.end_reason is not None:
        return None
    terms = situation.terms
    if not situation.is_live:  # over, but only the output folder knows how
        folder = situation.observed.folder
        problem = folder.problem if folder is not None else None
        reason = endings.folder_reason(problem) if problem is not None else Reason.WAITING
        told = Told(
            "False", reason, "the attempt is over; waiting for the output folder to tell how it ended"
        )
        return Verdict((), told, terms.poll_running_seconds)
    stop = stopping.wanted(situation)
    if stop is not None:
        told = Told("True", stop.reason, f"pausing at the end of the generation: {stop.why}")
        actions = stopping.wish(situation, True, stop.why, stop.finish)
        pausing = Told("Unknown", stop.reason, told.message)
        if stop.finish:
            told = Told("True", Reason.FINALIZING, f"this generation is the last one: {stop.why}")
            pausing = NOT_SO
        return Verdict(actions, told, terms.poll_starting_seconds, suspended=pausing)
    step = provisioning.step(situation)
    progressing = step.waits or _stage(situation)
    settled = progressing.reason in (Reason.TRAINING, Reason.QUEUED)
    wait = terms.poll_running_seconds if settled else terms.poll_starting_seconds
    wishes = stopping.wish(situation, False, "the run goes on")
    scaling = _scale(situation) if step.waits is None else ()
    if step.waits is not None and situation.since(ConditionType.DATA_READY, "True") is None:
        wait = SOON  # only for this status to be written
    return Verdict(
        (*wishes, *step.actions, *scaling), progressing, min(wait, max(situation.seconds_left, SOON))
    )


def _stage(situation: Situation) -> Told:
    """How far the present attempt is."""
    attempt = f"attempt {situation.attempt}"
    if situation.is_queued:
        return Told("False", Reason.QUEUED, f"{attempt} waits to be admitted by its queue")
    found = cluster(situation)
    job = situation.ray_job
    if not situation.has_begun:
        if job is not None and job.job_status == "RUNNING":
            return Told("True", Reason.VALIDATING, f"{attempt}: the driver checks the recording")
        return Told("True", Reason.STARTING, f"{attempt}: {found.message}")
    manifest = situation.manifest
    if manifest is not None and manifest.stop_reason is not None:
        return Told(
            "True", Reason.FINALIZING, f"training is over ({manifest.stop_reason}); results are written"
        )
    if found.status != "True":
        return Told("True", Reason.PROVISIONING, f"{attempt}: {found.message}")
    done = 0 if manifest is None or manifest.generation is None else manifest.generation + 1
    told = f"{attempt}: {done} of {situation.generations_asked} generations are committed"
    return Told("True", Reason.TRAINING, told)


def _scale(situation: Situation) -> tuple[Action, ...]:
    """Asks for the workers once the recording is known to be good, and follows `workers.desired`."""
    found, wanted = situation.cluster, situation.most_workers
    if found is None or not situation.has_begun:
        return ()
    if found.replicas == wanted and found.max_replicas >= wanted:
        return ()
    return (ScaleWorkers(found.name, names.WORKER_GROUP, wanted),)
