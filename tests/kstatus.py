"""What tools that know kstatus (flux, kpt, Argo and others) make of an object of a kind they do not know.

Written down from its documentation: a deletion comes first, then a spec that nobody has looked at yet, then
the two conditions, which are only there, or only true, when something is otherwise than wanted.
"""


def kstatus(thing) -> str:
    """Terminating, InProgress, Failed or Current."""
    metadata, status = thing["metadata"], thing.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    seen = status.get("observedGeneration")
    if seen is not None and seen != metadata["generation"]:
        return "InProgress"
    for condition in status.get("conditions") or ():
        if condition["type"] == "Reconciling" and condition["status"] == "True":
            return "InProgress"
        if condition["type"] == "Stalled" and condition["status"] == "True":
            return "Failed"
    return "Current"
