"""What GKE's answers mean: node pools in our own words, and its errors as ours.

Pure: takes the messages of the Cluster Manager's client and its exceptions, and asks nobody.
"""

from collections.abc import Mapping
from typing import Any

from google.api_core import exceptions
from google.rpc.code_pb2 import Code

from autolfads_operator.errors import CloudDeniedError, CloudError, CloudUnavailableError, PoolRefusedError
from autolfads_operator.manifests.node_pool import INSTALL_LABEL, RUN_LABEL, SPEC_LABEL
from autolfads_operator.observed import NodePool
from autolfads_spec.status import Reason

CHANGING = ("PROVISIONING", "RECONCILING", "STOPPING")
_BUSY_REASON = "CLUSTER_ALREADY_HAS_OPERATION"
_BUSY_WORDS = "try again once it is done"
_REFUSALS = (exceptions.ClientError, exceptions.MethodNotImplemented)


class NotThereError(CloudDeniedError):
    """What was asked for does not exist, or not for us."""


def node_pool(pool: Any, install: str, operations: Mapping[str, str]) -> NodePool:
    """A pool as it is observed; `operations` by the names of the pools they work on."""
    conditions = [(_condition_code(condition), condition.message) for condition in pool.conditions]
    if not conditions and pool.status_message:
        conditions = [("UNKNOWN", pool.status_message)]
    return NodePool(
        name=pool.name,
        status=status(pool),
        is_ours=label(pool, INSTALL_LABEL) == install,
        spec_hash=label(pool, SPEC_LABEL),
        run_uid=label(pool, RUN_LABEL) or None,
        min_nodes=pool.autoscaling.total_min_node_count or pool.autoscaling.min_node_count * _zones(pool),
        max_nodes=max_nodes(pool),
        conditions=tuple(conditions),
        operation=operations.get(pool.name),
        etag=pool.etag,
    )


def max_nodes(pool: Any) -> int:
    """Largest size in all zones together, whichever of its two ways the pool says it."""
    scaling = pool.autoscaling
    if not scaling.enabled:
        return 0
    return int(scaling.total_max_node_count or scaling.max_node_count * _zones(pool))


def _zones(pool: Any) -> int:
    return max(1, len(pool.locations))


def status(pool: Any) -> str:
    """GKE's word."""
    return str(getattr(pool.status, "name", pool.status))  # a number: newer than our client


def label(pool: Any, key: str) -> str:
    """A label of the machines; nobody but the owner of the project can write these."""
    return str(pool.config.resource_labels.get(key, ""))


def _condition_code(condition: Any) -> str:
    """GKE is moving from codes of its own to canonical ones; the more telling of the two."""
    name = str(getattr(condition.code, "name", condition.code))
    if name == "UNKNOWN" and condition.canonical_code:
        return str(Code.Name(condition.canonical_code))
    return name


def is_busy(error: exceptions.GoogleAPIError) -> bool:
    """Another operation, or too many of them, or too many questions: all of it passes."""
    if isinstance(error, exceptions.FailedPrecondition):
        return getattr(error, "reason", None) == _BUSY_REASON or _BUSY_WORDS in words(error)
    return isinstance(error, exceptions.ResourceExhausted)


def read_trouble(error: exceptions.GoogleAPIError, cluster: str) -> CloudError:
    """Why a question has no answer."""
    if isinstance(error, exceptions.NotFound):
        return NotThereError(
            f"wanted to read {cluster}, found {words(error)}; see whether AUTOLFADS_CLUSTER is its name"
        )
    if isinstance(error, exceptions.Forbidden | exceptions.Unauthorized):
        return CloudDeniedError(
            f"wanted to read the node pools of {cluster}, found {words(error)}; grant the operator's service "
            "account container.clusters.get, container.operations.get and container.operations.list, for "
            "example with roles/container.clusterViewer"
        )
    return CloudUnavailableError(
        f"wanted to read the node pools of {cluster}, found {words(error)}; it is asked again"
    )


def write_trouble(error: exceptions.GoogleAPIError, cluster: str, name: str) -> CloudError:
    """Why a write may not have been done; is_busy was asked before."""
    found = f"node pool {name} of {cluster}: wanted it made, changed or deleted, found {words(error)}; "
    if isinstance(error, exceptions.Forbidden) and "quota" in words(error).lower():
        refused = PoolRefusedError(found + "request more of that quota in the Google Cloud console")
        refused.reason = Reason.QUOTA_EXCEEDED
        return refused
    if isinstance(error, exceptions.Forbidden | exceptions.Unauthorized):
        return CloudDeniedError(
            found + "grant the operator's service account container.clusters.update, for example with "
            "roles/container.clusterAdmin, and roles/iam.serviceAccountUser on the nodes' service account"
        )
    if isinstance(error, exceptions.NotFound):
        return CloudDeniedError(found + "see whether AUTOLFADS_CLUSTER names this cluster")
    if isinstance(error, _REFUSALS) and not isinstance(error, exceptions.Cancelled):
        return PoolRefusedError(found + "change spec.compute of the run")
    return CloudUnavailableError(found + "it is looked up and tried again")


def code(error: exceptions.GoogleAPIError) -> str:
    """Such as UNAVAILABLE."""
    found = getattr(error, "grpc_status_code", None)
    return found.name if found is not None else type(error).__name__


def words(error: exceptions.GoogleAPIError) -> str:
    """GKE's own sentence."""
    return f"'{getattr(error, 'message', None) or error}'"
