"""The command line from the outside, with a toy in place of TensorFlow."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml

from autolfads_spec import dump_run, load_run
from autolfads_spec.manifest import Manifest
from autolfads_spec.store import FolderStore
from lfads_worker import cli, output_folder, placement
from lfads_worker.data.source import fingerprint
from lfads_worker.data.synthetic import lorenz
from lfads_worker.data.writing import write_hdf5
from lfads_worker.driver import Driver
from lfads_worker.execution import choice, device
from lfads_worker.execution.device import Devices
from lfads_worker.execution.toy import ToyTrainer
from lfads_worker.failures import EXIT_CODES
from lfads_worker.results import takeover
from lfads_worker.results.commit import Commits
from lfads_worker.results.output import in_folder
from lfads_worker.training.state import CohortState
from toy_command import made_by


@pytest.fixture
def spec_file(invoke, make_run, tmp_path):
    """run.yaml with its recording; the recording has known rates."""
    made = invoke(
        "synthesize", "lorenz", "data.h5", "--conditions", 4, "--trials-per-condition", 15, "--bins", 10
    )
    assert made.exit_code == 0
    path = tmp_path / "run.yaml"
    path.write_text(dump_run(make_run(output={"posteriorSamples": 2, "report": False})))
    return path


@pytest.fixture(scope="session")
def literature_run(tmp_path_factory):
    """A folder with a run.yaml and a recording of the literature's size, true rates included."""
    folder = tmp_path_factory.mktemp("literature")
    write_hdf5(lorenz(neurons=29, conditions=65, trials_per_condition=24, bins=50), folder / "data.h5")
    document = {
        "apiVersion": "autolfads.dev/v1alpha1",
        "kind": "AutoLFADSRun",
        "metadata": {"name": "literature"},
        "spec": {"data": {"uri": "data.h5"}, "output": {"uri": "out"}},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(document))
    return folder


def change(path, *keys, value):
    document = yaml.safe_load(path.read_text())
    block = document
    for key in keys[:-1]:
        block = block[key]
    block[keys[-1]] = value
    path.write_text(yaml.safe_dump(document))


def test_a_run_goes_from_yaml_to_results(invoke, spec_file, tmp_path):
    result = invoke("run", spec_file, "--workers", 0)

    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "out" / "results.json").read_text())
    assert document["generations"] == 4
    assert (tmp_path / "out" / "rates.h5").is_file()
    assert "trials" in result.stdout
    assert "done: all 4 generations are done" in result.stdout
    assert "bits per spike" in result.stdout


def test_progress_is_plain_lines_where_there_is_no_terminal(invoke, spec_file):
    result = invoke("run", spec_file, "--workers", 0)

    assert "toy: 5 members in 3 cohorts, up to 4 generations" in result.stderr
    assert "training on this process, one cohort after another" in result.stderr
    assert re.search(
        r"^generation 0 \(1 of 4\): best \d+\.\d{4} \(member \d\), \d exploited", result.stderr, re.M
    )
    assert "\x1b" not in result.output


def test_the_log_file_has_what_was_said(invoke, spec_file, tmp_path):
    invoke("run", spec_file, "--workers", 0)

    log = (tmp_path / "out" / "autolfads.log").read_text()
    assert "generation 3 (4 of 4)" in log


def test_quiet_says_nothing_but_warnings(invoke, spec_file):
    result = invoke("run", spec_file, "--workers", 0, "--quiet")

    assert result.exit_code == 0
    assert result.stdout == ""
    assert all(line.startswith("warning: ") for line in result.stderr.splitlines())


def test_a_finished_run_says_so_and_trains_nothing(invoke, spec_file, tmp_path):
    invoke("run", spec_file, "--workers", 0)
    before = (tmp_path / "out" / "results.json").stat().st_mtime_ns

    result = invoke("run", spec_file, "--workers", 0)

    assert result.exit_code == 0
    assert result.output == "toy is finished: its results are in out\n"
    assert (tmp_path / "out" / "results.json").stat().st_mtime_ns == before


def test_the_output_folder_can_be_given(invoke, spec_file, tmp_path):
    result = invoke("run", spec_file, "--workers", 0, "--output", "elsewhere")

    assert result.exit_code == 0
    assert (tmp_path / "elsewhere" / "results.json").is_file()
    assert not (tmp_path / "out").exists()
    written = yaml.safe_load((tmp_path / "elsewhere" / "run.yaml").read_text())
    assert written["spec"]["output"]["uri"] == "elsewhere"


def test_two_runs_with_the_same_seed_leave_the_same_files(invoke, spec_file, tmp_path):
    invoke("run", spec_file, "--workers", 0, "--output", "one")
    invoke("run", spec_file, "--workers", 0, "--output", "two")

    for name in ("decisions.csv", "hyperparameters.csv", "best/weights.npz", "training_logs/member_004.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_settings_for_a_cluster_are_ignored_and_that_is_said_once(invoke, spec_file):
    change(spec_file, "spec", "compute", "accelerator", value={"type": "nvidia-l4"})
    change(spec_file, "spec", "compute", "nodePool", value={"mode": "Existing", "name": "gpus"})

    result = invoke("run", spec_file, "--workers", 0)

    assert result.stderr.count("ignored on this machine: compute.accelerator, compute.nodePool") == 1


def test_more_workers_than_cohorts_is_said(invoke, spec_file, monkeypatch):
    chosen = []
    monkeypatch.setattr(choice.Choice, "open", lambda self, *how, **more: chosen.append(self) or 1 / 0)

    result = invoke("run", spec_file, "--workers", 8)

    assert chosen[0].workers == 3
    assert (
        "wanted work for 8 workers, found 3 cohorts of up to 2 members, so 5 would have nothing to do; "
        "ask for fewer workers (--workers)" in result.stderr
    )


def interrupted_after_a_commit(invoke, spec_file, monkeypatch):
    with monkeypatch.context() as patch:
        commit = Commits.commit

        def commit_and_stop(self, position):
            commit(self, position)
            raise KeyboardInterrupt

        patch.setattr(Commits, "commit", commit_and_stop)
        assert invoke("run", spec_file, "--workers", 0).exit_code == 130


def test_a_run_that_goes_on_on_another_kind_of_device_says_so_and_keeps_its_cut(
    invoke, spec_file, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(device, "find_devices", lambda: Devices("gpu", 1, model="NVIDIA L4"))
        interrupted_after_a_commit(invoke, spec_file, patch)
    manifest = Manifest.model_validate_json((tmp_path / "out" / "manifest.json").read_bytes())
    assert manifest.versions["device"] == "NVIDIA L4"
    assert manifest.cohorts == ((0, 1, 2, 3, 4),)
    chosen = []
    monkeypatch.setattr(device, "find_devices", lambda: Devices("cpu", 4))
    opened = choice.Choice.open
    monkeypatch.setattr(
        choice.Choice, "open", lambda self, *how, **more: chosen.append(self) or opened(self, *how, **more)
    )

    result = invoke("run", spec_file)

    assert result.exit_code == 0
    assert "the run began with device NVIDIA L4 (now CPU)" in result.stderr
    assert chosen == [choice.Choice(0, gpus=False)]  # one cohort needs no workers, whatever a new cut would


def test_a_run_begun_by_a_version_that_wrote_no_device_goes_on_in_silence(
    invoke, spec_file, tmp_path, monkeypatch
):
    interrupted_after_a_commit(invoke, spec_file, monkeypatch)
    path = tmp_path / "out" / "manifest.json"
    manifest = Manifest.model_validate_json(path.read_bytes())
    assert manifest.versions.pop("device") == "CPU"
    path.write_bytes(manifest.to_bytes())

    result = invoke("run", spec_file, "--workers", 0)

    assert result.exit_code == 0
    assert "the run began with" not in result.stderr


def test_gpus_that_are_left_idle_are_said_once(invoke, spec_file, monkeypatch):
    monkeypatch.setattr(device, "tensorflow_has_cuda", lambda: False)
    monkeypatch.setattr(device, "count_gpus", lambda *where: 1)

    result = invoke("run", spec_file, "--workers", 0)

    assert result.exit_code == 0
    assert result.stderr.count("`make setup GPU=1` installs the one with CUDA") == 1


def test_fewer_workers_than_cores_for_want_of_memory_is_said(invoke, spec_file, monkeypatch):
    monkeypatch.setattr(device, "find_devices", lambda: Devices("cpu", 4))
    monkeypatch.setattr(placement, "memory_bytes", lambda: 1_500_000_000)

    result = invoke("run", spec_file)

    assert result.exit_code == 0
    assert result.stderr.count("training in one process instead of 3") == 1


def test_a_run_interrupted_before_its_first_commit_starts_again(invoke, spec_file, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Driver, "run", interrupt)
        result = invoke("run", spec_file, "--workers", 0)
    assert result.exit_code == 130
    assert (
        "interrupted: no generation was committed; the same command starts again: "
        f"autolfads run {spec_file}\n" in result.stderr
    )

    result = invoke("run", spec_file, "--workers", 0)

    assert result.exit_code == 0
    assert "out holds this run without a committed generation; it starts again" in result.stderr


def interrupt(self, start):
    raise KeyboardInterrupt


class Interrupted(ToyTrainer):
    """Is interrupted in the third generation."""

    def train_generation(self, task, progress=None):
        if task.generation == 2:
            raise KeyboardInterrupt
        return super().train_generation(task, progress)


def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(invoke, spec_file, monkeypatch, tmp_path):
    assert invoke("run", spec_file, "--workers", 0).exit_code == 0
    expected = results_in(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")

    with monkeypatch.context() as patch:
        patch.setattr(
            cli, "make_trainer", lambda spec, data: Interrupted(1, data.trials, data.time, data.neurons)
        )
        result = invoke("run", spec_file, "--workers", 0)
    assert result.exit_code == 130
    assert (
        "interrupted: generation 1 and all before it are committed; "
        f"the same command goes on from there: autolfads run {spec_file}\n" in result.stderr
    )
    result = invoke("run", spec_file, "--workers", 0)

    assert result.exit_code == 0
    assert "going on after generation 1: 2 generations" in result.stderr
    assert results_in(tmp_path / "out") == expected


def results_in(folder):
    """Content of every result but measured times, by name."""
    measured = (
        "manifest.json",
        "lease.json",
        "timing.csv",
        "autolfads.log",
        "generations/",
        "checkpoints/",
        ".",
    )
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return {name: (folder / name).read_bytes() for name in names if not name.startswith(measured)}


def test_a_second_driver_stops_and_the_first_goes_on(invoke, spec_file, tmp_path):
    with output_folder.held(in_folder(tmp_path / "out")):
        result = invoke("run", spec_file, "--workers", 0)

    assert result.exit_code == 5
    assert f"found another autolfads run at work in out (process {os.getpid()} on " in result.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == [output_folder.LOCK_NAME]
    assert invoke("run", spec_file, "--workers", 0).exit_code == 0


def test_a_driver_that_was_superseded_stops_and_says_so(invoke, spec_file, monkeypatch, tmp_path):
    class Superseded(ToyTrainer):
        def train_generation(self, task, progress=None):
            if (task.generation, task.cohort) == (1, 0):
                store = FolderStore(tmp_path / "out")
                takeover.take_over(store, load_run(spec_file), fingerprint(tmp_path / "data.h5"), ((0,),), {})
            return super().train_generation(task, progress)

    monkeypatch.setattr(cli, "make_trainer", lambda spec, data: Superseded(1))

    result = invoke("run", spec_file, "--workers", 0)

    assert result.exit_code == 5
    assert "wanted to be the only driver of the run in out, found that another one has taken" in result.stderr
    assert Manifest.model_validate_json((tmp_path / "out" / "manifest.json").read_bytes()).generation == 0


@pytest.mark.parametrize("finished", [True, False])
def test_a_recording_that_has_changed_is_refused(invoke, spec_file, monkeypatch, finished):
    with monkeypatch.context() as patch:
        if not finished:
            patch.setattr(cli, "make_trainer", lambda spec, data: Interrupted(1))
        invoke("run", spec_file, "--workers", 0)
    options = ("--conditions", 4, "--trials-per-condition", 15, "--bins", 10, "--seed", 9, "--overwrite")
    invoke("synthesize", "lorenz", "data.h5", *options)

    result = invoke("run", spec_file, "--workers", 0)

    assert result.exit_code == 5
    assert "wanted the recording that the run in out began with (sha256 " in result.stderr
    assert "found that data.h5 has another content now" in result.stderr


def test_a_finished_run_whose_recording_has_moved_away_is_finished(invoke, spec_file, tmp_path):
    invoke("run", spec_file, "--workers", 0)
    (tmp_path / "data.h5").unlink()

    assert invoke("run", spec_file, "--workers", 0).exit_code == 0


def test_a_fault_of_the_program_names_the_log_of_the_run(invoke, spec_file, monkeypatch, tmp_path):
    monkeypatch.setattr(Driver, "run", lambda self, start: 1 / 0)

    result = invoke("run", spec_file, "--workers", 0)

    assert result.exit_code == 1
    assert "the details are in out/autolfads.log" in result.stderr
    assert "Traceback" not in result.output
    assert "Traceback" in (tmp_path / "out" / "autolfads.log").read_text()


def another_seed(spec_file):
    change(spec_file, "spec", "population", "seed", value=5)


@pytest.mark.parametrize(
    ("command", "prepare", "code", "sentence"),
    [
        pytest.param(["run", "no.yaml"], None, 2, "no.yaml: wanted a YAML file", id="no such file"),
        pytest.param(
            ["run", "run.yaml"],
            lambda path: change(path, "spec", "population", "sise", value=3),
            2,
            "did you mean size?",
            id="a field that does not exist",
        ),
        pytest.param(
            ["run", "run.yaml", "--output", "s3://bucket/x"], None, 2, "s3://bucket/x", id="an unknown store"
        ),
        pytest.param(
            ["run", "run.yaml"],
            lambda path: change(path, "spec", "data", "uri", value="nothing.h5"),
            3,
            "nothing was found at nothing.h5",
            id="no recording",
        ),
        pytest.param(
            ["validate", "run.yaml"],
            lambda path: change(path, "spec", "data", "heldOutNeurons", value=40),
            3,
            "data.heldOutNeurons",
            id="more held out than there are",
        ),
        pytest.param(
            ["run", "run.yaml"],
            lambda path: (path.parent / "out").mkdir() or (path.parent / "out" / "thesis.tex").touch(),
            5,
            "found thesis.tex in out",
            id="a folder with other content",
        ),
        pytest.param(
            ["run", "run.yaml", "--workers", "-1"], None, 2, "--workers", id="fewer than no workers"
        ),
        pytest.param(["ran", "run.yaml"], None, 2, "ran", id="no such command"),
        pytest.param(
            ["synthesize", "lorenz", "data.h5"], None, 5, "one is there already", id="a file that is there"
        ),
        pytest.param(
            ["synthesize", "lorenz", "x.h5", "--neurons", "0"], None, 2, "--neurons", id="no neurons"
        ),
    ],
)
def test_mistakes_are_sentences_with_their_exit_code(invoke, spec_file, command, prepare, code, sentence):
    if prepare:
        prepare(spec_file)

    result = invoke(*command)

    assert result.exit_code == code, result.output
    assert sentence in result.stderr
    assert "Traceback" not in result.output


def test_another_run_in_the_folder_is_not_overwritten(invoke, spec_file):
    invoke("run", spec_file, "--workers", 0)
    another_seed(spec_file)

    result = invoke("run", spec_file, "--workers", 0)

    assert result.exit_code == 5
    assert (
        "found finished results of run toy with other settings in out: population.seed is 1 there and 5 here"
        in result.stderr
    )


def test_all_members_diverged_ends_with_its_code(invoke, spec_file, monkeypatch):
    class Diverging(ToyTrainer):
        def train_generation(self, task, progress=None):
            result = super().train_generation(task, progress)
            result.scores[:] = float("nan")
            return result

    monkeypatch.setattr(cli, "make_trainer", lambda spec, data: Diverging())

    result = invoke("run", spec_file, "--workers", 0)

    assert result.exit_code == 4
    assert "found all 5 diverged" in result.stderr


def test_validate_shows_the_recording_and_writes_nothing(invoke, spec_file, tmp_path):
    before = sorted(path.name for path in tmp_path.iterdir())

    result = invoke("validate", spec_file)

    assert result.exit_code == 0
    assert re.search(r"^trials +60 \(48 training, 12 validation\)$", result.stdout, re.M)
    assert "is valid: 5 members in 3 cohorts" in result.stdout
    assert "warning: 48 training trials are few" in result.stderr
    assert "out holds nothing yet" in result.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_validate_looks_at_the_output_folder(invoke, spec_file, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()

    result = invoke("validate", spec_file)

    assert result.exit_code == 5
    assert "wanted an empty or new folder, found thesis.tex in out" in result.stderr


def test_validate_tells_what_of_the_file_is_not_used(invoke, spec_file):
    change(spec_file, "spec", "data", "rebinMs", value=60)

    result = invoke("validate", spec_file)

    dropped = "the last 1 of 10 bins do not fill a bin of 60 ms and were dropped"
    assert re.search(rf"^note +{dropped}$", result.stdout, re.M)


def test_the_folder_of_the_yaml_itself_is_refused_and_left_alone(invoke, spec_file, tmp_path):
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    result = invoke("run", spec_file, "--workers", 0, "--output", ".")

    assert result.exit_code == 5
    assert "wanted an empty or new folder, found data.h5, run.yaml in ." in result.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_home_folder_is_meant_by_its_sign(invoke, spec_file, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    invoke("run", spec_file, "--workers", 0, "--output", "~/runs/a")

    assert (tmp_path / "home" / "runs" / "a" / "results.json").exists()
    assert not (tmp_path / "~").exists()


def test_validate_does_not_wait_for_gpus_to_wake_up(invoke, spec_file, monkeypatch):
    asked = []
    monkeypatch.setattr(device, "tensorflow_has_cuda", lambda: True)
    monkeypatch.setattr(device, "count_gpus", lambda *where: 1)
    monkeypatch.setattr(device.nvidia, "ask_driver", asked.append)

    assert invoke("validate", spec_file).exit_code == 0
    assert asked[0] <= 3  # of the 5 s in which it is to answer


@pytest.mark.parametrize("system", ["lorenz", "chaotic-rnn"])
def test_synthesized_recordings_can_be_trained_on(invoke, spec_file, system):
    options = ["--conditions", 4, "--trials-per-condition", 20, "--bins", 12, "--neurons", 5, "--overwrite"]
    made = invoke("synthesize", system, "data.h5", *options)
    assert made.exit_code == 0
    assert "80 trials of 12 bins" in made.stdout

    result = invoke("validate", spec_file)

    assert re.search(r"^true rates +in the file$", result.stdout, re.M)


def test_the_same_seed_makes_the_same_file(invoke, tmp_path):
    small = ["--conditions", 2, "--trials-per-condition", 2, "--bins", 5]
    for name, seed in (("one.h5", 3), ("two.h5", 3), ("three.h5", 4)):
        invoke("synthesize", "lorenz", name, "--seed", seed, *small)

    one, two, three = ((tmp_path / f"{name}.h5").read_bytes() for name in ("one", "two", "three"))
    assert one == two
    assert one != three


def test_help_documents_every_exit_code(invoke):
    shown = invoke("--help").stdout

    for code, meaning in EXIT_CODES.items():
        assert re.search(rf"^ +{code}  {re.escape(meaning)}$", shown, re.M)


def test_version(invoke):
    assert re.fullmatch(r"autolfads \d+\.\d+\.\d+\n", invoke("--version").stdout)


def test_validate_is_quick_and_loads_neither_tensorflow_nor_ray(literature_run):
    code = (
        "import sys, time\n"
        "from lfads_worker.cli import app\n"
        "try:\n"
        "    app(['validate', 'run.yaml'])\n"
        "finally:\n"
        "    assert 'tensorflow' not in sys.modules and 'ray' not in sys.modules\n"
        "    print('processor seconds:', time.process_time())\n"  # of all its threads, since it began
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=literature_run, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "is valid" in done.stdout
    assert re.search(r"1560 \(1248 training, 312 validation\)", done.stdout)
    # What it takes of a processor, not of the clock: others may be using the machine.
    assert float(done.stdout.rsplit("processor seconds:", 1)[1]) < 5


def test_python_m_is_the_same_command(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "lfads_worker", "run", "no.yaml"], cwd=tmp_path, capture_output=True, text=True
    )

    assert done.returncode == 2
    assert done.stderr.startswith("error: no.yaml: wanted a YAML file")


@pytest.mark.ray
def test_a_run_on_ray_leaves_what_a_run_in_this_process_leaves(invoke, spec_file, tmp_path):
    invoke("run", spec_file, "--workers", 0, "--output", "serial")
    result = invoke("run", spec_file, "--workers", 2, "--output", "ray")

    assert result.exit_code == 0, result.output
    assert "training on 2 Ray workers, one core each" in result.stderr
    for name in ("decisions.csv", "hyperparameters.csv", "best/weights.npz", "training_logs/member_004.csv"):
        assert (tmp_path / "serial" / name).read_bytes() == (tmp_path / "ray" / name).read_bytes(), name


def test_the_report_is_drawn_with_the_run_and_can_be_drawn_again(invoke, spec_file, tmp_path):
    change(spec_file, "spec", "output", "report", value=True)

    result = invoke("run", spec_file, "--workers", 0)

    assert result.exit_code == 0, result.output
    assert "report: out/report/report.html" in result.stderr
    page = tmp_path / "out" / "report" / "report.html"
    drawn = page.read_bytes()
    assert (tmp_path / "out" / "tensorboard" / "member_004").is_dir()
    page.unlink()
    again = invoke("report", "out")
    assert again.stdout == "report: out/report/report.html\n"
    assert page.read_bytes() == drawn


def test_a_fault_of_a_figure_spoils_no_result(invoke, spec_file, tmp_path, monkeypatch):
    from lfads_worker.report import write

    def fail(root, results):
        raise ZeroDivisionError("no room")

    monkeypatch.setattr(write, "write_report", fail)
    change(spec_file, "spec", "output", "report", value=True)

    result = invoke("run", spec_file, "--workers", 0)

    assert result.exit_code == 0, result.output
    assert (
        "the report could not be drawn (ZeroDivisionError: no room); the results are whole" in result.stderr
    )
    assert (tmp_path / "out" / "results.json").is_file()


def test_a_report_of_no_run_is_refused(invoke):
    result = invoke("report", "nowhere")

    assert result.exit_code == 5
    assert result.stderr.startswith("error: results: the output folder of a finished run is wanted")


def test_new_trials_are_inferred_by_a_finished_run(invoke, spec_file, tmp_path, monkeypatch):
    def by_toy(trained, data, samples):
        row = np.zeros((1, 6), np.float32)
        member = np.array([trained.settings["member"]])
        state = CohortState(member, row, row, row, np.array([1]), np.array([0.5]))
        return made_by(ToyTrainer)(trained.run.spec, data).posterior_averages(state, 0, samples)

    monkeypatch.setattr(cli, "infer_posterior", by_toy)
    invoke("run", spec_file, "--workers", 0)
    invoke("synthesize", "lorenz", "new.h5", "--conditions", 2, "--trials-per-condition", 3, "--bins", 10)

    result = invoke("infer", "out", "new.h5", "--samples", 1)

    assert result.exit_code == 0, result.output
    assert "new trials, neurons: " in result.stdout
    assert "out/inferred/new.h5 and out/inferred/new.mat: rates and factors of 6 trials" in result.stdout
