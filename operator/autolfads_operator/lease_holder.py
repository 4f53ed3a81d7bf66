"""Which other run of this cluster has the lease in a run's output folder, from what watches have shown.

Says what is there and what that run means to do; whether it must be waited for is `rivals`' business.
"""

from autolfads_operator.cache import Cache
from autolfads_operator.kinds import PODS, RAY_JOBS
from autolfads_operator.observed import OutputFolder, Rival
from autolfads_spec.status import Phase


def found(cache: Cache, uid: str, folder: OutputFolder | None) -> Rival | None:
    """The run that has the lease in the folder of run `uid`; None when it is that one, or not known here."""
    lease = folder.lease if folder is not None else None
    if lease is None or lease.owner in ("", uid):
        return None
    run = cache.run(lease.owner)
    if run is None:
        return None
    name = f"run {run.namespace}/{run.name}"
    if any(not job.value.is_terminal for job in cache.made_for(lease.owner, RAY_JOBS)):
        return Rival(name, is_at_work=True)
    if run.value["metadata"].get("deletionTimestamp"):
        return Rival(name, is_at_work=bool(cache.made_for(lease.owner, PODS)))
    phase = run.value.get("status", {}).get("phase")
    return Rival(name, is_at_work=phase not in (Phase.SUCCEEDED, Phase.FAILED, Phase.SUSPENDED))
