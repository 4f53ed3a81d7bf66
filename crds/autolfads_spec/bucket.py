"""A run's files in Cloud Storage; the only module that knows Google's client.

An object's version is its generation number, and a write that expects a version carries it as
a precondition, so the server decides who was first. Every write leaves a number of its own in
the object's metadata: when an answer is lost and the repeated request is refused, that number
tells whether the object is our own or another writer's, even if both wrote the same bytes.
Google's client compares checksums both ways, and repeats whatever passes by itself.

Objects up to 8 MiB go up in one request. Larger ones go in parts, which change nothing until
the last has arrived, and carry their precondition too.
"""

import functools
import logging
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from google.api_core import exceptions
from google.api_core.retry import Retry
from google.auth import exceptions as auth
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
from requests import exceptions as connections

from autolfads_spec.errors import (
    BucketMissingError,
    ConflictError,
    DeniedError,
    MissingError,
    StoreError,
    UnavailableError,
)
from autolfads_spec.store import BUCKET_SCHEME, Expected, Stored

logger = logging.getLogger(__name__)

# A bucket that never answered is waited for no longer than this: its name or the network may be wrong;
# and one that was given up no longer than this, until it answers again.
FIRST_PATIENCE_SECONDS, LAST_PATIENCE_SECONDS = 60.0, 5.0
# To connect, and between two pieces of an answer.
TIMEOUT_SECONDS = (10.0, 60.0)
# Google asks for growing pauses; an object takes about one write a second.
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
PASSING_CODES = frozenset({408, 429, 500, 502, 503, 504})
# What a write may be told that was done already: its upload is over, its precondition holds no more.
SPENT_CODES = frozenset({404, 410, 412})
# In an object's metadata: which write made it.
WRITE = "autolfads-write"
# What an account needs, by what the bucket is for.
ROLES = {"data.uri": "roles/storage.objectViewer"}
ROLE = "roles/storage.objectUser"

LOST = (
    ConnectionError,
    TimeoutError,
    connections.ConnectionError,
    connections.Timeout,
    connections.ChunkedEncodingError,
    connections.ContentDecodingError,
)
FAILURES = (*LOST, exceptions.GoogleAPIError, InvalidResponse, DataCorruption, auth.GoogleAuthError)


class BucketStore:
    """The files below gs://bucket/path; opened without asking anybody."""

    def __init__(self, address: str, patience_seconds: float, field: str = "output") -> None:
        self.address = address.rstrip("/")
        self._bucket, _, path = self.address.removeprefix(BUCKET_SCHEME).partition("/")
        self._root = f"{path}/" if path else ""
        self._patience_seconds = patience_seconds
        self._field = field
        self._has_answered = False
        self._wait_seconds = min(patience_seconds, FIRST_PATIENCE_SECONDS)

    def read(self, name: str) -> Stored:
        with self._told("read", name):
            blob = self._blob(name)
            content = _once_more(lambda: blob.download_as_bytes(**self._how()))
            return Stored(content, str(blob.generation))

    def read_file(self, name: str, path: Path) -> None:
        self._version(name, "read")  # first: who has answered is waited for when much is on its way
        try:
            with self._told("read", name):
                _once_more(lambda: self._blob(name).download_to_filename(str(path), **self._how()))
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def write(self, name: str, content: bytes, expected: str | Expected = Expected.ANYTHING) -> str:
        return self._upload(name, expected, lambda blob, how: blob.upload_from_string(content, **how))

    def write_file(self, name: str, path: Path) -> None:
        self._upload(name, Expected.ANYTHING, lambda blob, how: blob.upload_from_filename(str(path), **how))

    def version(self, name: str) -> str | None:
        return self._version(name, "look at")

    def names(self, prefix: str = "") -> list[str]:
        with self._told("list", prefix):
            found = [blob.name.removeprefix(self._root) for blob in self._list(prefix)]
        # The console makes an object named path/ for an empty folder.
        return sorted(
            name for name in found if name and name[-1] != "/" and not name.rpartition("/")[2].startswith(".")
        )

    def entries(self) -> list[str]:
        with self._told("list", ""):
            listed = self._list(delimiter="/")
            found = [blob.name for blob in listed] + [folder.rstrip("/") for folder in listed.prefixes]
        return sorted(name.removeprefix(self._root) for name in found if name != self._root)

    def delete(self, name: str) -> None:
        with suppress(MissingError), self._told("remove", name):
            self._blob(name).delete(**self._how())

    def _version(self, name: str, verb: str) -> str | None:
        with suppress(MissingError), self._told(verb, name):
            blob = self._blob(name)
            blob.reload(**self._how())
            return str(blob.generation)
        return None

    def _upload(self, name: str, expected: str | Expected, upload: Callable[[Any, Any], None]) -> str:
        write = secrets.token_hex(8)
        with self._told("write", name):
            blob = self._blob(name)
            blob.metadata = {WRITE: write}
            how = {"content_type": "application/octet-stream", "if_generation_match": _generation(expected)}
            try:
                upload(blob, how | self._how())
            except exceptions.ClientError as error:
                if error.code not in SPENT_CODES:
                    raise
                return self._own(name, write, expected, error)
            return str(blob.generation)

    def _own(self, name: str, write: str, expected: str | Expected, error: Exception) -> str:
        """The version that a refused write made when it was made before; its answer was lost then.

        Raises:
          ConflictError: if what is there is another's.
        """
        blob, found = self._blob(name), "nothing"
        with suppress(exceptions.NotFound):
            blob.reload(**self._how())
            if (blob.metadata or {}).get(WRITE) == write:
                return str(blob.generation)
            found = f"version {blob.generation}"
        if not isinstance(error, exceptions.PreconditionFailed):
            raise error
        wanted = expected.value if isinstance(expected, Expected) else f"version {expected}"
        raise ConflictError(
            f"{self._field}: wanted to write {self._shown(name)} in place of {wanted}, found {found}; "
            "another process writes there"
        ) from error

    def _list(self, prefix: str = "", **options: Any) -> Any:
        fields = "items(name),prefixes,nextPageToken"
        options |= {"prefix": self._root + prefix, "fields": fields} | self._how()
        return _client(_emulator()).list_blobs(self._bucket, **options)

    def _blob(self, name: str) -> Any:
        return _client(_emulator()).bucket(self._bucket).blob(self._root + name)

    def _how(self) -> dict[str, Any]:
        """How long to wait for an answer, and what to do without one."""
        retry = Retry(
            predicate=_Passing(self.address, self._wait_seconds),
            initial=PAUSE_SECONDS,
            maximum=LONGEST_PAUSE_SECONDS,
            timeout=self._wait_seconds,
        )
        return {"timeout": TIMEOUT_SECONDS, "retry": retry}

    @contextmanager
    def _told(self, verb: str, name: str) -> Iterator[None]:
        """Turns whatever Google's client raises inside into a sentence."""
        try:
            yield
        except FAILURES as error:
            raise self._sentence(verb, name, error) from error
        self._answered()

    def _answered(self) -> None:
        self._has_answered, self._wait_seconds = True, self._patience_seconds

    def _sentence(self, verb: str, name: str, error: Exception) -> StoreError:
        wanted = f"{self._field}: wanted to {verb} {self._shown(name)}"
        if isinstance(error, exceptions.NotFound):
            if (verb == "write" or not self._has_answered) and not self._has_bucket():
                return BucketMissingError(
                    f"{wanted}, found no bucket of the name {self._bucket}; correct the name, or make the "
                    "bucket"
                )
            if verb != "write":
                return MissingError(f"{self._field}: wanted {self._shown(name)}, found no such file")
        if isinstance(error, exceptions.Forbidden):
            return DeniedError(f"{wanted}, {self._forbidden(str(error))}")
        if isinstance(error, exceptions.Unauthorized | auth.GoogleAuthError) and not _passes(error):
            return DeniedError(
                f"{wanted}, found no valid credentials ({_reason(error)}); run `gcloud auth "
                f"application-default login`, or give the pods a service account with {self._role}"
            )
        self._wait_seconds = min(self._patience_seconds, LAST_PATIENCE_SECONDS)
        cause = error.cause if isinstance(error, exceptions.RetryError) and error.cause else error
        return UnavailableError(
            f"{wanted}, found no answer that helps ({_reason(cause)}); check the network, then try again"
        )

    def _forbidden(self, said: str) -> str:
        who = re.search(r"([\w.+-]+@[\w.-]+|Anonymous caller) does not have", said)
        missing = re.search(r"storage\.\w+\.\w+ access|storage\.\w+\.\w+", said)
        lacks = missing[0].removesuffix(" access") if missing else said.split("\n")[0]
        return (
            f"found that {who[1] if who else 'this account'} may not ({lacks}); give it the role {self._role}"
        )

    @property
    def _role(self) -> str:
        return f"{ROLES.get(self._field, ROLE)} on {BUCKET_SCHEME}{self._bucket}"

    def _has_bucket(self) -> bool:
        """Whether the bucket is there; seen by listing, since few may look at the bucket itself."""
        try:
            next(iter(self._list(max_results=1)), None)
        except exceptions.NotFound:
            return False
        except FAILURES:  # may not be listed, for example: then it is there
            return True
        self._answered()
        return True

    def _shown(self, name: str) -> str:
        return f"{self.address}/{name}" if name else self.address


class _Passing:
    """Whether an error of one request passes by itself; the first is told."""

    def __init__(self, address: str, patience_seconds: float) -> None:
        self._address, self._patience_seconds = address, patience_seconds
        self._is_told = False

    def __call__(self, error: Exception) -> bool:
        passes = _passes(error)
        if passes and not self._is_told:
            self._is_told = True
            logger.warning(
                "%s does not answer as it should (%s); trying again for %.0f s",
                self._address,
                _reason(error),
                self._patience_seconds,
            )
        return passes


def _passes(error: Exception) -> bool:
    if isinstance(error, auth.TransportError):  # the machine's own source of credentials is out of reach
        return True
    return (
        _code(error) in PASSING_CODES or isinstance(error, LOST) or bool(getattr(error, "retryable", False))
    )


def _once_more(download: Callable[[], Any]) -> Any:
    """A download, again from the start where the client does not go on by itself.

    That is when what arrived has another checksum, when the object was replaced before all of it had
    arrived, and when the connection broke within a refusal.
    """
    try:
        return download()
    except (DataCorruption, *LOST):
        return download()
    except exceptions.NotFound as error:
        if "generation=" not in str(error):  # with it, the client was going on with what it had begun
            raise
        return download()


def _code(error: BaseException) -> int | None:
    if isinstance(error, InvalidResponse):
        return int(error.response.status_code)
    return error.code if isinstance(error, exceptions.GoogleAPICallError) else None


def _reason(error: BaseException) -> str:
    code, text = _code(error), str(error).strip().split("\n")[0]
    if isinstance(error, TimeoutError | connections.Timeout):
        return "nothing came in time"
    if isinstance(error, LOST):
        return "the connection broke" if "refused" not in text else "the connection was refused"
    return f"HTTP {code}" if code else text[:200] or type(error).__name__


def _generation(expected: str | Expected) -> int | None:
    if expected is Expected.ANYTHING:
        return None
    return 0 if expected is Expected.NOTHING else int(expected)


def _emulator() -> str | None:
    """Where Google's client goes instead of Cloud Storage."""
    return os.environ.get("STORAGE_EMULATOR_HOST")


@functools.cache
def _client(emulator: str | None) -> Any:
    """One client a process, whose connections all stores and threads share; objects need no project."""
    del emulator  # the client looks itself; for another one there is another client
    # Else a thread asks for the bucket itself, which few accounts may do.
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    return storage.Client(project=None)
