"""Whatever is killed and whenever: the same command goes on and ends with the same bytes.

They hit a toy in place of TensorFlow, so that nearly all moments are moments of committing and of
writing results; test_same_everywhere.py kills the real thing. Every choice comes from a seed.
AUTOLFADS_KILLS says how many kills of the toy there are (`make kills`: 200), AUTOLFADS_KILLS_SEED
which.
"""

import os
import random
import signal
import time
from pathlib import Path

import pytest
import yaml

from end_to_end.runs import TOY, Runs

KILLS = int(os.environ.get("AUTOLFADS_KILLS", "10"))
SEED = int(os.environ.get("AUTOLFADS_KILLS_SEED", "0"))
# Starting Ray takes seconds, so every so many kills only.
RAY_EVERY = 10

NOBODY = "nobody: it had ended"
# A kill that comes after the end is made again, in a shorter time: the machine was busy when it was measured.
MISSES, SHORTER = 20, 0.8

pytestmark = pytest.mark.timeout(3600)


def seconds_of_a_run(runs):
    """How long a run takes until it trains, and from then on."""
    began = time.monotonic()
    process = runs.start()
    wait_until_at_work(runs, process)
    at_work = time.monotonic()
    assert process.wait(600) == 0, (runs.folder / "said.txt").read_text()[-4000:]
    return at_work - began, time.monotonic() - at_work


def wait_until_at_work(runs, process):
    """Until the latest start trains, or has ended because nothing was left to train."""
    said = runs.folder / "said.txt"
    while said.read_text().count("training on ") < runs.starts and process.poll() is None:
        time.sleep(0.002)


def ray_workers_of(session):
    """Processes of Ray workers in a session, by their titles."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            title = (entry / "cmdline").read_bytes()
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if title.startswith(b"ray::CohortWorker") and session.encode() in environment:
            found.append(int(entry.name))
    return found


def kill(rng, process, session):
    """Kills something of a run: its driver, its whole process group, or one of its Ray workers."""
    whom = rng.choice(["group", "driver", "worker"])
    if whom == "worker":
        workers = ray_workers_of(session)
        if workers:
            os.kill(rng.choice(workers), signal.SIGKILL)
            assert process.wait(600) == 0  # a driver loses a worker and goes on
            return "worker"
        whom = "group"
    try:
        (os.killpg if whom == "group" else os.kill)(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        whom = NOBODY
    process.wait()
    return whom


def hit(runs, rng, session, to_start, seconds):
    """Kills something of a run that is at work, or of one that takes up what was killed before; whom."""
    for _ in range(MISSES):
        is_taken_up = runs.starts > 0
        process = runs.start()
        if is_taken_up and rng.random() < 0.5:
            time.sleep(rng.uniform(0, to_start))
        else:
            wait_until_at_work(runs, process)
            time.sleep(rng.uniform(0, seconds))
        whom = kill(rng, process, session)
        if whom != NOBODY:
            return whom
        runs.forget()
        seconds *= SHORTER
    raise AssertionError(f"{MISSES} kills in a row came after the end")


def kill_again_and_again(runs, expected, to_start, seconds, kills, seed):
    """Kills a run, lets it finish, compares: so many times. What was hit, for the record."""
    hits = {}
    for number in range(kills):
        rng = random.Random(f"{seed}-{number}")
        runs.environment["KILLED"] = session = f"{seed}-{number}-of-{os.getpid()}"
        for _ in range(rng.choice([1, 1, 2])):
            what = f"{hit(runs, rng, session, to_start, seconds)}, after generation {runs.generation()}"
            hits[what] = hits.get(what, 0) + 1
        runs.finish()
        assert runs.results() == expected, f"kill {number} of seed {seed}: {what}"
        runs.forget()
    return hits


def tell(hits, kills, seconds):
    print(f"\n{kills} runs killed within {seconds:.1f} s, all with the same results:")
    for what, count in sorted(hits.items()):
        print(f"  {count} x {what}")


@pytest.fixture(scope="module")
def toy_folder(tmp_path_factory, toy_run):
    return toy_run(tmp_path_factory.mktemp("toy"), size=5, generations=8)


def test_a_killed_run_ends_with_the_same_bytes(toy_folder):
    kills = KILLS - KILLS // RAY_EVERY
    runs = Runs(toy_folder, TOY, workers=0, epoch_seconds=0.002)
    to_start, seconds = seconds_of_a_run(runs)
    expected = runs.results()
    runs.forget()

    hits = kill_again_and_again(runs, expected, to_start, seconds, kills, f"serial {SEED}")

    tell(hits, kills, seconds)
    assert {"best/weights.npz", "rates.h5", "rates.mat", "results.json", "population.csv"} <= set(expected)


def test_a_run_killed_while_it_draws_its_report_has_the_same_report(tmp_path, toy_run):
    folder = toy_run(tmp_path, size=2, generations=3)
    document = yaml.safe_load((folder / "run.yaml").read_text())
    document["spec"]["output"]["report"] = True
    (folder / "run.yaml").write_text(yaml.safe_dump(document))
    runs = Runs(folder, TOY, workers=0)
    runs.finish()
    expected = runs.results()
    runs.forget()

    process = runs.start()
    while not list(runs.out.glob("report/*.png")):
        assert process.poll() is None, (folder / "said.txt").read_text()[-4000:]
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    assert not (runs.out / "results.json").exists()
    runs.finish()
    assert runs.results() == expected
    assert {"report/report.html", "tensorboard/member_000/events.out.tfevents.0.autolfads"} <= set(expected)


@pytest.mark.ray
def test_a_killed_run_on_ray_ends_with_the_bytes_of_one_in_a_single_process(toy_folder):
    kills = max(KILLS // RAY_EVERY, 1)
    serial = Runs(toy_folder, TOY, workers=0)
    serial.finish()
    expected = serial.results()
    serial.forget()
    runs = Runs(toy_folder, TOY, workers=2, epoch_seconds=0.1)
    to_start, seconds = seconds_of_a_run(runs)
    assert runs.results() == expected
    runs.forget()

    hits = kill_again_and_again(runs, expected, to_start, seconds, kills, f"ray {SEED}")

    tell(hits, kills, seconds)
