"""A small real run: its report is there, and it can be applied to recordings.

Real TensorFlow, by the command line; trained by Ray's workers, applied by another process.
"""

import json

import h5py
import numpy as np
import pytest
import yaml

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, autolfads, example):
    folder = tmp_path_factory.mktemp("report")
    sizes = ("--neurons", 8, "--conditions", 6, "--trials-per-condition", 4, "--bins", 12)
    autolfads("synthesize", "lorenz", "data.h5", *sizes, cwd=folder)
    run = example(
        "lorenz/run.yaml",
        data={"uri": "data.h5"},
        output={"uri": "out", "posteriorSamples": 5},
        model={
            **{"icEncoderUnits": 8, "ciEncoderUnits": 8, "controllerUnits": 6},
            **{"generatorUnits": 10, "factors": 4},
        },
        training={"batchSize": 10, "klRamp": {"epochs": 2}, "l2Ramp": {"epochs": 2}},
        population={"size": 4, "generations": 2, "epochsPerGeneration": 5},
    )
    (folder / "run.yaml").write_text(yaml.safe_dump(run))
    autolfads("run", "run.yaml", "--workers", 1, cwd=folder)
    return folder


def test_the_report_of_a_run_is_one_page_with_its_figures(folder):
    page = (folder / "out/report/report.html").read_text()

    assert page.count("data:image/png;base64,") == 6
    assert len(list((folder / "out/report").glob("*.png"))) == 6
    assert "Few trials" in page
    assert len(list((folder / "out/tensorboard").rglob("*tfevents*"))) == 4


def test_drawing_it_again_changes_no_file_of_the_results(folder, autolfads):
    files = json.loads((folder / "out/results.json").read_text())["files"]
    before = {name: (folder / "out" / name).read_bytes() for name in (*files, "results.json")}
    page = (folder / "out/report/report.html").read_bytes()

    autolfads("report", "out", cwd=folder)

    assert {name: (folder / "out" / name).read_bytes() for name in before} == before
    assert (folder / "out/report/report.html").read_bytes() == page


def test_the_runs_own_recording_gives_its_own_rates_bit_for_bit(folder, autolfads):
    done = autolfads("infer", "out", "data.h5", cwd=folder)

    assert "out/inferred/data.h5 and out/inferred/data.mat: rates and factors of 24 trials" in done.stdout
    assert done.stderr == ""
    with h5py.File(folder / "out/rates.h5") as own, h5py.File(folder / "out/inferred/data.h5") as new:
        assert set(own) == set(new)
        merged = [name for name in own if not name.startswith(("train_", "valid_"))]
        for name in merged:
            assert own[name][:].tobytes() == new[name][:].tobytes(), name


def test_new_trials_are_inferred_from_the_posterior_mean(folder, autolfads):
    sizes = ("--neurons", 8, "--conditions", 1, "--trials-per-condition", 3, "--bins", 12)
    autolfads("synthesize", "lorenz", "new.h5", *sizes, "--seed", 1, cwd=folder)

    autolfads("infer", "out", "new.h5", "--out", "mean.h5", "--samples", 0, cwd=folder)

    with h5py.File(folder / "mean.h5") as file:
        assert file["rates"].shape == (3, 12, 8)
        assert np.isfinite(file["rates"][:]).all()
        assert (file["rates_std"][:] == 0).all()


def test_other_neurons_are_refused(folder, autolfads):
    autolfads("synthesize", "lorenz", "other.h5", "--neurons", 9, "--conditions", 2, "--bins", 12, cwd=folder)

    done = autolfads("infer", "out", "other.h5", cwd=folder, status=3)

    assert "the 8 neurons that the model was trained on are wanted, 9 were found" in done.stderr
    assert len(done.stderr.splitlines()) == 1
