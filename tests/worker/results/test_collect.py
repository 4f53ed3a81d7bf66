import hashlib
import json
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from autolfads_spec import load_run
from lfads_worker.data.check import check
from lfads_worker.errors import OutputError
from lfads_worker.results import collect as collecting
from lfads_worker.results.collect import collect
from lfads_worker.results.output import in_folder
from lfads_worker.results.weights import named_arrays

MEMBERS = range(4)
FILES = {
    "run.yaml",
    "data_check.json",
    "population.csv",
    "hyperparameters.csv",
    "decisions.csv",
    *(f"training_logs/member_00{member}.csv" for member in MEMBERS),
    "best/weights.npz",
    "best/settings.json",
    "rates.h5",
    "rates.mat",
}
UNLISTED = {"results.json", "timing.csv"}


@pytest.fixture
def collect_into(recording, posterior, history):
    def collect_run(folder, data=recording, before_mark=lambda document: None, **output):
        run = load_run(
            {
                "apiVersion": "autolfads.dev/v1alpha1",
                "kind": "AutoLFADSRun",
                "metadata": {"name": "demo"},
                "spec": {
                    "data": {"uri": "data.h5"},
                    "output": {"uri": str(folder), **output},
                    "population": {"size": 4, "seed": 7},
                },
            }
        )
        weights = named_arrays(history.best.state.weights[0], [("a/kernel", (2, 2)), ("bias", (2,))])
        output = in_folder(Path(folder))
        return collect(run, data, check(data), history, posterior, weights, output, before_mark)

    return collect_run


def files_in(folder):
    return {str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()}


def read_json(path):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def test_everything_is_there_and_nothing_else(tmp_path, collect_into):
    collect_into(tmp_path / "out")

    assert files_in(tmp_path / "out") == FILES | UNLISTED


def test_results_name_every_other_result_with_checksum_and_size(tmp_path, collect_into):
    collect_into(tmp_path)

    listed = read_json(tmp_path / "results.json")["files"]
    assert set(listed) == FILES
    for name, record in listed.items():
        content = (tmp_path / name).read_bytes()
        assert record == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def test_results_say_what_was_reached_from_what_and_by_which_versions(tmp_path, collect_into, history):
    returned = collect_into(tmp_path)

    found = read_json(tmp_path / "results.json")
    assert list(found) == list(returned)
    assert (found["run"], found["seed"]) == ("demo", 7)
    assert (found["generations"], found["epochs"], found["members"]) == (2, 5, 4)
    assert found["stop_reason"] == "enough"
    assert found["best"] == {
        "generation": 1,
        "member": 2,
        "score": 0.1875,
        "valid_nll": 3.0,
        "valid_nll_held_out": None,  # NaN in the log: nothing was held out there
        "train_nll": 2.0,
        "hyperparameters": dict(history.best.values),
    }
    assert found["posterior_samples"] == 50
    assert found["data"]["fingerprint"] == "ab" * 32
    assert found["versions"]["tensorflow"]
    assert found["notes"] == []
    held_out = found["metrics"]["valid"]["held_out"]
    assert set(held_out) == {"nll", "bits_per_spike", "oracle_bits_per_spike", "share_of_oracle"}
    assert len(found["metrics"]["valid"]["true_rates"]["r2_per_neuron"]) == 5


def test_best_settings_and_weights_belong_together(tmp_path, collect_into, history):
    collect_into(tmp_path)

    settings = read_json(tmp_path / "best" / "settings.json")
    assert (settings["generation"], settings["member"], settings["score"]) == (1, 2, 0.1875)
    assert settings["hyperparameters"] == dict(history.best.values)
    assert settings["model"]["generatorUnits"] == 64
    assert settings["recording"]["neurons"] == 5
    with np.load(tmp_path / "best" / "weights.npz") as weights:
        assert settings["parameters"] == {name: list(weights[name].shape) for name in weights.files}


def test_the_resolved_run_reads_back(tmp_path, collect_into):
    collect_into(tmp_path)

    run = load_run(tmp_path / "run.yaml")
    assert (run.metadata.name, run.spec.population.size, run.spec.population.seed) == ("demo", 4, 7)


def test_the_data_check_is_kept(tmp_path, collect_into):
    collect_into(tmp_path)

    found = read_json(tmp_path / "data_check.json")
    assert (found["trials"], found["neurons"], found["silent_neurons"]) == (10, 5, [])
    assert [warning[:28] for warning in found["warnings"]] == ["8 training trials are few (u"]


def test_rates_of_the_best_member_carry_its_name(tmp_path, collect_into):
    collect_into(tmp_path)

    with h5py.File(tmp_path / "rates.h5") as file:
        assert (file.attrs["generation"], file.attrs["member"], file.attrs["score"]) == (1, 2, 0.1875)


@pytest.mark.parametrize(("formats", "left_out"), [(["HDF5"], "rates.mat"), (["Matlab"], "rates.h5")])
def test_only_the_formats_asked_for_are_written(tmp_path, collect_into, formats, left_out):
    found = collect_into(tmp_path, formats=formats)

    assert files_in(tmp_path) == (FILES | UNLISTED) - {left_out}
    assert left_out not in found["files"]


def test_all_other_files_are_there_before_the_run_counts_as_finished(tmp_path, collect_into, history):
    seen = []

    def look(document):
        seen.append((document["best"]["member"], files_in(tmp_path)))

    collect_into(tmp_path, before_mark=look)

    ((member, files),) = seen
    assert member == history.best.member
    assert files_in(tmp_path) - files == {"results.json"}


def test_a_failure_in_between_leaves_no_mark_and_no_half_file(tmp_path, collect_into, monkeypatch):
    collect_into(tmp_path)

    def fail(path, *rest):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(collecting.rates_matlab, "write", fail)
    with pytest.raises(OutputError, match=r"rates\.mat should be written.*No space left"):
        collect_into(tmp_path)

    assert files_in(tmp_path) == FILES | {
        "timing.csv"
    }  # results.json, of the first time, is gone; rates.mat is the old one, whole
    assert (tmp_path / "rates.mat").read_bytes() != b"half"


def test_collecting_again_after_a_kill_removes_leftovers(tmp_path, collect_into):
    (tmp_path / ".rates.h5.00000000.partial").write_text("half")

    collect_into(tmp_path)

    assert files_in(tmp_path) == FILES | UNLISTED


def test_a_variable_too_large_for_matlab_is_noted(tmp_path, collect_into, posterior, monkeypatch, caplog):
    limit = posterior.generator_states.nbytes - 1
    monkeypatch.setattr(collecting.rates_matlab, "LARGEST_VARIABLE_BYTES", limit)

    found = collect_into(tmp_path)

    assert [note.split(" is larger")[0] for note in found["notes"]] == [
        "rates.mat: generator_states",
        "rates.mat: generator_states_std",
    ]
    assert [record.message for record in caplog.records] == found["notes"]


def test_every_result_is_the_same_when_done_again(tmp_path, collect_into, monkeypatch):
    collect_into(tmp_path)
    first = {name: (tmp_path / name).read_bytes() for name in files_in(tmp_path)}
    monkeypatch.setattr(time, "asctime", lambda: "another time")  # scipy's, in the header of rates.mat

    collect_into(tmp_path)

    assert first == {name: (tmp_path / name).read_bytes() for name in files_in(tmp_path)}


def test_an_output_folder_that_is_a_file_is_refused_by_a_sentence(tmp_path, collect_into):
    (tmp_path / "out").write_text("a file")

    with pytest.raises(OutputError, match="check that the output is a folder"):
        collect_into(tmp_path / "out")
