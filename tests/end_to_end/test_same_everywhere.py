"""The same run gives the same bytes wherever its cohorts train, and whatever is killed on the way.

Real TensorFlow and real Ray, by the command line. One process that nobody disturbs is the oracle.
"""

import csv
import io
import os
import random
import signal
import time

import pytest

from end_to_end.runs import GENERATIONS, REAL, Runs

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(900)]


def rows(table):
    return list(csv.DictReader(io.StringIO(table.decode())))


def test_the_population_really_evolves(undisturbed):
    exploited = [row for row in rows(undisturbed["decisions.csv"]) if row["exploited"] == "true"]

    assert exploited
    assert any(row["old_learning_rate"] != row["new_learning_rate"] for row in exploited)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_run_ends_with_the_same_bytes(small_run, undisturbed, tmp_path, workers):
    runs = Runs(small_run(tmp_path), REAL, workers)
    process = runs.start()
    while runs.generation() is None:
        assert process.poll() is None, (tmp_path / "said.txt").read_text()[-4000:]
        time.sleep(0.05)
    time.sleep(random.Random(workers).uniform(0, 0.3))

    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    committed = runs.generation()
    runs.finish()
    assert committed < GENERATIONS - 1
    assert f"going on after generation {committed}" in (runs.out / "autolfads.log").read_text()
    results = runs.results()
    assert results.keys() == undisturbed.keys()
    assert [name for name, content in undisturbed.items() if results[name] != content] == []
    assert {"best/weights.npz", "rates.h5", "rates.mat", "results.json", "population.csv"} <= results.keys()
