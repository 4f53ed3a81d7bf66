"""An attempt at a run: may this driver begin, is it still wanted, and why did it end.

In a cluster the operator counts attempts and speaks through the output folder: `lease.json` says
which attempt the run belongs to, `wish.json` what the operator wants, and `attempts/NN/end.json`
is the driver's last word (`autolfads_spec.attempt`). On one machine nobody counts, and `Attempt`
does nothing. Knows nothing of training.
"""

import contextlib
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from autolfads_spec import document
from autolfads_spec.attempt import BUDGET_STOP, AttemptEnd, EndClass, Wish
from autolfads_spec.errors import MissingError, SpecError, StoreError
from autolfads_spec.manifest import Lease, Manifest
from autolfads_spec.output import RunPaths
from autolfads_spec.store import Store, open_store
from lfads_worker.errors import (
    DataError,
    DeviceError,
    DivergedError,
    FencedError,
    MemoryFullError,
    OutputError,
    OutputTakenError,
    PausedError,
    RecordingChangedError,
    RecordingDeniedError,
    is_denied_output,
)

logger = logging.getLogger(__name__)

NAMES = RunPaths("")
_PAUSE = "a pause is wanted at the end of this generation"

# The first that an error is one of; whatever is not here is a fault of the program.
_ENDS: Mapping[type[BaseException], EndClass] = {
    PausedError: EndClass.PAUSED,
    SpecError: EndClass.BAD_CONFIG,
    RecordingDeniedError: EndClass.INPUT_DENIED,
    DataError: EndClass.BAD_INPUT,
    DivergedError: EndClass.DIVERGED,
    RecordingChangedError: EndClass.DATA_CHANGED,
    OutputTakenError: EndClass.OUTPUT_TAKEN,
    OutputError: EndClass.STORE_UNAVAILABLE,
    StoreError: EndClass.STORE_UNAVAILABLE,
    MemoryFullError: EndClass.OUT_OF_MEMORY,
    MemoryError: EndClass.OUT_OF_MEMORY,
    DeviceError: EndClass.DEVICE_NOT_READY,
    KeyboardInterrupt: EndClass.INTERRUPTED,
    SystemExit: EndClass.INTERRUPTED,  # Ray turns SIGTERM into it
}


def address_in(spec_file: Path) -> str | None:
    """Where a run's output goes, as far as that can be read in a YAML that may be wrong otherwise."""
    try:
        address = document.read(spec_file).content["spec"]["output"]["uri"]
    except (SpecError, LookupError, TypeError):
        return None
    return address if isinstance(address, str) else None


def attempt_at(address: str | None, number: int) -> "Attempt":
    """The attempt of this number at the run in an output folder; one without words where there is none."""
    try:
        return CountedAttempt(open_store(address), number) if address else Attempt()
    except StoreError:
        return Attempt()


def end_class(error: BaseException) -> EndClass:
    """Why a driver ended, in one word."""
    if is_denied_output(error):
        return EndClass.DENIED
    return next((end for kind, end in _ENDS.items() if isinstance(error, kind)), EndClass.INTERNAL)


class Attempt:
    """The driver of a run on one machine: nobody counts, and nobody wants anything of it.

    Attributes:
      number: counted by the operator; None where nobody counts.
    """

    number: int | None = None

    def begin(self) -> None:
        """Checks that the run does not belong to a later attempt; writes nothing.

        Raises:
          FencedError: if it does.
        """

    def look(self) -> None:
        """Asks what is wanted; called at every heartbeat."""

    def require_wanted(self) -> None:
        """Ends the run where nothing is being trained.

        Raises:
          PausedError: if the operator wants a pause, as far as was last asked; not if it wants results.
        """

    def asked_to_finish(self) -> str | None:
        """Asks once more, at the end of a generation: why it is to be the last one; None when it is not."""
        return None

    def end(self, end: EndClass, message: str, epoch: int | None) -> None:
        """Leaves the last word, unless another driver has it by now.

        Args:
          end: why, in one word.
          message: why, in a sentence.
          epoch: which start of a driver this was; None if it ended before it took the run over.
        """


class CountedAttempt(Attempt):
    """The driver of an attempt that the operator has counted."""

    number: int

    def __init__(self, store: Store, number: int) -> None:
        self.number = number
        self._store = store
        self._pause: Wish | None = None

    def begin(self) -> None:
        lease = self._lease()
        if lease.attempt > self.number:
            raise FencedError(
                f"--attempt: wanted {self.number} to be the latest attempt at the run in "
                f"{self._store.address}, found that it belongs to attempt {lease.attempt}; this driver has "
                "written nothing: leave the run to the later one"
            )

    def look(self) -> None:
        try:
            wish = Wish.model_validate_json(self._store.read(NAMES.wish).content)
        except MissingError:
            wish = None
        except (StoreError, ValidationError) as error:  # what was wanted before is still the last word
            logger.warning("the operator's wish cannot be read: %s", error)
            return
        wanted = wish if wish is not None and wish.attempt == self.number and wish.pause else None
        if wanted is not None and self._pause is None:
            what = "this generation is to be the last one" if wanted.finish else _PAUSE
            logger.info("%s%s", what, f": {wanted.why}" if wanted.why else "")
        self._pause = wanted

    def asked_to_finish(self) -> str | None:
        self.look()
        return BUDGET_STOP if self._pause is not None and self._pause.finish else None

    def require_wanted(self) -> None:
        if self._pause is not None and not self._pause.finish:
            why = f" ({self._pause.why})" if self._pause.why else ""
            raise PausedError(
                f"paused{why}: what is committed is kept, and the next attempt goes on from there"
            )

    def end(self, end: EndClass, message: str, epoch: int | None) -> None:
        lease = self._lease()
        if lease.attempt > self.number or (epoch is not None and lease.driver_epoch > epoch):
            return
        word = AttemptEnd(
            attempt=self.number,
            driver_epoch=lease.driver_epoch if epoch is None else epoch,
            end_class=end,
            message=message,
            generation=self._committed(),
            ended_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self._store.write(NAMES.attempt_end(self.number), word.to_bytes())

    def _committed(self) -> int | None:
        with contextlib.suppress(MissingError, ValidationError):
            return Manifest.model_validate_json(self._store.read(NAMES.manifest).content).generation
        return None

    def _lease(self) -> Lease:
        # A damaged lease says nothing; taking the run over mends it.
        with contextlib.suppress(MissingError, ValidationError):
            return Lease.model_validate_json(self._store.read(NAMES.lease).content)
        return Lease()
