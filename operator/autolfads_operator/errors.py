"""Errors of the operator's edges; the core raises none, since whatever it sees is a state with a condition.

    AutoLFADSError
    └── OperatorError            carries a Reason and how long to wait at least before the next try
        ├── OutdatedError        the world changed since it was observed: observe again at once
        ├── UnavailableError     Kubernetes does not answer, or asks to come back later
        ├── RefusedError         Kubernetes refuses: rights, quota or a webhook; trying again rarely helps
        └── CloudError           Google Cloud did not do what was wanted
            ├── CloudUnavailableError    no answer, or an unclear one; the next look finds out what is so
            ├── CloudDeniedError         rights are missing, or the cluster that is set does not exist
            ├── BusyError                the cluster does one thing at a time and is at another
            ├── NotOwnedError            a node pool with our name that is not ours; it is never touched
            └── PoolRefusedError         GKE does not make such a pool: a machine, zone or quota it has not

None of them stops a run for ever: the daemon of a run waits and tries again, longer each time.
"""

from autolfads_spec.errors import AutoLFADSError
from autolfads_spec.status import Reason


class OperatorError(AutoLFADSError):
    """Something kept the operator from doing what it decided; base of the rest."""

    reason = Reason.UNKNOWN
    wait_seconds = 0.0


class OutdatedError(OperatorError):
    """What was observed is not so any more; the rest of the plan is void."""

    reason = Reason.AS_EXPECTED


class UnavailableError(OperatorError):
    """Kubernetes cannot be reached, or is overloaded."""

    wait_seconds = 2.0


class RefusedError(OperatorError):
    """Kubernetes understood and said no."""

    wait_seconds = 30.0


class CloudError(OperatorError):
    """Google Cloud did not do what was wanted; base of the rest."""

    wait_seconds = 15.0


class CloudUnavailableError(CloudError):
    """Google Cloud does not answer, or asks to come back later; what it did meanwhile is not known."""


class CloudDeniedError(CloudError):
    """Our service account may not do this, or what the setting names does not exist."""

    reason = Reason.NODE_POOL_FAILED
    wait_seconds = 60.0


class BusyError(CloudError):
    """The cluster is changed by another operation; no fault of the run, so it costs no attempt."""

    reason = Reason.PROVISIONING

    def __init__(self, message: str, wait_seconds: float) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class NotOwnedError(CloudError):
    """There is a node pool with our name that this installation has not made, or not like this."""

    reason = Reason.NODE_POOL_NOT_OWNED
    wait_seconds = 60.0


class PoolRefusedError(CloudError):
    """GKE understood what pool is wanted and does not make it; another spec or another quota helps."""

    reason = Reason.NODE_POOL_FAILED
    wait_seconds = 60.0
