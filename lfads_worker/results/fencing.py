"""A driver's hold on a run: the manifest, replaced only in place of the version that this driver knows.

Every start of a driver replaces the manifest first, see `takeover`. So a driver that was superseded finds
out with its next write, stops, and has changed nothing. What a generation consists of is unknown here.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from autolfads_spec.errors import ConflictError, StoreError
from autolfads_spec.manifest import Manifest
from autolfads_spec.store import Store
from lfads_worker.errors import FencedError
from lfads_worker.results import resume
from lfads_worker.results.resume import NAMES

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 30.0


class Hold:
    """The manifest of a run, for as long as no other driver has taken the run over.

    Attributes:
      manifest: as this driver wrote it last.
    """

    def __init__(self, store: Store, manifest: Manifest, version: str) -> None:
        self.manifest = manifest
        self._store = store
        self._version = version
        self._lock = threading.Lock()  # the heartbeat is a thread of its own
        self._fenced: FencedError | None = None

    @property
    def fenced(self) -> FencedError | None:
        """What this driver is told once it is known that another one has taken the run over."""
        return self._fenced

    def renew(self, **changes: object) -> None:
        """Writes the manifest with some fields changed, and the time as its heartbeat.

        Raises:
          FencedError: if another driver has taken the run over.
          StoreError: if the store is full or refuses.
        """
        with self._lock:
            if self._fenced is not None:
                raise self._fenced
            try:
                self._write(changes)
            except ConflictError:
                self._take_up_own_write()
                self._write(changes)

    def _write(self, changes: Mapping[str, object]) -> None:
        manifest = self.manifest.model_copy(update={**changes, "heartbeat": now()})
        version = self._store.write(NAMES.manifest, manifest.to_bytes(), self._version)
        # In this order: an interrupt in between leaves a version that is known to be old.
        self.manifest = manifest
        self._version = version

    def _take_up_own_write(self) -> None:
        """Go on from what is there, if it is this driver's: its answer was lost, or an interrupt came first.

        What it committed with that write stays committed, whoever writes next.
        """
        found, version = resume.read_manifest(self._store)
        if found is None or found.driver_epoch != self.manifest.driver_epoch:
            self._fenced = taken(self._store, found)
            raise self._fenced from None
        assert isinstance(version, str)  # there is a manifest
        self.manifest, self._version = found, version

    @contextlib.contextmanager
    def alive(
        self,
        interrupt: Callable[[], None],
        seconds: float = HEARTBEAT_SECONDS,
        at_heartbeat: Callable[[], None] = lambda: None,
        telling: Callable[[], Mapping[str, object]] = dict,
    ) -> Iterator[None]:
        """Renews the heartbeat now and then for as long as the context lasts.

        Args:
          interrupt: called from another thread when another driver has taken the run over; raises
            KeyboardInterrupt in this one, which leaves the context as a FencedError.
          seconds: between two heartbeats.
          at_heartbeat: called after each, in that other thread.
          telling: what else of the manifest changes with each, in that other thread.
        """
        ended = threading.Event()
        thread = threading.Thread(
            target=self._beat,
            args=(ended, seconds, interrupt, at_heartbeat, telling),
            name="heartbeat",
            daemon=True,
        )
        thread.start()
        try:
            yield
        except KeyboardInterrupt:
            if self._fenced is not None:
                raise self._fenced from None
            raise
        finally:
            ended.set()
            thread.join()

    def _beat(
        self,
        ended: threading.Event,
        seconds: float,
        interrupt: Callable[[], None],
        at_heartbeat: Callable[[], None],
        telling: Callable[[], Mapping[str, object]],
    ) -> None:
        while not ended.wait(seconds):
            try:
                self.renew(**telling())
            except FencedError:
                interrupt()
                return
            except StoreError as error:  # the next commit will fail, or succeed
                logger.warning("no heartbeat: %s", error)
            at_heartbeat()


def taken(store: Store, manifest: Manifest | None) -> FencedError:
    """What a driver is told that is superseded; `manifest` is the other one's, if it is known."""
    who = f" ({manifest.driver}, since {manifest.heartbeat})" if manifest else ""
    return FencedError(
        f"output.uri: wanted to be the only driver of the run in {store.address}, found that another one has "
        f"taken it over{who}; this one has stopped and left everything to the other"
    )


def now() -> str:
    """The time as the manifest has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
