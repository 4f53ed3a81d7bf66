"""The same run gives the same bytes wherever its cohorts train, and whatever is killed on the way.

Real TensorFlow and real Ray, by the command line. One process that nobody disturbs is the oracle.
"""

import csv
import io
import random
import signal
import sys

import pytest

from end_to_end.runs import GENERATIONS, REAL, Runs

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(900)]

# Kills its process group a moment after its first commit: a test that looks on may not be given the time to.
KILLED = """
import os, signal, threading
from lfads_worker import cli
from lfads_worker.results.commit import Commits

commit = Commits.commit

def commit_and_be_killed(self, position):
    commit(self, position)
    threading.Timer(float(os.environ["SECONDS_TO_LIVE"]), os.killpg, (0, signal.SIGKILL)).start()

Commits.commit = commit_and_be_killed
cli.main()
"""


def rows(table):
    return list(csv.DictReader(io.StringIO(table.decode())))


def test_the_population_really_evolves(undisturbed):
    exploited = [row for row in rows(undisturbed["decisions.csv"]) if row["exploited"] == "true"]

    assert exploited
    assert any(row["old_learning_rate"] != row["new_learning_rate"] for row in exploited)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_run_ends_with_the_same_bytes(small_run, undisturbed, tmp_path, workers):
    small_run(tmp_path)
    killed = Runs(tmp_path, [sys.executable, "-c", KILLED], workers)
    killed.environment["SECONDS_TO_LIVE"] = str(random.Random(workers).uniform(0, 0.3))
    assert killed.start().wait() == -signal.SIGKILL, (tmp_path / "said.txt").read_text()[-4000:]

    runs = Runs(tmp_path, REAL, workers)
    committed = runs.generation()
    runs.finish()
    assert committed < GENERATIONS - 1
    assert f"going on after generation {committed}" in (runs.out / "autolfads.log").read_text()
    results = runs.results()
    assert results.keys() == undisturbed.keys()
    assert [name for name, content in undisturbed.items() if results[name] != content] == []
    assert {"best/weights.npz", "rates.h5", "rates.mat", "results.json", "population.csv"} <= results.keys()
