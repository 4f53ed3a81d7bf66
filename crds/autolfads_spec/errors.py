"""Errors of the contract, and the root of every error this project raises on purpose.

    AutoLFADSError        a sentence for the user; the command line prints it and exits with `exit_code`
    └── SpecError         run.yaml asks for something that does not exist or cannot be

A message has three parts: what was wanted, what was found, what to do.
"""


class AutoLFADSError(Exception):
    """Something the user can understand and act on; never shown with a traceback."""

    exit_code = 1


class SpecError(AutoLFADSError):
    """The run's YAML is not valid; names the field, what it holds and what is allowed."""

    exit_code = 2
