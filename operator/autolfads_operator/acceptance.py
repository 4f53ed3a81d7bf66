"""Whether a run can be carried out at all: everything that is wrong with its spec, as sentences.

The API server has checked most of it already; objects that were stored under an older CRD, and what only
the operator knows, are checked here again at every look.
"""

from autolfads_operator.observed import Observed
from autolfads_spec.run import AutoLFADSRun, cluster_problems

LATER = "this comes in a later version"


def problems(observed: Observed) -> tuple[str, ...]:
    """One sentence for each thing that the user must mend; empty when the run can be carried out."""
    run = observed.custom_resource.run
    if run is None:
        return observed.custom_resource.problems or ("spec: wanted a valid run, found none; correct it",)
    return cluster_problems(run) + _not_yet(run)


def _not_yet(run: AutoLFADSRun) -> tuple[str, ...]:
    """What the spec has a place for and this version does not do."""
    found = []
    pool = run.spec.compute.node_pool
    if pool is not None and pool.mode != "Existing":
        found.append(
            f"spec.compute.nodePool.mode: wanted Existing, found {pool.mode}; {LATER}: make the node pool "
            "yourself and name it, or remove nodePool to use any node with the accelerator"
        )
    if run.spec.resume.from_run is not None:
        found.append(
            f"spec.resume.from: wanted no other run to start from, found {run.spec.resume.from_run}; "
            f"{LATER}: remove it"
        )
    return tuple(found)
