"""Whether a run can be carried out at all: everything that is wrong with its spec, as sentences.

The API server has checked most of it already; objects that were stored under an older CRD, and what only
the operator knows, are checked here again at every look.
"""

from autolfads_operator import pools
from autolfads_operator.observed import Observed
from autolfads_operator.terms import Terms
from autolfads_spec.run import AutoLFADSRun, cluster_problems


def problems(observed: Observed, terms: Terms) -> tuple[str, ...]:
    """One sentence for each thing that the user must mend; empty when the run can be carried out."""
    run = observed.custom_resource.run
    if run is None:
        return observed.custom_resource.problems or ("spec: wanted a valid run, found none; correct it",)
    return cluster_problems(run) + _pool_problems(run, terms) + _not_yet(run)


def _pool_problems(run: AutoLFADSRun, terms: Terms) -> tuple[str, ...]:
    """What keeps the operator from making the run's nodes."""
    pool = run.spec.compute.node_pool
    if pool is None or not pools.is_managed(run):
        return ()
    found = []
    if not terms.cluster:
        found.append(
            f"spec.compute.nodePool.mode: wanted Existing or Auto, since this operator makes no node pools, "
            f"found {pool.mode}; make the pool yourself and name it, or have the operator installed with "
            "nodePools (AUTOLFADS_CLUSTER)"
        )
    if run.spec.compute.queue_name is not None:
        found.append(
            f"spec.compute.queueName: wanted none with nodePool.mode {pool.mode}, found "
            f"'{run.spec.compute.queue_name}'; Kueue counts nodes that are there: use mode Existing or Auto, "
            "or remove queueName"
        )
    return tuple(found)


def _not_yet(run: AutoLFADSRun) -> tuple[str, ...]:
    """What the spec has a place for and this version does not do."""
    if run.spec.resume.from_run is None:
        return ()
    return (
        f"spec.resume.from: wanted no other run to start from, found {run.spec.resume.from_run}; this comes "
        "in a later version: remove it",
    )
