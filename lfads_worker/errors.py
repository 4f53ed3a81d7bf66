"""Errors of the worker.

    AutoLFADSError (autolfads_spec.errors)
    ├── DataError         the recording cannot be used as it is
    │   └── RecordingDeniedError    a role is missing to read it
    ├── DivergedError     no member of the population is left with finite weights
    ├── OutputError       the output folder cannot be used
    │   ├── OutputTakenError        it holds something else, or somebody else is at work there
    │   ├── RecordingChangedError   the run in it began with another recording
    │   └── FencedError             another driver has taken the run over
    ├── DeviceError       the machine cannot train what was asked for
    │   └── MemoryFullError         its memory is too small
    └── PausedError       no fault: the operator wants the run to stop for now

Divergence of one member is a value (its score is NaN), not an exception.
"""

from autolfads_spec.errors import AutoLFADSError, DeniedError


class DataError(AutoLFADSError):
    """The recording is unusable; says which array, what was found and what to do."""

    exit_code = 3


class RecordingDeniedError(DataError):
    """The recording may not be read: nothing is known of it until somebody gives a role or credentials."""

    exit_code = DeniedError.exit_code


class DivergedError(AutoLFADSError):
    """Every member diverged; says at which generation and which settings to change."""

    exit_code = 4


class OutputError(AutoLFADSError):
    """The output folder holds something else, or cannot be written."""

    exit_code = 5


class OutputTakenError(OutputError):
    """The output folder belongs to something else: another run, another process, or files of the user."""


class RecordingChangedError(OutputError):
    """The run in the output folder began with another recording than the one that is there now."""


class FencedError(OutputError):
    """The run belongs to another driver now; this one must not write any more."""


class DeviceError(AutoLFADSError):
    """The device is missing or too small; names the field to change."""

    exit_code = 6


class MemoryFullError(DeviceError):
    """The memory of the device does not hold what was asked for."""


class PausedError(AutoLFADSError):
    """The operator wants the run to stop where it is; what is committed is kept."""

    exit_code = 0


def is_denied_output(error: BaseException) -> bool:
    """Whether a role or credentials are missing to use the output folder, also where a commit says so."""
    return isinstance(error, DeniedError) or (
        isinstance(error, OutputError) and isinstance(error.__cause__, DeniedError)
    )
