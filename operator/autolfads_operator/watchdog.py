"""Whether an attempt that KubeRay takes for alive is dead: the head gone, the driver silent, no workers.

The heartbeat in the manifest is the evidence, because it comes from the driver itself and stays when
head, operator or API server are gone. Nothing is judged while the output folder cannot be read: then
the driver cannot write its heartbeat either. And no driver is silent for longer than somebody has listened:
a clock that jumped, an operator that was away and a store that has just come back are no fault of its.
"""

from autolfads_operator import conditions, endings, times
from autolfads_operator.endings import Ending
from autolfads_operator.situation import Situation
from autolfads_spec.lifecycle import seconds
from autolfads_spec.status import ConditionType, Reason


def found_dead(situation: Situation) -> Ending | None:
    """Why the present attempt must be given up; None while it is well, or cannot be judged."""
    if not situation.is_live or situation.is_queued or situation.folder is None:
        return None
    silent = _silent(situation) if situation.has_begun else _never_began(situation)
    if silent is not None:  # it may have ended in order, with no KubeRay to notice
        silent = endings.said_by_driver(situation) or silent
    return endings.head_trouble(situation) or silent


def longest_silence_seconds(situation: Situation) -> float:
    """How old a heartbeat may be."""
    terms = situation.terms
    generations = terms.heartbeat_generations * situation.median_generation_seconds
    return max(terms.heartbeat_stale_seconds, generations)


def _silent(situation: Situation) -> Ending | None:
    manifest = situation.manifest
    heard = times.parsed_or_none(manifest.heartbeat) if manifest is not None else None
    silent = _listened(situation, times.seconds_since(heard, situation.now))
    if situation.head is None and silent > situation.terms.head_missing_seconds:
        return Ending(
            Reason.HEAD_LOST,
            f"the head pod is missing and its driver was last heard of {times.duration(silent)} ago",
        )
    if silent > longest_silence_seconds(situation):
        return Ending(Reason.DRIVER_STALLED, f"the driver was last heard of {times.duration(silent)} ago")
    return None


def _listened(situation: Situation, age: float) -> float:
    """How long there was silence: an age by two clocks, at most what was listened for by one."""
    folder = situation.folder
    listened = folder.silence_seconds if folder is not None else None
    return age if listened is None else min(age, listened)


def _never_began(situation: Situation) -> Ending | None:
    """With no sign of life to wait for, a head whose Ray no longer answers its probe is given up sooner."""
    job = situation.ray_job
    if job is None:
        return None
    allowed = situation.terms.driver_start_seconds
    began = job.job_started
    head = situation.head
    if began is not None and head is not None and head.unready_since is not None:
        unready = _listened(situation, times.seconds_since(max(head.unready_since, began), situation.now))
        if unready > situation.terms.head_missing_seconds:
            return Ending(
                Reason.HEAD_LOST,
                f"the head pod has not been ready for {times.duration(unready)} and its driver has not "
                "begun: something in it has ended, most often for want of memory (spec.compute.head.memory)",
            )
    if began is None:
        # Until Ray tells when it started the driver, KubeRay's own deadline for machines counts too; both
        # from when KubeRay began, which is long after the RayJob was made where that waited in a queue.
        began = job.started or job.created
        allowed += seconds(situation.spec.schedule.provisioning_timeout)
    if _listened(situation, times.seconds_since(began, situation.now)) <= allowed:
        return None
    return Ending(
        Reason.DRIVER_STALLED, f"the driver did not check the recording within {times.duration(allowed)}"
    )


def found_no_machines(situation: Situation) -> Ending | None:
    """That workers were asked for and did not come in time, or were taken away and not given back."""
    told = conditions.cluster(situation)
    if not situation.is_live or not situation.has_begun or told.status == "True":
        return None
    asked = situation.since(ConditionType.DATA_READY, "True")
    lacking = situation.since(ConditionType.CLUSTER_READY, "False")
    if asked is None or lacking is None:
        return None
    if times.seconds_since(max(asked, lacking), situation.now) <= seconds(
        situation.spec.schedule.provisioning_timeout
    ):
        return None
    return endings.no_machines(situation, told.message)
