"""Commit and resume with a toy and a store in memory: every write is a place to be killed at."""

import contextlib
import json
import logging
import threading
import time

import numpy as np
import pytest

from autolfads_spec.errors import StoreError
from autolfads_spec.manifest import Document, GenerationRecord, Lease, Manifest
from lfads_worker.driver import Driver
from lfads_worker.errors import FencedError, OutputError, RecordingChangedError
from lfads_worker.execution.cohorts import cut
from lfads_worker.execution.serial import SerialPool
from lfads_worker.execution.toy import ToyTrainer
from lfads_worker.results import resume
from lfads_worker.results.checkpoint import recognise
from lfads_worker.results.takeover import take_over

COHORTS = cut(5, 2)
VERSIONS = {"tensorflow": "2.21.0", "missing": None}


@pytest.fixture
def run(make_run):
    return make_run(output={"keepGenerations": 2})


def hold(run, store, fingerprint="ab", cohorts=COHORTS, versions=VERSIONS):
    return take_over(store, run, fingerprint, cohorts, versions)


def drive(run, store, **options):
    commits = hold(run, store, **options)
    with SerialPool(ToyTrainer(run.spec.population.seed)) as pool:
        return Driver(run.spec, commits.cohorts, pool, on_generation=commits.commit).run(commits.start)


def manifest_of(store):
    return Manifest.model_validate_json(store.files["manifest.json"][0])


def records_in(store):
    content = [store.files[f"generations/{number:06d}.json"][0] for number in range(4)]
    return [GenerationRecord.model_validate_json(one) for one in content]


def names_of(files):
    return [file.name for file in files]


def assert_same(one, other):
    for mine, theirs in zip(one.generations, other.generations, strict=True):
        # As text: NaN is not equal to itself.
        assert repr((mine.population, mine.values, mine.decisions)) == repr(
            (theirs.population, theirs.values, theirs.decisions)
        )
        for log, their_log in zip(mine.logs, theirs.logs, strict=True):
            assert all(vars(log)[name].tobytes() == vars(their_log)[name].tobytes() for name in vars(log))
    assert one.best.state.equals(other.best.state)
    assert (one.best.generation, one.best.member, one.best.score, one.best.values) == (
        other.best.generation,
        other.best.member,
        other.best.score,
        other.best.values,
    )
    assert one.stop_reason == other.stop_reason


@pytest.fixture
def undisturbed(run, make_store):
    return drive(run, make_store())


@pytest.fixture
def make_store(store):
    return type(store)


class TestOrder:
    def test_checkpoints_then_the_record_then_the_manifest(self, run, store):
        drive(run, store)

        first = store.writes[2:11]  # after lease and manifest
        assert [name.partition("/")[0] for name in first[:4]] == ["checkpoints"] * 4
        assert first[4:] == [
            "generations/000000-attempt_01-driver_0001.npz",
            "generations/000000-attempt_01-driver_0001.copy.npz",
            "generations/000000.json",
            "generations/000000.copy.json",
            "manifest.json",
        ]

    def test_a_generation_takes_six_writes_beside_those_of_its_cohorts(self, run, store):
        drive(run, store)

        beside = ["best member", "log", "its copy", "record", "its copy", "manifest"]
        assert len(store.writes) == len(["lease", "manifest"]) + 4 * (len(COHORTS) + len(beside))

    def test_the_manifest_tells_where_the_run_stands(self, run, store, undisturbed):
        drive(run, store)

        manifest = manifest_of(store)
        assert (manifest.generation, manifest.stop_reason) == (3, "all 4 generations are done")
        assert (manifest.attempt, manifest.driver_epoch) == (1, 1)
        assert manifest.cohorts == COHORTS
        assert manifest.versions == {"tensorflow": "2.21.0"}
        assert (manifest.best.generation, manifest.best.member) == (
            undisturbed.best.generation,
            undisturbed.best.member,
        )
        assert [entry.generation for entry in manifest.generations] == [0, 1, 2, 3]
        assert all(entry.seconds > 0 and entry.commit_seconds > 0 for entry in manifest.generations)

    def test_the_manifest_tells_how_many_members_diverged(self, make_run, store):
        run = make_run()
        learning_rate, *others = run.spec.population.search_space
        wild = learning_rate.model_copy(update={"max": 30.0})  # above 1 toys diverge
        population = run.spec.population.model_copy(update={"search_space": (wild, *others)})
        run = run.model_copy(update={"spec": run.spec.model_copy(update={"population": population})})
        history = drive(run, store)

        counted = [entry.diverged for entry in manifest_of(store).generations]
        scores = [[member.score for member in one.population.members] for one in history.generations]
        assert counted == [sum(not np.isfinite(score) for score in each) for each in scores]
        assert counted[0] > 0

    def test_only_checkpoints_of_kept_generations_stay_and_the_best_member(self, run, store):
        drive(run, store)

        needed = {name for record in records_in(store)[-2:] for name in names_of(record.states)}
        assert set(store.names("checkpoints/")) == needed
        assert len(needed) == 2 * (len(COHORTS) + 1)
        assert len(store.names("generations/")) == 4 * 4

    def test_no_two_generations_share_a_checkpoint(self, run, store):
        drive(run, store)

        for number, record in enumerate(records_in(store)):
            assert {name.split("/")[1] for name in names_of(record.states)} == {f"{number:06d}"}


class TestResume:
    def test_a_new_run_starts_from_the_beginning(self, run, store):
        assert hold(run, store).start is None

    def test_a_finished_run_trains_nothing_more(self, run, store, undisturbed):
        drive(run, store)
        written = len(store.writes)

        assert_same(drive(run, store), undisturbed)

        assert store.writes[written:] == ["lease.json", "manifest.json"]

    @pytest.mark.parametrize("effect", ["before", "after"])
    def test_a_kill_at_any_write_changes_nothing(self, run, store, undisturbed, killed, make_store, effect):
        drive(run, store)
        everything = len(store.writes)

        for place in range(everything):
            interrupted = make_store()
            interrupted.fault = kill_at(place, killed, effect)
            with pytest.raises(killed):
                drive(run, interrupted)
            interrupted.fault = lambda number, name: None

            assert_same(drive(run, interrupted), undisturbed)
            assert set(interrupted.names()) >= {"manifest.json", "lease.json"}
            assert len(interrupted.names("generations/")) == 4 * 4, place
            assert len(interrupted.names("checkpoints/")) == 2 * (len(COHORTS) + 1), place

    def test_two_kills_in_a_row_change_nothing(self, run, undisturbed, killed, make_store):
        for first, second in np.random.default_rng(0).integers(0, 25, (40, 2)):
            store = make_store()
            for place in (first, second):
                store.writes.clear()
                store.fault = kill_at(place, killed, "after")
                with contextlib.suppress(killed):
                    drive(run, store)
            store.fault = lambda number, name: None

            assert_same(drive(run, store), undisturbed)

    @pytest.mark.parametrize("effect", ["before", "after"])
    def test_a_kill_while_an_ended_run_goes_further_changes_nothing(self, run, store, killed, effect):
        drive(run, store)
        ended = dict(store.files)
        more = with_generations(run, 5)
        expected = drive(more, type(store)())

        for _ in killed_at_each_write(more, store, ended, killed, effect):
            assert_same(drive(more, store), expected)

    def test_an_ended_run_that_can_go_no_further_stays_ended(self, make_run, store, undisturbed, caplog):
        run = make_run(output={"keepGenerations": 1})
        drive(run, store)

        assert_same(drive(with_generations(run, 5), store), undisturbed)

        assert "5 generations are asked for, but no checkpoint from before the last of 4" in caplog.text
        assert manifest_of(store).generation == 3

    def test_a_run_keeps_the_cut_that_it_began_with(self, run, store, killed):
        store.fault = kill_at(20, killed, "after")
        with pytest.raises(killed):
            drive(run, store)
        store.fault = lambda number, name: None

        assert hold(run, store, cohorts=cut(5, 5)).cohorts == COHORTS

    def test_another_recording_is_refused(self, run, store):
        drive(run, store)

        with pytest.raises(
            RecordingChangedError, match=r"began with \(sha256 ab…\), found that data.h5 has another"
        ):
            hold(run, store, fingerprint="cd")

    def test_other_versions_are_told(self, run, store, caplog):
        drive(run, store)

        with caplog.at_level(logging.WARNING, "lfads_worker"):
            hold(run, store, versions={"tensorflow": "3.0.0"})

        assert "the run began with tensorflow 2.21.0 (now 3.0.0)" in caplog.text


def with_generations(run, generations):
    population = run.spec.population.model_copy(update={"generations": generations})
    return run.model_copy(update={"spec": run.spec.model_copy(update={"population": population})})


def killed_at_each_write(run, store, files, error, effect):
    """Begins with these files and kills at one write after the other; yields its place after each kill."""
    store.files = dict(files)
    store.writes.clear()
    drive(run, store)
    for place in range(len(store.writes)):
        store.files = dict(files)
        store.writes.clear()
        store.fault = kill_at(place, error, effect)
        with contextlib.suppress(error):  # none after a write that is refused
            drive(run, store)
        store.fault = lambda number, name: None
        yield place


def kill_at(place, error, effect):
    def fault(number, name):
        if number != place:
            return None
        if effect == "before":
            raise error
        return error()

    return fault


def cut_off(content):
    return content[: len(content) // 2]


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


class TestDamage:
    @pytest.fixture
    def begun(self, run, store, killed):
        """Three generations are committed, then the driver is killed."""
        store.fault = lambda number, name: killed() if name == "generations/000003.json" else None
        with pytest.raises(killed):
            drive(run, store)
        store.fault = lambda number, name: None
        assert manifest_of(store).generation == 2
        return store

    @pytest.mark.parametrize("damage", [cut_off, flipped, None], ids=["cut off", "flipped", "gone"])
    @pytest.mark.parametrize("what", ["cohort_001", "best"])
    def test_a_damaged_checkpoint_costs_its_generation(self, run, begun, undisturbed, caplog, damage, what):
        committed = [name for name in begun.names("checkpoints/") if "000003" not in name]
        last = [name for name in committed if what in name][-1]
        harm(begun, last, damage)

        with caplog.at_level(logging.WARNING, "lfads_worker"):
            commits = hold(run, begun)

        assert commits.generation == 1
        assert "generation 2 cannot be gone on from: " in caplog.text
        assert last in caplog.text
        assert_same(drive(run, begun), undisturbed)

    def test_the_generation_before_is_gone_on_from(self, run, begun):
        harm(begun, "checkpoints/000002/cohort_000-attempt_01-driver_0001.npz", flipped)

        commits = hold(run, begun)

        assert commits.generation == manifest_of(begun).generation == 1
        assert commits.start.population.generation == 2

    @pytest.mark.parametrize("damage", [cut_off, flipped, None], ids=["cut off", "flipped", "gone"])
    def test_any_one_damaged_file_costs_one_generation_at_most(self, run, begun, undisturbed, damage):
        for name in begun.names():
            store = type(begun)()
            store.files = dict(begun.files)
            harm(store, name, damage)
            sooner = name.startswith("checkpoints/000002/")

            # Without its manifest a run also finds the generation that was written, but not yet committed.
            assert hold(run, store).generation in ((1,) if sooner else (2, 3)), name
            assert_same(drive(run, store), undisturbed)

    @pytest.mark.parametrize("name", ["000000.json", "000000-attempt_01-driver_0001.npz"])
    def test_an_early_file_is_read_from_its_copy_and_that_is_said(
        self, run, begun, undisturbed, caplog, name
    ):
        harm(begun, f"generations/{name}", flipped)

        with caplog.at_level(logging.WARNING, "lfads_worker"):
            assert hold(run, begun).generation == 2

        assert f"generations/{name} has changed: its checksum is another one; its copy is read" in caplog.text
        assert_same(drive(run, begun), undisturbed)

    def test_a_record_that_is_damaged_twice_costs_what_comes_after_it(self, run, begun, undisturbed):
        harm(begun, "generations/000002.json", cut_off)
        harm(begun, "generations/000002.copy.json", flipped)

        assert hold(run, begun).generation == 1
        assert_same(drive(run, begun), undisturbed)

    def test_a_folder_of_an_earlier_version_is_gone_on_from(self, run, begun, undisturbed):
        as_an_earlier_version_left_it(begun)
        assert not [name for name in begun.names() if ".copy." in name]
        assert b"checksum" not in begun.files["manifest.json"][0]

        assert hold(run, begun).generation == 2
        assert_same(drive(run, begun), undisturbed)

    def test_the_cut_is_found_again_when_the_manifest_is_lost(self, run, begun, undisturbed):
        harm(begun, "manifest.json", flipped)

        commits = hold(run, begun, cohorts=cut(5, 5))

        assert commits.cohorts == manifest_of(begun).cohorts == COHORTS
        assert_same(drive(run, begun), undisturbed)

    def test_every_byte_of_the_manifest_counts(self, run, begun):
        content = begun.files["manifest.json"][0]
        whole = Manifest.from_bytes(content)

        for place in range(len(content)):
            changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
            with contextlib.suppress(ValueError):
                assert Manifest.from_bytes(changed) == whole, place

    def test_what_is_given_up_stays_until_the_next_commit(self, run, begun, undisturbed):
        name = "checkpoints/000001/cohort_000-attempt_01-driver_0001.npz"
        lost = "checkpoints/000002/cohort_001-attempt_01-driver_0001.npz"
        before = dict(begun.files)
        harm(begun, name, flipped)
        harm(begun, lost, None)

        assert hold(run, begun).start is None

        gone = {name, lost, "lease.json", "manifest.json"}
        assert {one: begun.files.get(one) for one in before if one not in gone} == {
            one: file for one, file in before.items() if one not in gone
        }
        assert manifest_of(begun).generation is None
        assert [entry.generation for entry in manifest_of(begun).given_up] == [0, 1, 2]

        assert_same(drive(run, begun), undisturbed)
        assert manifest_of(begun).given_up == ()
        assert len(begun.names("checkpoints/")) == 2 * (len(COHORTS) + 1)

    def test_what_is_put_back_is_gone_on_from(self, run, begun, undisturbed):
        name = "checkpoints/000002/cohort_001-attempt_01-driver_0001.npz"
        before = begun.files[name]
        harm(begun, name, None)
        assert hold(run, begun).generation == 1
        begun.files[name] = before

        assert hold(run, begun).generation == manifest_of(begun).generation == 2
        assert_same(drive(run, begun), undisturbed)

    @pytest.mark.parametrize("effect", ["before", "after"])
    def test_a_kill_while_a_damaged_generation_is_done_again_changes_nothing(
        self, run, begun, undisturbed, killed, effect
    ):
        harm(begun, "checkpoints/000002/best-attempt_01-driver_0001.npz", flipped)
        harmed = dict(begun.files)

        places = []
        for place in killed_at_each_write(run, begun, harmed, killed, effect):
            places.append(place)
            assert hold(run, begun).generation in (1, 2, 3), place
            assert_same(drive(run, begun), undisturbed)
        # Lease, manifest twice, two generations; and what was there already.
        assert len(places) > 3 + 2 * 9

    def test_when_nothing_is_whole_the_run_begins_anew_and_says_so(self, run, begun, undisturbed, caplog):
        harm(begun, "generations/000000-attempt_01-driver_0001.npz", None)
        harm(begun, "generations/000000-attempt_01-driver_0001.copy.npz", None)

        with caplog.at_level(logging.WARNING, "lfads_worker"):
            commits = hold(run, begun)

        assert commits.start is None
        assert "begins anew, and ends with the same result" in caplog.text
        assert_same(drive(run, begun), undisturbed)

    @pytest.mark.parametrize("damage", [cut_off, None], ids=["cut off", "gone"])
    def test_a_lost_manifest_is_made_anew_from_the_records(self, run, begun, undisturbed, caplog, damage):
        harm(begun, "manifest.json", damage)

        commits = hold(run, begun)

        assert commits.generation == 3  # its record was there, only not yet pointed to
        assert commits.start is not None
        assert manifest_of(begun).best is not None
        assert_same(drive(run, begun), undisturbed)

    @pytest.mark.parametrize(
        "damage",
        [cut_off, lambda content: content.replace(b'h": 5', b'h": 1'), None],
        ids=["cut off", "flipped", "gone"],
    )
    def test_a_damaged_lease_is_counted_on_from_the_manifest(self, run, begun, damage):
        for _ in range(4):
            hold(run, begun)
        harm(begun, "lease.json", damage)

        assert hold(run, begun).manifest.driver_epoch == 6


def as_an_earlier_version_left_it(store):
    """One checkpoint of the best member for all generations, no copies, and a manifest without checksum."""
    manifest, entries, shared = manifest_of(store), [], {}
    for entry in manifest.generations:
        record = GenerationRecord.model_validate_json(store.files[entry.record.name][0])
        best = record.best
        name = f"checkpoints/{best.generation:06d}/best-attempt_01-driver_0001.npz"
        if best.checkpoint.name in store.files:
            shared[name] = store.files[best.checkpoint.name]
        file = best.checkpoint.model_copy(update={"name": name})
        record = record.model_copy(update={"best": best.model_copy(update={"checkpoint": file})})
        content = record.to_bytes()
        store.files[entry.record.name] = (content, "as it was")
        entries.append(entry.model_copy(update={"record": recognise(entry.record.name, content)}))
    for name in store.names():
        if ".copy." in name or "/best-" in name:
            store.delete(name)
    store.files.update(shared)
    manifest = manifest.model_copy(update={"generations": tuple(entries)})
    store.files["manifest.json"] = (Document.to_bytes(manifest), "as it was")


def harm(store, name, damage):
    content, _ = store.files[name]
    if damage is None:
        del store.files[name]
    else:
        store.files[name] = (damage(content), "harmed")


class TestFullDisk:
    @pytest.mark.parametrize("name", ["checkpoints/000002/best", "generations/000002.json", "manifest.json"])
    def test_it_is_a_sentence_and_the_run_goes_on_later(self, run, store, undisturbed, name):
        # In the commit of generation 2, whose log and record come before the manifest.
        files = 4 * 3 if name == "manifest.json" else 4 * 2

        def full(number, written):
            if written.startswith(name) and len(store.names("generations/")) >= files:
                raise StoreError(f"output: wanted to write {written}, found No space left on device")

        store.fault = full
        with pytest.raises(
            OutputError, match=r"No space left .*\(generation 1 and all before it are committed"
        ):
            drive(run, store)
        store.fault = lambda number, written: None

        assert_same(drive(run, store), undisturbed)

    def test_what_was_written_for_the_generation_makes_room(self, run, store):
        def full(number, name):
            if name == "generations/000002.json":
                raise StoreError("full")

        store.fault = full
        with pytest.raises(OutputError):
            drive(run, store)

        assert not [name for name in store.names() if "000002" in name]


class TestFencing:
    def test_each_start_has_a_number_of_its_own(self, run, store):
        numbers = [hold(run, store).manifest.driver_epoch for _ in range(3)]

        assert numbers == [1, 2, 3]
        assert Lease.model_validate_json(store.files["lease.json"][0]) == Lease(attempt=1, driver_epoch=3)

    def test_the_attempt_is_taken_from_whoever_counts_it(self, run, store):
        store.write("lease.json", Lease(attempt=3, driver_epoch=7).to_bytes())

        drive(run, store)

        assert (manifest_of(store).attempt, manifest_of(store).driver_epoch) == (3, 8)
        assert all("attempt_03-driver_0008" in name for name in store.names("checkpoints/"))

    def test_a_superseded_driver_stops_and_the_other_goes_on(self, run, store, undisturbed):
        histories = []

        def another_starts(position):
            first.commit(position)
            if position.population.generation == 2:
                histories.append(drive(run, store))

        first = hold(run, store)
        with (
            SerialPool(ToyTrainer(1)) as pool,
            pytest.raises(FencedError, match="another one has taken it over"),
        ):
            Driver(run.spec, first.cohorts, pool, on_generation=another_starts).run()

        assert_same(histories[0], undisturbed)
        before = dict(store.files)
        with pytest.raises(FencedError):
            first.hold.renew()
        assert store.files == before

    def test_a_driver_superseded_while_it_starts_removes_nothing(
        self, run, store, undisturbed, killed, monkeypatch
    ):
        store.fault = kill_at(30, killed, "after")
        with pytest.raises(killed):
            drive(run, store)
        store.fault = lambda number, name: None
        restore = resume.restore

        def slowly(*arguments):
            monkeypatch.undo()
            restored = restore(*arguments)
            drive(run, store)  # another driver, from here to the end
            return restored

        monkeypatch.setattr(resume, "restore", slowly)
        with pytest.raises(FencedError):
            hold(run, store)

        assert manifest_of(store).generation == 3
        assert_same(drive(run, store), undisturbed)
        assert all(entry.record.name in store.files for entry in manifest_of(store).generations)

    def test_a_driver_superseded_while_it_commits_removes_no_record(self, run, store):
        first = hold(run, store)

        def outage(number, name):
            if name == "generations/000001.copy.json":
                store.fault = lambda number, name: None
                drive(run, store)  # another driver, while this one is without the store
                raise StoreError("no answer")

        store.fault = outage
        with SerialPool(ToyTrainer(1)) as pool, pytest.raises(OutputError):
            Driver(run.spec, first.cohorts, pool, on_generation=first.commit).run()

        assert all(entry.record.name in store.files for entry in manifest_of(store).generations)

    def test_a_record_of_a_superseded_driver_is_replaced(self, run, store, undisturbed):
        store.write("generations/000001.json", b"of a driver that never came to point to it")

        assert_same(drive(run, store), undisturbed)

        assert json.loads(store.files["generations/000001.json"][0])["generation"] == 1

    def test_a_write_whose_answer_was_lost_fences_nobody(self, run, store):
        commits = hold(run, store)
        store.fault = lambda number, name: StoreError("no answer")
        with pytest.raises(StoreError):
            commits.hold.renew()
        store.fault = lambda number, name: None

        commits.hold.renew()

    def test_a_manifest_that_was_removed_is_no_longer_ours(self, run, store):
        commits = hold(run, store)
        store.delete("manifest.json")

        with pytest.raises(FencedError):
            commits.hold.renew()


class TestHeartbeat:
    def test_it_is_renewed_while_the_context_lasts(self, run, store):
        before = set(threading.enumerate())
        commits = hold(run, store)
        written = len(store.writes)

        with commits.hold.alive(interrupt=lambda: None, seconds=0.005):
            wait_until(lambda: len(store.writes) > written + 2)

        written = len(store.writes)
        time.sleep(0.02)
        assert len(store.writes) == written
        assert set(threading.enumerate()) <= before

    def test_being_superseded_interrupts_and_is_told(self, run, store):
        commits = hold(run, store)
        interrupted = threading.Event()

        def wait_and_be_interrupted():
            with commits.hold.alive(interrupt=interrupted.set, seconds=0.005):
                hold(run, store)
                assert interrupted.wait(60)
                raise KeyboardInterrupt

        with pytest.raises(FencedError):
            wait_and_be_interrupted()

    def test_an_interrupt_of_the_user_stays_one(self, run, store):
        with pytest.raises(KeyboardInterrupt), hold(run, store).hold.alive(interrupt=lambda: None):
            raise KeyboardInterrupt

    def test_a_store_that_does_not_answer_is_only_told(self, run, store, caplog):
        commits = hold(run, store)
        store.fault = lambda number, name: StoreError("out of reach")

        with commits.hold.alive(interrupt=lambda: None, seconds=0.005):
            wait_until(lambda: "no heartbeat: out of reach" in caplog.text)

    @pytest.mark.parametrize("reachable", [True, False])
    def test_something_else_can_be_looked_at_with_each(self, run, store, reachable):
        commits, looks = hold(run, store), []
        if not reachable:
            store.fault = lambda number, name: StoreError("out of reach")

        with commits.hold.alive(lambda: None, seconds=0.005, at_heartbeat=lambda: looks.append(1)):
            wait_until(lambda: len(looks) > 2)


class TestAttempts:
    def test_an_attempt_writes_its_number_and_keeps_what_the_operator_wrote(self, run, store):
        store.write("lease.json", Lease(attempt=2, driver_epoch=5, owner="uid").to_bytes())

        commits = take_over(store, run, "ab", COHORTS, VERSIONS, attempt=3)

        lease = Lease.model_validate_json(store.read("lease.json").content)
        assert lease == Lease(attempt=3, driver_epoch=6, owner="uid")
        assert (commits.manifest.attempt, commits.manifest.driver_epoch) == (3, 6)
        assert manifest_of(store).attempt == 3

    def test_a_run_that_belongs_to_a_later_attempt_is_not_taken_over(self, run, store):
        take_over(store, run, "ab", COHORTS, VERSIONS, attempt=3)
        before = dict(store.files)

        with pytest.raises(FencedError):
            take_over(store, run, "ab", COHORTS, VERSIONS, attempt=2)
        assert store.files == before

    def test_where_nobody_counts_the_number_stays(self, run, store):
        take_over(store, run, "ab", COHORTS, VERSIONS, attempt=3)

        assert hold(run, store).manifest.attempt == 3


def wait_until(holds):
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)
