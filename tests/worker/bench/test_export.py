"""What is exported is whole: the arguments that the program's text takes, and the results it should give."""

import gzip
import importlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from lfads_worker.bench import __main__ as command
from lfads_worker.bench import export as exporting
from lfads_worker.bench.programs import ROOM_FOR_OTHERS
from lfads_worker.bench.shapes import SHAPES
from lfads_worker.execution.device import Devices
from lfads_worker.execution.environment import xla_flags_for_gpus


@pytest.fixture(scope="module")
def xla_exported(tmp_path_factory):
    """A folder with the program of a tiny cohort of three."""
    folder = tmp_path_factory.mktemp("exported") / "tiny"
    exporting.export(folder, SHAPES["tiny"], members=3, steps=2)
    return folder


@pytest.fixture
def run_exported(monkeypatch):
    """The script for the other machine, imported as it is when run by path; jax is not wanted yet."""
    monkeypatch.syspath_prepend(str(Path(exporting.__file__).parent))
    return importlib.import_module("run_exported")


def _arrays(file):
    with np.load(file) as archive:
        return [archive[f"arr_{i}"] for i in range(len(archive.files))]


@pytest.mark.timeout(600)
def test_arguments_are_those_of_the_programs_text(xla_exported):
    with gzip.open(xla_exported / "program.mlir.gz", "rt") as file:
        (signature,) = [line for line in file if re.search(r"func\.func (public )?@main\(", line)]
    wanted = re.findall(r"%arg\d+: tensor<([^>]*)>", signature.partition(" -> ")[0])

    arguments = _arrays(xla_exported / "arguments.npz")

    types = {"float32": "f32", "int32": "i32", "uint32": "ui32"}
    assert ["x".join([*map(str, a.shape), types[str(a.dtype)]]) for a in arguments] == wanted


@pytest.mark.timeout(600)
def test_results_are_the_state_after_the_steps_and_the_log(xla_exported):
    facts = json.loads((xla_exported / "facts.json").read_text())
    before, after = _arrays(xla_exported / "arguments.npz"), _arrays(xla_exported / "results.npz")

    assert facts == {"shape": "tiny", "members": 3, "steps": 2, "state_arrays": 4}
    weights, _, _, steps, log = after
    assert (weights != before[0]).any(1).all()
    np.testing.assert_array_equal(steps, [2, 2, 2])
    assert log.shape[-1] == 3


def test_alone_it_sets_what_the_benchmark_sets(run_exported):
    flags, memory = run_exported.ENVIRONMENT.values()

    assert flags == xla_flags_for_gpus("")
    assert ROOM_FOR_OTHERS["XLA_PYTHON_CLIENT_PREALLOCATE"] == memory


@pytest.mark.parametrize(
    ("found", "wanted", "difference"),
    [
        pytest.param([3.0, 4.0], [3.0, 4.0], 0.0, id="same"),
        pytest.param([3.0, 4.5], [3.0, 4.0], 0.1, id="a tenth of the norm"),
        pytest.param([np.nan, 4.0], [np.nan, 4.0], 0.0, id="nothing held out on both sides"),
        pytest.param([np.nan, 4.0], [3.0, 4.0], np.inf, id="diverged there"),
        pytest.param([0.0, 0.0], [0.0, 0.0], 0.0, id="zeros"),
    ],
)
def test_differences_are_relative_to_tensorflows_results(run_exported, found, wanted, difference):
    assert run_exported._relative_difference(np.array(found), np.array(wanted)) == pytest.approx(difference)


def test_the_number_of_steps_can_be_chosen(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(exporting, "export", lambda folder, *how: made.append(how))
    app = typer.Typer()
    app.command()(command.bench)
    options = ["--export", str(tmp_path), "--shape", "tiny", "--members", "3"]

    assert CliRunner().invoke(app, options).exit_code == 0
    assert CliRunner().invoke(app, [*options, "--steps", "4"]).exit_code == 0

    assert made == [(SHAPES["tiny"], 3, 10), (SHAPES["tiny"], 3, 4)]


def test_the_page_names_the_gpu_and_its_host():
    told = command.describe(Devices("gpu", 1, model="NVIDIA L4"))

    assert f"on 1 GPU (NVIDIA L4, host {command.processor()})" in told


def test_all_sizes_are_measured_unless_some_are_asked_for():
    assert command.settings_for(Devices("cpu", 2)).members == (1, 2, 4, 8, 16)
