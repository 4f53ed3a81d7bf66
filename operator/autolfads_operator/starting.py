"""Starting an attempt: when it may begin, and the three things that are made for it.

The lease comes first: its number is the attempt's, and only one writer gets it. An operator that dies
between the lease and the RayJob finds its own lease again and goes on with the same number; once a
RayJob of a number was seen, or its run.yaml is of a spec that has changed since, that number is never used
again. Even then the lease is written anew: another run that means to take it has looked before, and finds
its writing outdated.
"""

from autolfads_operator import endings, stopping, times
from autolfads_operator.actions import Action, ApplyConfigMap, ApplyRayJob, WriteLease
from autolfads_operator.endings import Outcome
from autolfads_operator.manifests import configmap, names, rayjob
from autolfads_operator.situation import Situation
from autolfads_spec.manifest import Lease

# The first retry comes at once; one that changed nothing waits, twice as long each time.
FIRST_WAIT_SECONDS = 10.0
LONGEST_WAIT_SECONDS = 300.0
# A role takes up to seven minutes to hold after it was given.
FIRST_DENIED_SECONDS = 30.0
# KubeRay's deadline is for runs whose operator is gone: it comes so long after ours, and after all the time
# that ours gives a driver to commit.
MARGIN_SECONDS = 900.0


def number(situation: Situation) -> int:
    """Number of the next attempt: the lease's, if it is ours and can be used yet, else a new one."""
    folder = situation.folder
    if folder is None or (_is_leased(situation) and not _is_used(situation)):
        return situation.attempt
    used = [situation.attempt]
    used += [folder.lease.attempt] if folder.lease is not None else []
    used += [folder.manifest.attempt] if folder.manifest is not None else []
    return max(used) + 1


def actions(situation: Situation) -> tuple[Action, ...]:
    """Everything that starts the next attempt, in the order in which it can be interrupted anywhere."""
    attempt = number(situation)
    result: list[Action] = [_lease(situation, attempt)]
    name = names.attempt_name(situation.resource.name, attempt)
    if name not in situation.observed.config_maps:
        result.append(ApplyConfigMap(configmap.config_map(situation.resource, situation.run, attempt)))
    left = situation.seconds_left + stopping.patience_seconds(situation) + MARGIN_SECONDS
    manifest = rayjob.ray_job(situation.resource, situation.run, attempt, situation.terms, left)
    return (*result, ApplyRayJob(manifest, attempt))


def taken(situation: Situation) -> str | None:
    """The sentence for a folder that `resume.policy: Never` forbids, before the first attempt."""
    folder = situation.folder
    if situation.spec.resume.policy != "Never" or folder is None or situation.lease is not None:
        return None
    if situation.history or (folder.manifest is None and not folder.has_results):
        return None
    return (
        f"spec.output.uri: wanted an empty or new folder, since spec.resume.policy is Never, found a run in "
        f"{situation.spec.output.uri}; give another folder, or use resume.policy: IfPresent"
    )


def wait_seconds(situation: Situation) -> float:
    """How long the next attempt must still wait, after attempts that failed without getting further."""
    denials = _denials(situation)
    if denials:
        return _left(situation, FIRST_DENIED_SECONDS * 2.0 ** (denials - 1))
    failures = 0
    for entry in reversed(situation.history):
        if entry.end_reason is None or endings.outcome(entry.end_reason) is not Outcome.RETRY:
            break
        if failures and entry.generation != situation.history[-1].generation:
            break
        failures += 1
    if failures < 2:
        return 0.0
    return _left(situation, FIRST_WAIT_SECONDS * 2.0 ** (failures - 2))


def _denials(situation: Situation) -> int:
    """How many of the last attempts ended one after the other because a role is missing."""
    count = 0
    for entry in reversed(situation.history):
        if entry.end_reason is None or endings.outcome(entry.end_reason) is not Outcome.DENIED:
            break
        count += 1
    return count


def _left(situation: Situation, wait: float) -> float:
    ended = times.parsed_or_none(situation.history[-1].end_time)
    return max(0.0, min(LONGEST_WAIT_SECONDS, wait) - times.seconds_since(ended, situation.now))


def _is_leased(situation: Situation) -> bool:
    return situation.lease is not None and situation.lease.attempt == situation.attempt


def _is_used(situation: Situation) -> bool:
    """Whether there was a RayJob of the present number, or its run.yaml says what nobody wants any more."""
    name = names.attempt_name(situation.resource.name, situation.attempt)
    asked = situation.observed.config_maps.get(name)
    return situation.is_started or asked not in (None, names.spec_hash(situation.spec))


def _lease(situation: Situation, attempt: int) -> WriteLease:
    folder = situation.folder
    assert folder is not None  # nobody starts while the folder cannot be read
    epochs = [0]
    epochs += [folder.lease.driver_epoch] if folder.lease is not None else []
    epochs += [folder.manifest.driver_epoch] if folder.manifest is not None else []
    lease = Lease(attempt=attempt, driver_epoch=max(epochs), owner=situation.resource.uid)
    return WriteLease(lease, folder.lease_version)
