"""The command line on addresses in a bucket; a toy in place of TensorFlow, in this process."""

import json

import h5py
import numpy as np
import pytest
import yaml

from autolfads_spec import dump_run, load_run
from autolfads_spec.attempt import AttemptEnd, EndClass
from autolfads_spec.manifest import Lease
from autolfads_spec.store import open_store
from lfads_worker import cli
from lfads_worker.data.source import fingerprint
from lfads_worker.execution.toy import ToyTrainer
from lfads_worker.failures import DENIED
from lfads_worker.results import takeover
from lfads_worker.training.averages import PosteriorAverages
from toy_command import made_by

pytestmark = pytest.mark.timeout(300)

SYNTHESIZE = ("--neurons", 5, "--conditions", 4, "--trials-per-condition", 15, "--bins", 6)


@pytest.fixture
def lab(invoke, bucket, tmp_path):
    """A recording in a bucket; `lab(run.yaml's spec…)` writes run.yaml, `lab.run()` runs it."""
    return Lab(invoke, bucket, tmp_path)


class Lab:
    def __init__(self, invoke, bucket, folder):
        self.invoke, self.bucket, self.folder = invoke, bucket, folder
        self.address = f"{bucket}/runs/toy"
        self.store = open_store(self.address)
        self.record()
        self.write()

    def record(self, name="data.h5", *options):
        self.invoke("synthesize", "lorenz", self.folder / name, *SYNTHESIZE, "--overwrite", *options)
        open_store(self.bucket).write_file(name, self.folder / name)

    def write(self, **blocks):
        spec = {
            "data": {"uri": f"{self.bucket}/data.h5"},
            "output": {"uri": self.address, "posteriorSamples": 2, "report": False},
            "training": {"klRamp": {"epochs": 2}, "l2Ramp": {"epochs": 2}},
            "population": {"size": 3, "generations": 3, "epochsPerGeneration": 2},
        }
        for name, block in blocks.items():
            spec[name] = {**spec.get(name, {}), **block}
        head = {"apiVersion": "autolfads.dev/v1alpha1", "kind": "AutoLFADSRun", "metadata": {"name": "toy"}}
        (self.folder / "run.yaml").write_text(yaml.safe_dump({**head, "spec": spec}))

    def run(self, *options):
        return self.invoke("run", self.folder / "run.yaml", "--workers", 0, *options)

    @property
    def spec(self):
        return load_run(self.folder / "run.yaml")


def test_a_run_goes_from_a_bucket_to_a_bucket(lab):
    result = lab.run()

    assert result.exit_code == 0, result.output
    assert f"results: {lab.address} (rates.h5, rates.mat, results.json" in result.stdout
    names = lab.store.names()
    results = json.loads(lab.store.read("results.json").content)
    assert {*results["files"], "results.json", "timing.csv", "manifest.json", "autolfads.log"} <= set(names)
    assert results["data"]["source"] == f"{lab.bucket}/data.h5"
    assert b"generation 2 (3 of 3)" in lab.store.read("autolfads.log").content
    assert [path.name for path in lab.folder.iterdir()] == ["data.h5", "run.yaml"]  # nothing is left here


def test_nothing_stays_in_the_folder_for_temporary_files(lab, monkeypatch, tmp_path):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))

    lab.run()

    assert lab.store.version("results.json")
    assert list((tmp_path / "temporary").iterdir()) == []


def test_the_mark_of_a_finished_run_is_the_last_write(lab, proxy):
    lab.run()

    written = [request.name for request in proxy.requests if request.kind in ("write", "begin")]
    order = [name.removeprefix("runs/toy/") for name in written]
    assert order.count("results.json") == 1
    assert set(order[order.index("results.json") + 1 :]) <= {"autolfads.log"}


def test_validate_reads_the_bucket(lab):
    result = lab.invoke("validate", "run.yaml")

    assert result.exit_code == 0, result.output
    assert f"recording          {lab.bucket}/data.h5" in result.stdout
    assert lab.store.entries() == []


def test_a_finished_run_says_so_and_trains_nothing(lab):
    lab.run()
    before = lab.store.version("results.json")

    result = lab.run()

    assert (result.exit_code, result.stdout) == (0, f"toy is finished: its results are in {lab.address}\n")
    assert lab.store.version("results.json") == before


def downloads(proxy, name="data.h5"):
    return [request for request in proxy.requests if request.kind == "read" and name in request.path]


def test_a_finished_run_does_not_download_its_recording_again(lab, proxy):
    lab.run()
    assert downloads(proxy)
    proxy.requests.clear()

    assert lab.run().exit_code == 0
    assert downloads(proxy) == []


@pytest.mark.parametrize("lost", ["the manifest", "the version"])
def test_a_recording_of_another_version_is_compared_by_its_content(lab, proxy, lost):
    lab.run()
    if lost == "the manifest":
        lab.store.delete("manifest.json")
    else:
        lab.record()  # the same bytes
    proxy.requests.clear()

    assert lab.run().exit_code == 0
    assert downloads(proxy)


def test_a_recording_that_is_replaced_while_it_is_read_has_no_version(lab, proxy):
    def replacing(request, pass_on):
        proxy.script = lambda request: None
        answer = pass_on(request)
        lab.record("data.h5", "--seed", 9)
        return answer

    proxy.script = lambda request: replacing if downloads(proxy)[-1:] == [request] else None
    lab.run()
    manifest = json.loads(lab.store.read("manifest.json").content)
    assert manifest["recording_version"] is None

    assert lab.run().exit_code == 5  # the file is not the one that was trained on


class Interrupted(ToyTrainer):
    def train_generation(self, task, progress=None):
        if task.generation == 2:
            raise KeyboardInterrupt
        return super().train_generation(task, progress)


def interrupted(lab, monkeypatch, trainer=Interrupted):
    with monkeypatch.context() as patch:
        patch.setattr(cli, "make_trainer", made_by(trainer))
        return lab.run()


def results_of(store):
    """Content of every result but measured times, by name."""
    measured = ("manifest", "lease", "timing", "autolfads", "generations/", "checkpoints/")
    return {name: store.read(name).content for name in store.names() if not name.startswith(measured)}


def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(lab, monkeypatch):
    lab.run()
    expected = results_of(lab.store)
    for name in lab.store.names():
        lab.store.delete(name)

    result = interrupted(lab, monkeypatch)
    assert result.exit_code == 130
    assert "interrupted: generation 1 and all before it are committed; the same command goes" in result.stderr
    assert b"generation 1 (2 of 3)" in lab.store.read("autolfads.log").content
    result = lab.run()

    assert result.exit_code == 0, result.output
    assert "going on after generation 1" in result.stderr
    assert results_of(lab.store) == expected
    log = lab.store.read("autolfads.log").content
    assert log.index(b"generation 0 (1 of 3)") < log.index(b"going on after generation 1")


def test_a_folder_gives_the_same_bytes(lab):
    lab.run()
    lab.run("--output", "out")

    here, there = results_of(open_store("out")), results_of(lab.store)
    address = {"run.yaml", "results.json"}  # which hold the address, and its checksum
    assert here.keys() == there.keys()
    assert [name for name in here if here[name] != there[name] and name not in address] == []
    assert here["run.yaml"].replace(b"uri: out", f"uri: {lab.address}".encode()) == there["run.yaml"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param({"population": {"seed": 9}}, "population.seed is 0 there and 9 here", id="settings"),
        pytest.param({"resume": {"policy": "Never"}}, "resume.policy is Never, found the begin", id="never"),
    ],
)
def test_the_folder_of_another_run_is_left_alone(lab, monkeypatch, change, sentence):
    interrupted(lab, monkeypatch)
    before = {name: lab.store.version(name) for name in lab.store.names()}
    lab.write(**change)

    result = lab.run()

    assert result.exit_code == 5
    assert sentence in result.stderr
    assert {name: lab.store.version(name) for name in lab.store.names()} == before


def test_a_folder_with_anything_else_is_left_alone(lab):
    lab.store.write("thesis.tex", b"")
    lab.store.write("figures/one.png", b"")

    result = lab.run()

    assert result.exit_code == 5
    assert f"found figures, thesis.tex in {lab.address}; give another folder" in result.stderr


def test_a_run_that_claims_the_same_folder_in_between_keeps_it(lab, monkeypatch):
    from lfads_worker import local_run

    def meanwhile(*arguments):
        theirs = lab.spec.model_copy(update={"spec": lab.spec.spec.model_copy(update={"data": other})})
        lab.store.write("run.yaml", dump_run(theirs).encode())
        return real(*arguments)

    other = lab.spec.spec.data.model_copy(update={"uri": "gs://theirs/data.h5"})
    real = local_run.prepare
    monkeypatch.setattr(local_run, "prepare", meanwhile)

    result = lab.run()

    assert result.exit_code == 5
    assert "data.uri is gs://theirs/data.h5 there" in result.stderr
    assert lab.store.names() == ["run.yaml"]


def test_a_driver_that_was_superseded_stops_and_leaves_everything_to_the_other(lab, monkeypatch):
    versions = []

    class Superseded(ToyTrainer):
        def train_generation(self, task, progress=None):
            if (task.generation, task.cohort) == (1, 0):
                found = fingerprint(lab.folder / "data.h5")
                takeover.take_over(lab.store, lab.spec, found, ((0, 1, 2),), {})
                versions.append({name: lab.store.version(name) for name in lab.store.names()})
            return super().train_generation(task, progress)

    result = interrupted(lab, monkeypatch, Superseded)

    assert result.exit_code == 5
    assert f"only driver of the run in {lab.address}, found that another one has taken it" in result.stderr
    # It finds out when it commits; until then it has written what nothing points to.
    pointless = {name for name in lab.store.names() if "/000001" in name}
    now = {name: lab.store.version(name) for name in lab.store.names() if name not in pointless}
    assert now == versions[0]
    assert {"manifest.json", "lease.json", "autolfads.log", "generations/000000.json"} <= set(now)


@pytest.mark.parametrize("finished", [True, False])
def test_a_recording_that_has_changed_is_refused(lab, monkeypatch, finished):
    lab.run() if finished else interrupted(lab, monkeypatch)
    lab.record("data.h5", "--seed", 9)

    result = lab.run()

    assert result.exit_code == 5
    assert f"found that {lab.bucket}/data.h5 has another content now" in result.stderr


@pytest.mark.parametrize(
    ("uri", "code", "sentence"),
    [
        pytest.param("{bucket}/nothing.h5", 3, "nothing was found at {bucket}/nothing.h5; check", id="file"),
        pytest.param("gs://no-such-lab/a.h5", 3, "data.uri: wanted to read gs://no-such-lab/a", id="bucket"),
        pytest.param("{bucket}/empty.h5", 3, "{bucket}/empty.h5 is empty (0 bytes)", id="empty"),
        pytest.param("{bucket}/text.h5", 3, "text.h5 is none of these", id="no recording"),
    ],
)  # fmt: skip
def test_a_recording_that_cannot_be_used_is_a_sentence(lab, uri, code, sentence):
    open_store(lab.bucket).write("empty.h5", b"")
    open_store(lab.bucket).write("text.h5", b"a text")
    lab.write(data={"uri": uri.format(bucket=lab.bucket)})

    result = lab.invoke("validate", "run.yaml")

    assert result.exit_code == code
    assert sentence.format(bucket=lab.bucket) in result.stderr


@pytest.mark.parametrize("denied", ["data.h5", "toy"])
def test_a_role_that_is_missing_has_an_exit_code_and_if_it_can_a_last_word(lab, proxy, faults, denied):
    lab.store.write("lease.json", Lease(attempt=1).to_bytes())
    refuse = faults.status(403, "Caller does not have storage.objects.get access to the object.")
    proxy.script = lambda request: (
        refuse if denied in request.path or denied in (request.name or "") else None
    )

    result = lab.run("--attempt", 1)
    proxy.script = lambda request: None

    assert result.exit_code == DENIED, result.stderr
    assert "may not (storage.objects.get); give it the role roles/storage.object" in result.stderr
    if denied == "toy":  # its own folder
        assert lab.store.names() == ["lease.json"]
    else:
        word = AttemptEnd.model_validate_json(lab.store.read("attempts/01/end.json").content)
        assert word.end_class is EndClass.INPUT_DENIED
        assert f"the role roles/storage.objectViewer on {lab.bucket}" in word.message


def test_no_room_for_the_recording_is_a_sentence(lab, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(
        "autolfads_spec.bucket.BucketStore.read_file",
        lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")),
    )

    result = lab.invoke("validate", "run.yaml")

    assert result.exit_code == 3
    assert f"is wanted in {tmp_path}, that failed (No space left on device); make space, or set TMPDIR" in (
        result.stderr
    )


def test_a_bucket_that_stays_away_ends_the_run_with_all_that_is_committed(lab, faults, monkeypatch):
    class Away(ToyTrainer):
        def train_generation(self, task, progress=None):
            if task.generation == 2:
                faults.always("any", faults.status(503))
            return super().train_generation(task, progress)

    monkeypatch.setenv("AUTOLFADS_STORE_PATIENCE", "0.3")

    result = interrupted(lab, monkeypatch, Away)

    assert result.exit_code == 5
    assert "found no answer that helps (HTTP 503)" in result.stderr
    assert "(generation 1 and all before it are committed)" in result.stderr
    faults.once("nothing")
    assert lab.run().exit_code == 0


def infer(trained, data, samples):
    def latent(width):
        return np.zeros((data.trials, data.time, width), np.float32)

    once = np.ones((data.trials, 2), np.float32)
    wide = ("factors", "factors_std", "generator_states", "generator_states_std")
    none = ("inferred_inputs", "inferred_inputs_std", "generator_inputs", "controller_states")
    return PosteriorAverages(
        rates=data.spikes,
        rates_std=latent(data.neurons),
        **{name: latent(3) for name in wide},
        **{name: latent(0) for name in (*none, "co_means", "co_stds")},
        **{name: once for name in ("ic_mean", "ic_std", "initial_states", "initial_states_std")},
        samples=samples,
    )


def test_new_trials_are_inferred_from_a_bucket_into_it(lab, monkeypatch):
    monkeypatch.setattr(cli, "infer_posterior", infer)
    lab.run()
    lab.record("monday.h5", "--seed", 3)

    result = lab.invoke("infer", lab.address, f"{lab.bucket}/monday.h5")

    assert result.exit_code == 0, result.output
    there = f"{lab.address}/inferred/monday.h5 and {lab.address}/inferred/monday.mat: rates and factors of 60"
    assert there in result.stdout
    lab.store.read_file("inferred/monday.h5", lab.folder / "back.h5")
    with h5py.File(lab.folder / "back.h5") as file:
        assert file["rates"].shape == (60, 6, 5)
    again = lab.invoke("infer", lab.address, f"{lab.bucket}/monday.h5")
    assert again.exit_code == 5
    assert f"{lab.address}/inferred/monday.h5 and" in again.stderr


@pytest.mark.parametrize("place", ["{bucket}/elsewhere", "here"])
def test_inferred_rates_may_go_elsewhere(lab, monkeypatch, place):
    monkeypatch.setattr(cli, "infer_posterior", infer)
    lab.run()
    place = place.format(bucket=lab.bucket)

    result = lab.invoke("infer", lab.address, "data.h5", "--out", f"{place}/mean.h5")

    assert result.exit_code == 0, result.output
    assert open_store(place).names() == ["mean.h5", "mean.mat"]


def test_a_report_is_drawn_again_in_the_bucket(lab):
    lab.run()
    before = {name: lab.store.version(name) for name in lab.store.names()}

    result = lab.invoke("report", lab.address)

    assert result.exit_code == 0, result.output
    assert f"report: {lab.address}/report/report.html" in result.stdout
    assert lab.store.read("report/report.html").content.startswith(b"<!doctype html>")
    assert {name: lab.store.version(name) for name in before} == before


def test_a_report_of_nothing_is_a_sentence(lab):
    result = lab.invoke("report", f"{lab.bucket}/nothing")

    assert result.exit_code == 5
    assert f"is wanted, {lab.bucket}/nothing is empty or not there" in result.stderr


def test_a_damaged_result_is_named_by_its_address(lab):
    lab.run()
    lab.store.write("population.csv", b"half")

    result = lab.invoke("report", lab.address)

    assert result.exit_code == 5
    assert f"whole files of a finished run are wanted, {lab.address} has one that cannot" in result.stderr
