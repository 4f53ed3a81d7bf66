"""`make demo`'s run, half as large and a third as long: inferred rates that a neuroscientist would believe.

Seed 1 reaches a pooled squared Pearson of 0.915 with 4 members after 3 generations, of 0.936 after 5, and of
0.956 with all 8 after 10.
"""

import csv
import subprocess

import h5py
import numpy as np
import pytest
import yaml

MEMBERS, GENERATIONS = 4, 3

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, autolfads, example):
    """Folder of the demo's run, and what the command printed."""
    folder = tmp_path_factory.mktemp("lorenz")
    run = example("lorenz/run.yaml", population={"size": MEMBERS, "generations": GENERATIONS})
    autolfads("synthesize", "lorenz", run["spec"]["data"]["uri"], "--trials-per-condition", 10, cwd=folder)
    (folder / "run.yaml").write_text(yaml.safe_dump(run))
    done = autolfads("run", "run.yaml", cwd=folder)
    return folder, done.stdout + done.stderr


@pytest.fixture(scope="module")
def output(finished, example):
    return finished[0] / example("lorenz/run.yaml")["spec"]["output"]["uri"]


def test_inferred_rates_are_the_true_rates(output, results_of):
    valid = results_of(output).metrics.valid

    print(
        f"pooled squared Pearson {valid.true_rates.pooled_squared_pearson:.3f}, "
        f"R² {valid.true_rates.r2_mean:.3f}, {valid.held_in.bits_per_spike:.3f} bits per spike, "
        f"{100 * valid.held_in.share_of_oracle:.1f} % of the oracle's"
    )
    assert valid.true_rates.pooled_squared_pearson >= 0.89
    assert len(valid.true_rates.r2_per_neuron) == 29
    assert valid.held_in.share_of_oracle > 0.9


def test_the_figures_agree_with_the_files(output, results_of):
    """Squared Pearson once more, by NumPy from rates.h5."""
    with h5py.File(output / "rates.h5") as file:
        inferred, true = file["valid_rates"][:].ravel(), file["valid_truth"][:].ravel()

    expected = np.corrcoef(inferred, true)[0, 1] ** 2
    assert results_of(output).metrics.valid.true_rates.pooled_squared_pearson == pytest.approx(
        expected, abs=1e-4
    )


def test_the_population_evolved_after_the_ramp(output):
    with (output / "decisions.csv").open() as file:
        exploited = {int(row["generation"]) for row in csv.DictReader(file) if row["exploited"] == "true"}

    assert len(exploited) >= GENERATIONS - 2


def test_progress_is_told_all_along(finished):
    told = finished[1]

    assert "generation 0: " in told  # inside of the long first generation too
    assert "min left" in told or "s left" in told
    assert "squared Pearson" in told


def test_a_finished_run_says_so_and_is_left_alone(finished, output, autolfads):
    before = (output / "results.json").read_bytes()

    done = autolfads("run", "run.yaml", cwd=finished[0])

    assert "finished" in done.stdout + done.stderr
    assert (output / "results.json").read_bytes() == before


def test_octave_reads_the_rates_the_right_way_round(output):
    with h5py.File(output / "rates.h5") as file:
        expected = file["rates_hz"][2, 3, 1]  # trial, time, neuron
    script = f"load('{output / 'rates.mat'}'); printf('%d %d %d %.6f', size(rates_hz), rates_hz(2, 4, 3));"

    done = subprocess.run(["octave-cli", "--eval", script], capture_output=True, text=True, check=True)

    neurons, bins, trials, value = done.stdout.split()
    assert (neurons, bins, trials) == ("29", "50", "650")
    assert float(value) == pytest.approx(expected, rel=1e-5)
