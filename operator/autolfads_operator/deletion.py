"""Deleting a run: let the driver commit, release its machines, then let the object go. Results stay.

Every step is bounded by the time of the deletion, so that nothing, not even a cluster without KubeRay,
keeps a run for ever: what is left then belongs to the run by its owner references and is collected when
somebody can. Only a node pool of its own, which costs money and which nobody else collects, keeps it. The
run's spec may be invalid here; only what is there counts.
"""

from autolfads_operator import provisioning, stopping, times
from autolfads_operator.actions import Action, DeleteRayJob, RemoveFinalizer
from autolfads_operator.conditions import Told
from autolfads_operator.manifests import names
from autolfads_operator.observed import Observed
from autolfads_operator.situation import Situation
from autolfads_operator.terms import Terms
from autolfads_operator.verdict import Verdict
from autolfads_spec.status import Reason

# Pods on a node that is gone can stay for so long; nobody wants to wait for them any longer.
LONGEST_SECONDS = 900.0


def verdict(observed: Observed, situation: Situation | None, terms: Terms) -> Verdict:
    """What to do about a run that its user has deleted.

    Args:
      observed: all that is known.
      situation: the same, understood; None when the spec is not valid.
      terms: the operator's settings.
    """
    asked = () if situation is None or not _may_wait(observed, situation, terms) else _ask(situation)
    if asked is None or asked:
        return _waiting(observed, asked or (), "the driver ends its generation", terms)
    deletions = tuple(
        DeleteRayJob(job.name, job.uid, "the run is deleted")
        for job in observed.ray_jobs
        if job.deleted_at is None
    )
    left = _left(observed)
    if left and not is_overdue(observed) and not is_forced(observed):
        return _waiting(observed, deletions, f"waiting for {left} to go", terms)
    released = provisioning.release(observed, "the run is deleted")
    if released.left and not is_forced(observed):
        return _held(observed, (*deletions, *released.actions), released.left, terms)
    return _waiting(observed, (*deletions, *_let_go(observed)), "everything is released", terms)


def is_forced(observed: Observed) -> bool:
    """Whether the user has said not to wait for anything."""
    return observed.custom_resource.annotations.get(names.FORCE_DELETE) == "true"


def is_overdue(observed: Observed) -> bool:
    """Whether the deletion takes longer than anybody should wait."""
    return times.seconds_since(observed.custom_resource.deleted_at, observed.now) > LONGEST_SECONDS


def _may_wait(observed: Observed, situation: Situation, terms: Terms) -> bool:
    waited = times.seconds_since(observed.custom_resource.deleted_at, observed.now)
    is_wanted = situation.spec.deletion_policy == "Stop" and not is_forced(observed)
    return is_wanted and waited < terms.delete_wait_seconds


def _ask(situation: Situation) -> tuple[Action, ...] | None:
    """The wish to stop; None when it stands already, empty when nobody is there to be asked."""
    if not situation.is_live or not situation.has_begun or situation.last_end is not None:
        return ()
    return stopping.wish(situation, True, "the run is deleted") or None


def _left(observed: Observed) -> str:
    """What is still there, in words; empty when nothing is."""
    found = [f"RayJob {job.name}" for job in observed.ray_jobs]
    found += [f"RayCluster {cluster.name}" for cluster in observed.ray_clusters]
    found += [f"pod {pod.name}" for pod in observed.pods]
    if len(found) > 3:
        return f"{', '.join(found[:3])} and {len(found) - 3} more"
    return ", ".join(found)


def _let_go(observed: Observed) -> tuple[Action, ...]:
    if names.FINALIZER not in observed.custom_resource.finalizers:
        return ()
    return (RemoveFinalizer(names.FINALIZER),)


def _held(observed: Observed, actions: tuple[Action, ...], left: str, terms: Terms) -> Verdict:
    """Node pools cost money for ever, so a run stays until its own are gone, however long that takes."""
    told = Told("False", Reason.WAITING, f"deleted by the user: waiting for {left} to go")
    if is_overdue(observed):
        told = Told(
            "False",
            Reason.CLEANUP_BLOCKED,
            f"wanted everything to be gone within {times.duration(LONGEST_SECONDS)}, found {left}; it is "
            "tried for as long as it takes: mend the access to Google Cloud, or annotate the run "
            f'{names.FORCE_DELETE}: "true" and look after the pool yourself',
        )
    return Verdict(actions, told, terms.poll_starting_seconds)


def _waiting(observed: Observed, actions: tuple[Action, ...], why: str, terms: Terms) -> Verdict:
    blocked = is_overdue(observed) and bool(_left(observed))
    reason = Reason.CLEANUP_BLOCKED if blocked else Reason.WAITING
    message = f"deleted by the user: {why}"
    if blocked:
        message = (
            f"wanted everything to be gone within {times.duration(LONGEST_SECONDS)}, found "
            f"{_left(observed)}; the run goes, look after these"
        )
    return Verdict(actions, Told("False", reason, message), terms.poll_starting_seconds)
