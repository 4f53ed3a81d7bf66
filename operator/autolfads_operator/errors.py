"""Errors of the operator's edges; the core raises none, since whatever it sees is a state with a condition.

    AutoLFADSError
    └── OperatorError            carries a Reason and how long to wait at least before the next try
        ├── OutdatedError        the world changed since it was observed: observe again at once
        ├── UnavailableError     Kubernetes does not answer, or asks to come back later
        └── RefusedError         Kubernetes refuses: rights, quota or a webhook; trying again rarely helps

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
