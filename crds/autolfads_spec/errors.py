"""Errors of the contract, and the root of every error this project raises on purpose.

    AutoLFADSError            a sentence for the user; the command line prints it and exits with `exit_code`
    ├── SpecError             run.yaml asks for something that does not exist or cannot be
    └── StoreError            the output folder cannot be read or written
        ├── MissingError      a file is not there
        ├── ConflictError     a file is not what the writer expects to replace
        ├── DeniedError       somebody must do something first: give a role or credentials
        │   └── BucketMissingError    make the bucket, or correct its name
        └── UnavailableError  it does not answer; the same may succeed later

A message has three parts: what was wanted, what was found, what to do.
"""


class AutoLFADSError(Exception):
    """Something the user can understand and act on; never shown with a traceback."""

    exit_code = 1


class SpecError(AutoLFADSError):
    """The run's YAML is not valid; one sentence a problem, each naming the field, what it holds and the cure.

    Attributes:
      sentences: every problem of the document, in the order of the document's blocks.
    """

    exit_code = 2

    def __init__(self, *sentences: str) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences


class StoreError(AutoLFADSError):
    """The output folder, or the bucket, cannot be read or written."""

    exit_code = 5


class MissingError(StoreError):
    """There is no file of this name."""


class ConflictError(StoreError):
    """Another writer was there first; nothing was written."""


class DeniedError(StoreError):
    """The store refuses, and will until somebody gives a role, credentials, or makes the bucket."""

    exit_code = 7


class BucketMissingError(DeniedError):
    """There is no bucket of this name."""


class UnavailableError(StoreError):
    """The store did not answer for as long as was waited; the same may succeed later."""
