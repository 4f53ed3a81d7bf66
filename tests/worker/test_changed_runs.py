"""A run.yaml that was changed between two commands: what goes on, what goes further, and what is refused."""

import shutil

import pytest
import yaml

from autolfads_spec import dump_run, load_run
from autolfads_spec.block import block_class
from autolfads_spec.manifest import Manifest
from autolfads_spec.population import PopulationSpec
from autolfads_spec.run import RunSpec
from lfads_worker import cli, output_folder
from lfads_worker.execution.toy import ToyTrainer
from lfads_worker.results.output import in_folder
from toy_command import made_by

MEASURED = ("manifest.json", "lease.json", "timing.csv", "autolfads.log", "generations/", "checkpoints/", ".")


@pytest.fixture
def spec_file(invoke, make_run, tmp_path):
    """run.yaml with its recording: 4 generations of which none may be the last for want of progress."""
    options = ("--conditions", 4, "--trials-per-condition", 15, "--bins", 10)
    assert invoke("synthesize", "lorenz", "data.h5", *options).exit_code == 0
    path = tmp_path / "run.yaml"
    stopping = {"patience": 100}
    output = {"posteriorSamples": 2, "report": False}
    path.write_text(dump_run(make_run(population={"stopping": stopping}, output=output)))
    return path


@pytest.fixture
def run(invoke, spec_file):
    return lambda *options: invoke("run", spec_file, "--workers", 0, *options)


@pytest.fixture
def change(spec_file):
    """Changes fields of the YAML: `change({"population.generations": 6})`."""

    def change(fields):
        document = yaml.safe_load(spec_file.read_text())
        for name, value in fields.items():
            *blocks, last = name.split(".")
            block = document["spec"]
            for one in blocks:
                block = block[one]
            block[last] = value
        spec_file.write_text(yaml.safe_dump(document))

    return change


class Killed(ToyTrainer):
    """Is interrupted in the third generation."""

    def train_generation(self, task, progress=None):
        if task.generation == 2:
            raise KeyboardInterrupt
        return super().train_generation(task, progress)


@pytest.fixture
def interrupted(run, monkeypatch):
    """Two generations are committed."""
    with monkeypatch.context() as patch:
        patch.setattr(cli, "make_trainer", made_by(Killed))
        assert run().exit_code == 130


@pytest.fixture
def undisturbed(run, tmp_path):
    """What a run leaves that was asked for all this from the beginning."""

    def undisturbed():
        shutil.copytree(tmp_path / "out", tmp_path / "aside")
        shutil.rmtree(tmp_path / "out")
        assert run().exit_code == 0
        found = results_in(tmp_path / "out")
        shutil.rmtree(tmp_path / "out")
        (tmp_path / "aside").rename(tmp_path / "out")
        return found

    return undisturbed


def results_in(folder):
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return {name: (folder / name).read_bytes() for name in names if not name.startswith(MEASURED)}


def everything_in(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def manifest_in(folder):
    return Manifest.from_bytes((folder / "manifest.json").read_bytes())


CHANGES = [
    pytest.param({"population.generations": 6}, "all 6 generations are done", id="more generations"),
    pytest.param(
        {"population.stopping": {"patience": 1, "minImprovement": 0.9}}, "improved by no more", id="stopping"
    ),
    pytest.param(
        {"output.posteriorSamples": 3, "output.formats": ["HDF5"], "output.keepGenerations": 3},
        "all 4 generations are done",
        id="output",
    ),
]


@pytest.mark.parametrize(("fields", "end"), CHANGES)
def test_a_begun_run_goes_on_as_it_is_asked_now(run, interrupted, change, tmp_path, undisturbed, fields, end):
    change(fields)

    result = run()

    assert result.exit_code == 0, result.output
    assert "going on after generation 1" in result.stderr
    assert end in result.output
    assert manifest_in(tmp_path / "out").generations_asked == fields.get("population.generations", 4)
    if "population.stopping" not in fields:  # which an undisturbed run would have ended by earlier
        assert results_in(tmp_path / "out") == undisturbed()


def test_fewer_generations_than_were_asked_for_are_refused(run, interrupted, change, tmp_path):
    change({"population.generations": 3})
    before = everything_in(tmp_path / "out")

    result = run()

    assert result.exit_code == 5
    assert "population.generations: wanted at least 4" in result.stderr
    assert "found 3; it may only grow: give 4 or more, or another output.uri" in result.stderr
    assert everything_in(tmp_path / "out") == before


def test_what_is_refused_for_its_recording_can_still_be_asked_for_as_before(
    run, invoke, interrupted, change, tmp_path
):
    recording = (tmp_path / "data.h5").read_bytes()
    options = ("--conditions", 4, "--trials-per-condition", 15, "--bins", 10, "--seed", 9, "--overwrite")
    invoke("synthesize", "lorenz", "data.h5", *options)
    change({"population.generations": 6})
    before = everything_in(tmp_path / "out")

    result = run()

    assert "wanted the recording that the run in out began with" in result.stderr
    assert {
        path: content for path, content in everything_in(tmp_path / "out").items() if path in before
    } == before
    (tmp_path / "data.h5").write_bytes(recording)
    change({"population.generations": 4})
    assert run().exit_code == 0


def test_what_may_change_is_what_the_api_lets_change():
    changing = {
        f"{name}.{field.alias}": field.json_schema_extra["x-change"]
        for name in ("data", "model", "training", "population")
        for field in block_class(RunSpec.model_fields[name].annotation).model_fields.values()
        if isinstance(field.json_schema_extra, dict) and "x-change" in field.json_schema_extra
    }

    assert changing == {
        "population.generations": "may only grow",
        "population.stopping": "for the next attempt",
    }
    assert {f"population.{name}" for name in output_folder.MAY_CHANGE} == set(changing)
    assert set(output_folder.MAY_CHANGE) < {field.alias for field in PopulationSpec.model_fields.values()}


class TestFinished:
    @pytest.fixture(autouse=True)
    def finished(self, run):
        assert run().exit_code == 0

    def test_a_run_that_used_up_its_generations_goes_further(self, run, change, tmp_path, undisturbed):
        change({"population.generations": 6, "output.formats": ["HDF5"]})
        for stale in ("report/report.html", "tensorboard/member_000/events"):
            (tmp_path / "out" / stale).parent.mkdir(parents=True)
            (tmp_path / "out" / stale).touch()

        result = run()

        assert result.exit_code == 0, result.output
        assert "going on after generation 2" in result.stderr
        assert "stopped: all 6 generations are done" in result.stderr
        assert manifest_in(tmp_path / "out").generation == 5
        assert results_in(tmp_path / "out") == undisturbed()
        assert run().output == "toy is finished: its results are in out\n"

    @pytest.mark.parametrize("has_new_yaml", [True, False])
    def test_it_is_finished_no_longer_once_it_goes_further(
        self, run, change, spec_file, tmp_path, has_new_yaml
    ):
        before = (tmp_path / "out" / "run.yaml").read_bytes()
        change({"population.generations": 6})
        output_folder.claim(load_run(spec_file), in_folder(tmp_path / "out"))
        assert not (tmp_path / "out" / "results.json").exists()
        if not has_new_yaml:  # killed between the two
            (tmp_path / "out" / "run.yaml").write_bytes(before)

        assert "stopped: all 6 generations are done" in run().stderr

    def test_until_its_first_commit_it_can_still_go_further(
        self, run, change, tmp_path, monkeypatch, undisturbed
    ):
        class KilledAtOnce(ToyTrainer):
            def train_generation(self, task, progress=None):
                raise KeyboardInterrupt

        change({"population.generations": 6})
        expected = undisturbed()
        for _ in range(2):
            with monkeypatch.context() as patch:
                patch.setattr(cli, "make_trainer", made_by(KilledAtOnce))
                assert run().exit_code == 130
            manifest = manifest_in(tmp_path / "out")
            assert (manifest.generation, manifest.stop_reason) == (2, None)
            assert [entry.generation for entry in manifest.given_up] == [3]

        assert run().exit_code == 0
        assert results_in(tmp_path / "out") == expected

    def test_without_checkpoints_it_is_refused_and_keeps_its_results(self, run, change, tmp_path):
        shutil.rmtree(tmp_path / "out" / "checkpoints")
        change({"population.generations": 6})
        before = everything_in(tmp_path / "out")

        result = run()

        assert result.exit_code == 5
        assert "with its last checkpoints, to go on to 6" in result.stderr
        assert "its results stay as they are: give the former number or" in result.stderr
        assert everything_in(tmp_path / "out") == before

    def test_another_recording_is_refused_before_anything_is_touched(self, invoke, run, change, tmp_path):
        options = ("--conditions", 4, "--trials-per-condition", 15, "--bins", 10, "--seed", 9, "--overwrite")
        invoke("synthesize", "lorenz", "data.h5", *options)
        change({"population.generations": 6})
        before = everything_in(tmp_path / "out")

        result = run()

        assert result.exit_code == 5
        assert "found that data.h5 has another content now" in result.stderr
        assert everything_in(tmp_path / "out") == before

    @pytest.mark.parametrize(
        ("fields", "difference"),
        [
            ({"output.posteriorSamples": 5}, "output.posteriorSamples is 2 there and 5 here"),
            ({"output.formats": ["Matlab"]}, "output.formats is HDF5, Matlab there and Matlab here"),
            ({"output.report": True}, "output.report is False there and True here"),
            (
                {"population.stopping.patience": 7},
                "population.stopping.patience is 100 there and 7 here",
            ),
        ],
    )
    def test_results_that_are_not_there_are_not_said_to_be(self, run, change, tmp_path, fields, difference):
        change(fields)
        before = everything_in(tmp_path / "out")

        result = run()

        assert result.exit_code == 5
        assert difference in result.stderr
        assert "`autolfads infer out data.h5 --samples N`" in result.stderr
        assert "`autolfads report out`" in result.stderr
        assert everything_in(tmp_path / "out") == before

    def test_what_changes_no_result_is_still_finished(self, run, change):
        change({"output.formats": ["Matlab", "HDF5"], "output.keepGenerations": 7})

        assert run().output == "toy is finished: its results are in out\n"


def test_a_run_that_ended_before_its_generations_were_used_up_goes_no_further(run, change, tmp_path):
    change({"population.stopping": {"patience": 1, "minImprovement": 0.9}})
    assert "improved by no more" in run().stderr
    change({"population.generations": 6})
    before = everything_in(tmp_path / "out")

    result = run()

    assert result.exit_code == 5
    assert "found in out one that ended before" in result.stderr
    assert everything_in(tmp_path / "out") == before


def test_a_run_of_one_generation_goes_further_from_the_beginning(run, change, tmp_path, undisturbed):
    change({"population.generations": 1})
    assert run().exit_code == 0
    change({"population.generations": 3})

    assert run().exit_code == 0
    assert results_in(tmp_path / "out") == undisturbed()
