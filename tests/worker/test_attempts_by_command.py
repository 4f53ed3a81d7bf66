"""`autolfads run --attempt N` from the outside, with a toy for TensorFlow: what the operator relies on."""

import json
from dataclasses import replace

import numpy as np
import pytest

from autolfads_spec import dump_run
from autolfads_spec.attempt import BUDGET_STOP, AttemptEnd, Wish
from autolfads_spec.cost import CostRecord
from autolfads_spec.manifest import Lease, Manifest
from autolfads_spec.store import FolderStore
from lfads_worker import cli
from lfads_worker.data.source import fingerprint
from lfads_worker.errors import DeviceError
from lfads_worker.execution import choice
from lfads_worker.execution.choice import Choice
from lfads_worker.execution.toy import ToyTrainer
from lfads_worker.results import takeover


@pytest.fixture
def drive(invoke, make_run, tmp_path):
    """`drive(attempt, *options, **blocks)`: runs an attempt at the run in out/."""
    synthesize(invoke)
    options = ("--workers", 0)

    def call(attempt, *more, **blocks):
        blocks["output"] = {"posteriorSamples": 2, "report": False, **blocks.get("output", {})}
        (tmp_path / "run.yaml").write_text(dump_run(make_run(**blocks)))
        return invoke("run", "run.yaml", "--attempt", attempt, *(more or options))

    return call


def synthesize(invoke, *more):
    options = ("--conditions", 4, "--trials-per-condition", 15, "--bins", 10)
    assert invoke("synthesize", "lorenz", "data.h5", *options, *more).exit_code == 0


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path / "out")


def lease_of(store):
    return Lease.model_validate_json(store.read("lease.json").content)


def manifest_of(store):
    return Manifest.model_validate_json(store.read("manifest.json").content)


def end_of(store, attempt):
    return AttemptEnd.model_validate_json(store.read(f"attempts/{attempt:02d}/end.json").content)


def results_of(store):
    measured = ("autolfads.log", "timing.csv", "manifest.json", "lease.json", "wish.json")
    measured += ("generations/", "checkpoints/", "attempts/")
    return {name: store.read(name).content for name in store.names() if not name.startswith(measured)}


def pausing(store, when, attempt=1):
    """A trainer during whose generation `when` the operator wishes a pause."""

    class Pausing(ToyTrainer):
        def train_generation(self, task, progress=None):
            if (task.generation, task.cohort) == (when, 0):
                store.write("wish.json", Wish(attempt=attempt, pause=True, why="suspended").to_bytes())
            return super().train_generation(task, progress)

    return lambda spec, data: Pausing(spec.population.seed, data.trials, data.time, data.neurons)


def test_the_first_attempt_begins_where_the_operator_has_written(drive, store):
    store.write("lease.json", Lease(attempt=1, owner="uid-1").to_bytes())
    store.write("wish.json", Wish(attempt=1).to_bytes())
    store.write("cost.json", CostRecord().to_bytes())

    result = drive(1)

    assert result.exit_code == 0, result.output
    assert lease_of(store) == Lease(attempt=1, driver_epoch=1, owner="uid-1")
    assert manifest_of(store).attempt == 1
    end = end_of(store, 1)
    assert (end.end_class, end.driver_epoch, end.generation) == ("ok", 1, 3)
    assert end.message == "toy is finished: its results are in out"


def test_a_driver_writes_the_lease_where_the_operator_has_not(drive, store):
    assert drive(2).exit_code == 0

    assert lease_of(store) == Lease(attempt=2, driver_epoch=1)
    assert manifest_of(store).attempt == 2


def test_a_driver_of_an_earlier_attempt_writes_nothing(drive, store, tmp_path):
    store.write("lease.json", Lease(attempt=3).to_bytes())

    result = drive(2)

    assert result.exit_code == 5
    assert "found that it belongs to attempt 3" in result.stderr
    assert store.names() == ["lease.json"]


def test_a_driver_that_loses_the_run_while_it_trains_has_no_last_word(drive, store, monkeypatch, tmp_path):
    class Superseded(ToyTrainer):
        def train_generation(self, task, progress=None):
            if (task.generation, task.cohort) == (1, 0):
                run, found = cli.load_run(tmp_path / "run.yaml"), fingerprint(tmp_path / "data.h5")
                takeover.take_over(store, run, found, ((0,),), {}, attempt=2)
            return super().train_generation(task, progress)

    monkeypatch.setattr(cli, "make_trainer", lambda spec, data: Superseded(1))

    assert drive(1).exit_code == 5
    assert (manifest_of(store).attempt, manifest_of(store).generation) == (2, 0)
    assert not store.names("attempts/")


def test_a_pause_ends_at_a_committed_generation_and_the_next_attempt_ends_with_the_same_bytes(
    drive, store, monkeypatch, tmp_path
):
    assert drive(1).exit_code == 0
    (tmp_path / "out").rename(tmp_path / "undisturbed")
    with monkeypatch.context() as patch:
        patch.setattr(cli, "make_trainer", pausing(store, when=1))
        paused = drive(1)

    assert paused.exit_code == 0
    assert paused.stderr.endswith(
        "paused (suspended): what is committed is kept, and the next attempt goes on from there\n"
    )
    assert (manifest_of(store).generation, end_of(store, 1).generation) == (1, 1)
    assert end_of(store, 1).end_class == "paused"
    assert "results.json" not in store.names()

    resumed = drive(2)  # the wish was for attempt 1

    assert resumed.exit_code == 0
    assert "going on after generation 1" in resumed.stderr
    assert end_of(store, 2).end_class == "ok"
    assert results_of(store) == results_of(FolderStore(tmp_path / "undisturbed"))


def test_a_pause_that_is_wanted_from_the_start_trains_nothing(drive, store, monkeypatch):
    store.write("wish.json", Wish(attempt=1, pause=True).to_bytes())
    monkeypatch.setattr(choice.Choice, "open", lambda self, *how, **more: 1 / 0)

    assert drive(1).exit_code == 0
    assert (end_of(store, 1).end_class, end_of(store, 1).generation) == ("paused", None)


def test_a_pause_during_the_last_generation_comes_too_late(drive, store, monkeypatch):
    monkeypatch.setattr(cli, "make_trainer", pausing(store, when=3))

    assert drive(1).exit_code == 0
    assert end_of(store, 1).end_class == "ok"


def test_a_finished_run_ends_well_at_once(drive, store, monkeypatch):
    drive(1)
    before = results_of(store)
    monkeypatch.setattr(choice.Choice, "open", lambda self, *how, **more: 1 / 0)

    assert drive(2).exit_code == 0
    assert (end_of(store, 2).end_class, end_of(store, 2).generation) == ("ok", 3)
    assert results_of(store) == before


def assert_end(result, store, attempt, end, exit_code):
    """The operator reads what the console says."""
    assert result.exit_code == exit_code, result.output
    document = end_of(store, attempt)
    assert document.end_class == end
    said = [
        line.partition(": ")[2] for line in result.stderr.splitlines() if line.startswith(("error", "int"))
    ]
    assert document.message.splitlines() == said


def test_a_bad_recording_is_told_before_the_run_is_taken_over(drive, store, tmp_path):
    store.write("lease.json", Lease(attempt=1).to_bytes())
    (tmp_path / "data.h5").write_bytes(b"not a recording")

    assert_end(drive(1), store, 1, "bad-input", 3)
    assert store.names() == ["attempts/01/end.json", "lease.json"]


@pytest.mark.parametrize("finished", [True, False])
def test_a_recording_that_has_changed_is_told(drive, store, invoke, monkeypatch, finished):
    with monkeypatch.context() as patch:
        if not finished:
            patch.setattr(cli, "make_trainer", pausing(store, when=1))
        drive(1)
    synthesize(invoke, "--seed", 9, "--overwrite")

    assert_end(drive(2), store, 2, "data-changed", 5)


def test_a_folder_of_another_run_is_told(drive, store):
    drive(1)

    assert_end(drive(2, population={"seed": 7}), store, 2, "output-taken", 5)


def test_a_model_that_does_not_fit_the_recording_is_told(drive, store):
    assert_end(drive(1, model={"icSegmentBins": 10}), store, 1, "bad-config", 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(("size: 5", "size: five"), "population.size", id="wrong value"),
        pytest.param(("population:", "poplation:"), "poplation", id="unknown field"),
    ],
)
def test_a_run_that_cannot_be_understood_is_told_where_its_output_goes(
    drive, store, invoke, tmp_path, change, said
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice.Choice, "open", lambda self, *how, **more: 1 / 0)
        drive(1, population={"size": 5})
    for name in store.names():
        store.delete(name)
    path = tmp_path / "run.yaml"
    path.write_text(path.read_text().replace(*change))

    assert_end(invoke("run", "run.yaml", "--attempt", 1), store, 1, "bad-config", 2)
    assert said in end_of(store, 1).message


@pytest.mark.parametrize(
    "text", ["spec: {output: }", "spec: [", "- a list", "spec: {output: {uri: s3://lab/a}}"]
)
def test_a_run_that_does_not_say_where_its_output_goes_ends_all_the_same(invoke, tmp_path, text):
    (tmp_path / "run.yaml").write_text(text)

    assert invoke("run", "run.yaml", "--attempt", 1).exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


@pytest.mark.parametrize(
    ("error", "end", "exit_code"),
    [
        (DeviceError("wanted a GPU, found none; wait"), "device-not-ready", 6),
        (KeyboardInterrupt(), "interrupted", 130),
        (MemoryError(), "out-of-memory", 6),
        (ZeroDivisionError("a fault"), "internal", 1),
    ],
    ids=["device", "interrupt", "memory", "fault"],
)
def test_whatever_ends_training_is_told(drive, store, monkeypatch, error, end, exit_code):
    class Failing(ToyTrainer):
        def train_generation(self, task, progress=None):
            if task.generation == 1:
                raise error
            return super().train_generation(task, progress)

    monkeypatch.setattr(cli, "make_trainer", lambda spec, data: Failing(1))

    assert_end(drive(1), store, 1, end, exit_code)
    assert end_of(store, 1).generation == 0


def test_a_population_without_a_member_left_is_told(drive, store, monkeypatch):
    class Diverging(ToyTrainer):
        def train_generation(self, task, progress=None):
            result = super().train_generation(task, progress)
            return replace(result, scores=np.full(len(task.member_ids), np.nan))

    monkeypatch.setattr(cli, "make_trainer", lambda spec, data: Diverging(1))

    assert_end(drive(1), store, 1, "diverged", 4)


def test_a_later_attempt_goes_on_although_the_first_one_wanted_a_new_folder(drive, store, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(cli, "make_trainer", pausing(store, when=1))
        drive(1, resume={"policy": "Never"})

    assert drive(2, resume={"policy": "Never"}).exit_code == 0


def test_lines_of_json_say_what_they_are_about_and_nothing_of_the_recording(drive, store):
    result = drive(1, "--workers", 0, "--log-format", "json")

    assert result.stdout == ""
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert {(line["run"], line["attempt"]) for line in lines} == {("toy", 1)}
    assert {"time", "severity", "logger", "message"} <= set(lines[0])
    assert "generation" not in lines[0]
    seen = [line["generation"] for line in lines if "generation" in line]
    assert seen == sorted(seen)
    assert seen[-1] == 3
    assert not any("data.h5" in line["message"] for line in lines)


def test_an_error_is_a_line_of_json_too(drive, tmp_path):
    (tmp_path / "data.h5").unlink()

    result = drive(1, "--workers", 0, "--log-format", "json")

    last = json.loads(result.stderr.splitlines()[-1])
    assert (last["severity"], last["attempt"]) == ("ERROR", 1)
    assert last["message"].startswith("data.uri: a recording is wanted")


class TestInACluster:
    """RAY_ADDRESS is there: what is trained on is what the spec asks for, not what the head has."""

    @pytest.fixture
    def prepared(self, drive, monkeypatch):
        """`prepared(accelerator, attempt)`: how the population would be trained."""
        from lfads_worker import local_run

        made = []

        def keep(*arguments):
            made.append(local_run_prepare(*arguments))
            raise DeviceError("enough")

        local_run_prepare = local_run.prepare
        monkeypatch.setattr(local_run, "prepare", keep)
        monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")

        def call(accelerator, size=5, **more):
            compute = {"workers": {"desired": 2}, **more}
            compute |= {"accelerator": {"type": accelerator, "countPerWorker": 2}} if accelerator else {}
            drive(1, "--quiet", compute=compute, population={"size": size})
            return made[-1]

        return call

    @pytest.mark.parametrize("accelerator", [None, "None"])
    def test_workers_without_accelerator_train_as_this_machine_would(self, prepared, accelerator):
        found = prepared(accelerator)

        assert found.choice == Choice(3, gpus=False, address="10.0.0.1:6379")
        assert found.choice.threads == 1
        assert found.cohorts == ((0, 1), (2, 3), (4,))  # as on any CPU

    def test_workers_with_accelerators_share_the_population_out(self, prepared):
        found = prepared("nvidia-l4", size=10)

        assert found.choice == Choice(4, gpus=True, address="10.0.0.1:6379")
        assert found.cohorts == ((0, 1, 2), (3, 4, 5), (6, 7), (8, 9))

    def test_there_is_a_worker_for_every_cohort_since_more_machines_may_be_asked_for(self, prepared):
        assert prepared("nvidia-l4", size=10, membersPerCohort=1).choice.workers == 10

    def test_a_number_that_leaves_workers_idle_is_warned_of(self, drive, monkeypatch):
        monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")

        def refuse(self, *how, **more):
            raise DeviceError("enough")

        monkeypatch.setattr(choice.Choice, "open", refuse)
        compute = {"accelerator": {"type": "nvidia-l4"}, "workers": {"desired": 3}, "membersPerCohort": 5}

        result = drive(1, "--quiet", compute=compute)

        assert "wanted work for 3 workers, found 1 cohort of up to 5 members" in result.stderr
        assert "set compute.membersPerCohort to at most 2 or ask for fewer workers" in result.stderr

    def test_the_memory_of_the_head_does_not_matter(self, prepared, monkeypatch):
        from lfads_worker import placement

        monkeypatch.setattr(placement, "memory_bytes", lambda: 1)

        assert not [warning for warning in prepared("None").report.warnings if "memory" in warning]


def test_an_attempt_that_is_asked_for_more_generations_goes_further(drive, store):
    """As the operator decides it: by the manifest of the attempt before."""
    assert drive(1).exit_code == 0
    before = manifest_of(store)
    assert len(before.generations) == before.generations_asked
    more = before.generations_asked + 1

    result = drive(2, population={"generations": more})

    assert result.exit_code == 0, result.output
    assert end_of(store, 2).end_class == "ok"
    after = manifest_of(store)
    assert (len(after.generations), after.generations_asked, after.attempt) == (more, more, 2)


def test_a_wish_to_finish_makes_the_generation_the_last_one_and_writes_results(drive, store, monkeypatch):
    """The results are those of a run of so many generations, whatever has been paid."""

    class Finishing(ToyTrainer):
        def train_generation(self, task, progress=None):
            if (task.generation, task.cohort) == (1, 0):
                wanted = Wish(attempt=1, pause=True, finish=True, why="2.04 of 2.00 USD are used")
                store.write("wish.json", wanted.to_bytes())
                store.write("cost.json", CostRecord(amount=2.04, currency="USD").to_bytes())
            return super().train_generation(task, progress)

    def make(spec, data):
        return Finishing(spec.population.seed, data.trials, data.time, data.neurons)

    monkeypatch.setattr(cli, "make_trainer", make)

    result = drive(1)

    assert result.exit_code == 0, result.output
    assert "this generation is to be the last one: 2.04 of 2.00 USD are used" in result.stderr
    found = manifest_of(store)
    assert (found.generation, found.stop_reason) == (1, BUDGET_STOP)
    assert end_of(store, 1).end_class == "ok"
    results = json.loads(store.read("results.json").content)
    assert (results["generations"], results["stop_reason"]) == (2, BUDGET_STOP)
    assert "rates.h5" in store.names()
