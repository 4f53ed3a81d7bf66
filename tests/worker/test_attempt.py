import pytest

from autolfads_spec.attempt import BUDGET_STOP, AttemptEnd, EndClass, Wish
from autolfads_spec.errors import DeniedError, SpecError, StoreError, UnavailableError
from autolfads_spec.manifest import Lease, Manifest
from autolfads_spec.store import FolderStore
from lfads_worker import errors
from lfads_worker.attempt import Attempt, CountedAttempt, end_class
from lfads_worker.errors import FencedError, PausedError


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path / "out")


def lease(store, attempt, epoch=0):
    store.write("lease.json", Lease(attempt=attempt, driver_epoch=epoch).to_bytes())


def wish(store, **wanted):
    store.write("wish.json", Wish(**wanted).to_bytes())


def end_of(store, attempt):
    return AttemptEnd.model_validate_json(store.read(f"attempts/{attempt:02d}/end.json").content)


@pytest.mark.parametrize("found", [None, 1, 2])
def test_a_driver_begins_when_no_later_attempt_has_the_run_and_writes_nothing(store, found):
    if found is not None:
        lease(store, found)
    before = store.names()

    CountedAttempt(store, 2).begin()

    assert store.names() == before


def test_a_driver_of_an_earlier_attempt_stops_before_it_writes_anything(store):
    lease(store, 3)
    before = store.names()

    with pytest.raises(FencedError, match=r"wanted 2 to be the latest .* belongs to attempt 3;"):
        CountedAttempt(store, 2).begin()
    assert store.names() == before


def test_a_pause_is_wanted_once_it_was_looked_for(store):
    attempt = CountedAttempt(store, 2)
    attempt.look()
    attempt.require_wanted()
    wish(store, attempt=2, pause=True, why="spec.suspend is true")
    attempt.require_wanted()

    attempt.look()

    with pytest.raises(PausedError, match=r"paused \(spec.suspend is true\): what is committed is kept"):
        attempt.require_wanted()


@pytest.mark.parametrize("other", [{"attempt": 1, "pause": True}, {"attempt": 2, "pause": False}])
def test_other_wishes_pause_nothing(store, other):
    wish(store, **other)
    attempt = CountedAttempt(store, 2)

    attempt.look()

    attempt.require_wanted()


def test_a_wish_that_was_taken_back_is_none(store):
    attempt = CountedAttempt(store, 1)
    wish(store, attempt=1, pause=True)
    attempt.look()
    store.delete("wish.json")

    attempt.look()

    attempt.require_wanted()


def test_a_wish_that_cannot_be_read_leaves_the_last_one(store, caplog):
    attempt = CountedAttempt(store, 1)
    wish(store, attempt=1, pause=True)
    attempt.look()
    store.write("wish.json", b"half")

    attempt.look()

    assert "cannot be read" in caplog.text
    with pytest.raises(PausedError):
        attempt.require_wanted()


def test_a_store_that_does_not_answer_is_no_wish(caplog):
    class Silent(FolderStore):
        def read(self, name):
            raise UnavailableError("no answer")

    attempt = CountedAttempt(Silent("nowhere"), 1)

    attempt.look()

    attempt.require_wanted()
    assert "no answer" in caplog.text


def test_the_end_says_why_and_how_far_the_run_is(store):
    lease(store, 2, epoch=4)
    manifest = Manifest(
        **{"run": "toy", "fingerprint": "ab", "cohorts": ((0,),), "generations_asked": 4, "versions": {}},
        **{"attempt": 2, "driver_epoch": 4, "driver": "here", "heartbeat": "2030", "generation": 3},
    )
    store.write("manifest.json", manifest.to_bytes())

    CountedAttempt(store, 2).end(EndClass.DIVERGED, "a sentence", 4)

    end = end_of(store, 2)
    assert (end.attempt, end.driver_epoch, end.end_class, end.message) == (2, 4, "diverged", "a sentence")
    assert end.generation == 3
    assert end.ended_at.endswith("+00:00")


def test_a_driver_that_never_took_the_run_over_has_an_end_too(store):
    lease(store, 1, epoch=7)

    CountedAttempt(store, 1).end(EndClass.BAD_INPUT, "a sentence", None)

    assert (end_of(store, 1).driver_epoch, end_of(store, 1).generation) == (7, None)


@pytest.mark.parametrize("newer", [(3, 4), (2, 5)], ids=["attempt", "driver"])
def test_a_superseded_driver_leaves_the_word_to_the_newer_one(store, newer):
    lease(store, *newer)

    CountedAttempt(store, 2).end(EndClass.INTERRUPTED, "a sentence", 4)

    assert store.names() == ["lease.json"]


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (PausedError("x"), EndClass.PAUSED),
        (SpecError("x"), EndClass.BAD_CONFIG),
        (errors.DataError("x"), EndClass.BAD_INPUT),
        (errors.RecordingDeniedError("x"), EndClass.INPUT_DENIED),
        (DeniedError("x"), EndClass.DENIED),
        (caused(errors.OutputError("x"), DeniedError("y")), EndClass.DENIED),
        (caused(errors.OutputError("x"), UnavailableError("y")), EndClass.STORE_UNAVAILABLE),
        (errors.RecordingChangedError("x"), EndClass.DATA_CHANGED),
        (errors.OutputTakenError("x"), EndClass.OUTPUT_TAKEN),
        (errors.OutputError("x"), EndClass.STORE_UNAVAILABLE),
        (StoreError("x"), EndClass.STORE_UNAVAILABLE),
        (errors.DivergedError("x"), EndClass.DIVERGED),
        (errors.MemoryFullError("x"), EndClass.OUT_OF_MEMORY),
        (MemoryError(), EndClass.OUT_OF_MEMORY),
        (errors.DeviceError("x"), EndClass.DEVICE_NOT_READY),
        (KeyboardInterrupt(), EndClass.INTERRUPTED),
        (SystemExit(15), EndClass.INTERRUPTED),
        (ZeroDivisionError(), EndClass.INTERNAL),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_error_has_its_class(error, end):
    assert end_class(error) is end


def test_on_one_machine_nobody_counts_and_nobody_wants_anything():
    alone = Attempt()

    alone.begin()
    alone.look()
    alone.require_wanted()
    alone.end(EndClass.OK, "done", None)
    assert alone.number is None


def test_a_wish_to_finish_is_heard_at_the_end_of_a_generation_and_pauses_nothing(store):
    attempt = CountedAttempt(store, 2)
    assert attempt.asked_to_finish() is None
    wish(store, attempt=2, pause=True, finish=True, why="too dear")

    assert attempt.asked_to_finish() == BUDGET_STOP
    attempt.require_wanted()
    wish(store, attempt=2, pause=True)
    assert attempt.asked_to_finish() is None
    with pytest.raises(PausedError):
        attempt.require_wanted()


def test_a_wish_to_finish_is_for_one_attempt_only(store):
    wish(store, attempt=1, pause=True, finish=True)

    assert CountedAttempt(store, 2).asked_to_finish() is None
    assert Attempt().asked_to_finish() is None
