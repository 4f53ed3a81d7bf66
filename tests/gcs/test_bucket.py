"""What Cloud Storage does on bad days, and what a Store makes of it; real client, real HTTP."""

import logging
import os
import time

import pytest

from autolfads_spec import bucket as buckets
from autolfads_spec.bucket import BucketStore
from autolfads_spec.errors import ConflictError, DeniedError, MissingError, UnavailableError
from autolfads_spec.store import Expected, open_store

pytestmark = pytest.mark.timeout(120)

LARGE = 9 * 2**20  # more than goes up in one request


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Pauses of milliseconds between two tries."""
    monkeypatch.setattr(buckets, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(buckets, "LONGEST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(buckets, "LAST_PATIENCE_SECONDS", 0.1)


@pytest.fixture
def store(proxy, bucket):
    return open_store(f"{bucket}/runs/a")


@pytest.fixture
def other(store):
    """Another writer, whose requests meet no faults."""
    return BucketStore(store.address, 60)


DEEDS = {
    "write": lambda store: store.write("a", b"new"),
    "read": lambda store: store.read("a"),
    "version": lambda store: store.version("a"),
    "list": lambda store: store.names(),
    "delete": lambda store: store.delete("a"),
}


@pytest.mark.parametrize("kind", DEEDS)
@pytest.mark.parametrize("fault", [429, 500, 503, "lost request", "lost reply", "cut"])
def test_what_passes_by_itself_is_waited_for(store, proxy, faults, caplog, kind, fault):
    store.write("a", b"old" * 1000)
    proxy.requests.clear()
    named = {"lost request": faults.lost_request, "lost reply": faults.lost_reply, "cut": faults.cut}
    faults.once(kind, *[named.get(fault) or faults.status(fault)] * 2)

    with caplog.at_level(logging.WARNING):
        found = DEEDS[kind](store)

    assert [request.kind for request in proxy.requests].count(kind) == 3
    assert caplog.text.count("does not answer as it should") == 1
    if kind == "read":
        assert found.content == b"old" * 1000


def test_a_connection_that_breaks_within_a_refusal_is_no_refusal(store, faults, tmp_path):
    faults.once("read", faults.cut)
    with pytest.raises(MissingError):
        store.read("nothing")
    faults.once("read", faults.cut)
    with pytest.raises(MissingError):
        store.read_file("nothing", tmp_path / "a")


class TestLostReplies:
    @pytest.mark.parametrize("size", [10, LARGE], ids=["small", "large"])
    @pytest.mark.parametrize("expected", ["nothing", "a version"])
    def test_a_write_that_was_done_is_recognised_as_our_own(self, store, faults, size, expected):
        before = Expected.NOTHING if expected == "nothing" else store.write("a", b"old")
        content = os.urandom(size)
        faults.once("write" if size < LARGE else "part", faults.lost_reply)

        version = store.write("a", content, before)

        assert store.read("a") == (content, version)

    def test_the_same_bytes_of_another_writer_are_not_our_own(self, store, other, faults):
        """Two drivers write the same lease; only one may believe that it is its own."""

        def other_was_first(request, pass_on):
            faults.once("nothing")
            other.write("lease", b"the same", Expected.NOTHING)

        faults.once("write", other_was_first)

        with pytest.raises(ConflictError, match="in place of nothing, found version"):
            store.write("lease", b"the same", Expected.NOTHING)

    def test_a_write_that_was_replaced_before_its_repetition_is_a_conflict(self, store, other, faults):
        def replaced_at_once(request, pass_on):
            faults.once("nothing")
            pass_on(request)
            other.write("manifest", b"theirs")

        before = store.write("manifest", b"1")
        faults.once("write", replaced_at_once)

        with pytest.raises(ConflictError):
            store.write("manifest", b"2", before)
        assert store.read("manifest").content == b"theirs"

    def test_deleting_is_done_even_if_nobody_says_so(self, store, faults):
        store.write("a", b"")
        faults.once("delete", faults.lost_reply)

        store.delete("a")

        assert store.names() == []


class TestLargeFiles:
    """They go up in parts."""

    def test_a_part_that_fails_is_sent_again(self, store, proxy, faults, tmp_path):
        content = os.urandom(LARGE)
        (tmp_path / "rates.h5").write_bytes(content)
        faults.once("part", faults.status(503), faults.lost_request)

        store.write_file("rates.h5", tmp_path / "rates.h5")

        assert [request.kind for request in proxy.requests].count("part") == 3
        assert store.read("rates.h5").content == content

    def test_until_the_last_part_the_old_file_is_there(self, store, other, faults, monkeypatch):
        seen = []

        def look(request, pass_on):
            faults.once("nothing")
            seen.append(other.read("a").content)
            return pass_on(request)

        store.write("a", b"old")
        faults.once("part", look)

        store.write("a", bytes(LARGE))

        assert seen == [b"old"]

    @pytest.mark.parametrize("expected", ["nothing", "a version"])
    def test_a_precondition_holds_for_them_too(self, store, expected):
        before = Expected.NOTHING if expected == "nothing" else store.write("a", b"old")
        store.write("a", b"theirs")

        with pytest.raises(ConflictError):
            store.write("a", bytes(LARGE), before)

        assert store.read("a").content == b"theirs"

    def test_who_is_overtaken_between_two_parts_changes_nothing(self, store, other, faults):
        def overtake(request, pass_on):
            faults.once("nothing")
            other.write("a", b"theirs")
            return pass_on(request)

        faults.once("part", overtake)

        with pytest.raises(ConflictError):
            store.write("a", bytes(LARGE), Expected.NOTHING)
        assert store.read("a").content == b"theirs"


class TestDamage:
    def test_what_arrives_changed_is_read_again(self, store, faults, tmp_path):
        store.write("a", b"weights" * 1000)

        faults.once("read", faults.changed)
        assert store.read("a").content == b"weights" * 1000
        faults.once("read", faults.changed)
        store.read_file("a", tmp_path / "a")
        assert (tmp_path / "a").read_bytes() == b"weights" * 1000

    def test_what_always_arrives_changed_is_refused_and_leaves_no_file(self, store, faults, tmp_path):
        store.write("a", b"weights")
        faults.always("read", faults.changed)

        with pytest.raises(UnavailableError, match=r"[Cc]hecksum"):
            store.read("a")
        with pytest.raises(UnavailableError, match=r"[Cc]hecksum"):
            store.read_file("a", tmp_path / "a")
        assert list(tmp_path.iterdir()) == []

    def test_a_cut_download_is_gone_on_with(self, store, proxy, faults, tmp_path):
        content = os.urandom(3 * 2**20)
        store.write("a", content)
        faults.once("read", faults.cut, faults.cut)

        store.read_file("a", tmp_path / "a")

        assert (tmp_path / "a").read_bytes() == content
        ranges = [request.headers.get("range") for request in proxy.requests if request.kind == "read"]
        assert ranges[0] is None
        assert all(ranges[1:])

    def test_a_file_replaced_while_it_is_read_is_not_mixed(self, store, other, faults):
        def replaced(request, pass_on):
            answer = faults.cut(request, pass_on)
            faults.once("nothing")
            other.write("a", b"theirs" * 100_000)
            return answer

        store.write("a", b"ours__" * 100_000)
        faults.once("read", replaced)

        assert store.read("a").content == b"theirs" * 100_000


class TestNoAnswer:
    def test_a_store_that_stays_away_is_given_up_after_the_patience(self, bucket, proxy, faults):
        faults.always("any", faults.status(503))
        began = time.monotonic()

        with pytest.raises(
            UnavailableError, match=r"wanted to write gs://lab-.*/a, found .* \(HTTP 503\); check"
        ):
            BucketStore(bucket, 0.5).write("a", b"")

        assert 0.2 < time.monotonic() - began < 20

    def test_a_bucket_that_never_answered_is_waited_for_less(self, bucket, proxy, faults, monkeypatch):
        monkeypatch.setattr(buckets, "FIRST_PATIENCE_SECONDS", 0.3)
        store = open_store(bucket)
        faults.always("any", faults.status(503))
        with pytest.raises(UnavailableError):
            store.names()
        faults.once("nothing")
        store.names()

        faults.once("list", *[faults.status(503)] * 40)

        assert store.names() == []

    def test_a_bucket_that_was_given_up_is_waited_for_no_second_time(self, bucket, proxy, faults):
        store = BucketStore(bucket, 3)
        store.names()
        faults.always("any", faults.status(503))
        with pytest.raises(UnavailableError):
            store.names()
        began = time.monotonic()

        with pytest.raises(UnavailableError):
            store.names()

        assert time.monotonic() - began < 2

    def test_nobody_there_is_a_sentence(self, monkeypatch):
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")

        with pytest.raises(
            UnavailableError, match=r"wanted to read gs://lab/a/x, found .*the connection was refused"
        ):
            BucketStore("gs://lab/a", 0.3).read("x")

    def test_an_answer_that_does_not_come_is_asked_for_again(self, store, faults, monkeypatch):
        def slow(request, pass_on):
            time.sleep(1)
            return pass_on(request)

        monkeypatch.setattr(buckets, "TIMEOUT_SECONDS", (5.0, 0.3))
        store.write("a", b"x")
        faults.once("read", slow)

        assert store.read("a").content == b"x"


class TestRefusals:
    def test_a_missing_bucket_is_named(self, proxy):
        store = open_store("gs://no-such-bucket/runs/a")

        for deed in DEEDS.values():
            if deed is not DEEDS["delete"]:
                with pytest.raises(DeniedError, match="found no bucket of the name no-such-bucket; correct"):
                    deed(store)

    def test_a_missing_role_is_named_with_the_account(self, store, faults):
        message = (
            "trainer@my-lab.iam.gserviceaccount.com does not have storage.objects.create access to the "
            "Google Cloud Storage object. Permission 'storage.objects.create' denied on resource."
        )
        faults.always("any", faults.status(403, message))

        with pytest.raises(
            DeniedError,
            match=r"found that trainer@my-lab\.iam\.gserviceaccount\.com may not "
            r"\(storage\.objects\.create\); give it the role roles/storage\.objectUser on gs://lab-",
        ):
            store.write("a", b"")

    def test_whoever_only_reads_needs_less(self, bucket, proxy, faults):
        faults.always("any", faults.status(403, "no"))

        with pytest.raises(DeniedError, match=r"data\.uri: .* the role roles/storage\.objectViewer on gs://"):
            open_store(bucket, field="data.uri").read("a")

    def test_credentials_that_are_no_longer_valid_are_a_sentence(self, store, faults):
        faults.always("any", faults.status(401, "Invalid Credentials"))

        with pytest.raises(
            DeniedError, match=r"no valid credentials .*gcloud auth application-default login"
        ):
            store.read("a")

    def test_a_refusal_is_not_repeated(self, store, proxy, faults):
        faults.always("read", faults.status(403))

        with pytest.raises(DeniedError):
            store.read("a")

        assert [request.kind for request in proxy.requests].count("read") == 1


def test_the_empty_folder_that_the_console_makes_is_nothing(store, bucket):
    open_store(bucket).write("runs/a/", b"")

    assert store.entries() == store.names() == []


def test_a_long_list_is_whole(store, monkeypatch):
    for number in range(30):
        store.write(f"training_logs/{number:02d}", b"")
    real = store._list
    monkeypatch.setattr(store, "_list", lambda *a, **o: real(*a, **o, page_size=7))

    assert len(store.names()) == 30
    assert store.entries() == ["training_logs"]
