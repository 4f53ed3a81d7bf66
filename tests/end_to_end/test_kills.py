"""Whatever is killed and whenever: the same command goes on and ends with the same bytes.

Most kills hit a toy in place of TensorFlow, so that nearly all moments are moments of
committing and of writing results; a few hit the real thing. Every choice comes from a seed.
AUTOLFADS_KILLS says how many kills of the toy there are (`make kills`: 200), AUTOLFADS_KILLS_SEED
which.
"""

import functools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

KILLS = int(os.environ.get("AUTOLFADS_KILLS", "20"))
SEED = int(os.environ.get("AUTOLFADS_KILLS_SEED", "0"))
# Starting Ray takes seconds, so every so many kills only.
RAY_EVERY = 10

TOY = [sys.executable, str(Path(__file__).with_name("toy_autolfads.py"))]
REAL = [str(Path(sys.executable).parent / "autolfads")]

# All that may differ: times, places, and what is needed to go on. docs/interruptions.md lists the same.
MEASURED = (
    "autolfads.log",
    "timing.csv",
    "manifest.json",
    "lease.json",
    "generations/",
    "checkpoints/",
    ".autolfads",
)

pytestmark = pytest.mark.timeout(3600)


class Runs:
    """One run in a folder of its own, started, killed and finished."""

    def __init__(self, folder, command, workers, epoch_seconds=0.0):
        self.folder = folder
        self.out = folder / "out"
        self.starts = 0
        self.command = [*command, "run", "run.yaml", "--workers", str(workers)]
        self.environment = {**os.environ, "TOY_EPOCH_SECONDS": str(epoch_seconds), "COLUMNS": "120"}

    def start(self):
        self.starts += 1
        with (self.folder / "said.txt").open("a") as said:
            return subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self.environment,
                stdout=said,
                stderr=said,
                start_new_session=True,  # a process group of its own
            )

    def finish(self):
        process = self.start()
        assert process.wait(600) == 0, (self.folder / "said.txt").read_text()[-4000:]

    def results(self):
        names = [path.relative_to(self.out).as_posix() for path in self.out.rglob("*") if path.is_file()]
        assert not [name for name in names if name.endswith(".partial")]
        return {name: (self.out / name).read_bytes() for name in names if not name.startswith(MEASURED)}

    def generation(self):
        """The last committed one, None before there is any."""
        try:
            return json.loads((self.out / "manifest.json").read_bytes())["generation"]
        except FileNotFoundError:
            return None

    def forget(self):
        self.starts = 0
        shutil.rmtree(self.out)
        (self.folder / "said.txt").unlink()


def seconds_at_work(runs):
    """How long a run is at work once it has begun to train: kills before that hit nothing."""
    process = runs.start()
    wait_until_at_work(runs, process)
    began = time.monotonic()
    assert process.wait(600) == 0, (runs.folder / "said.txt").read_text()[-4000:]
    return time.monotonic() - began


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
        whom = "nobody: it had ended"
    process.wait()
    return whom


def kill_again_and_again(runs, expected, seconds, kills, seed):
    """Kills a run, lets it finish, compares: so many times. What was hit, for the record."""
    hits = {}
    for number in range(kills):
        rng = random.Random(f"{seed}-{number}")
        runs.environment["KILLED"] = session = f"{seed}-{number}-of-{os.getpid()}"
        for _ in range(rng.choice([1, 1, 2])):
            process = runs.start()
            wait_until_at_work(runs, process)
            time.sleep(rng.uniform(0, seconds))
            whom = kill(rng, process, session)
            what = f"{whom}, after generation {runs.generation()}"
            hits[what] = hits.get(what, 0) + 1
        runs.finish()
        assert runs.results() == expected, f"kill {number} of seed {seed}: {what}"
        runs.forget()
    return hits


def tell(hits, kills, seconds):
    print(f"\n{kills} runs killed within {seconds:.1f} s, all with the same results:")
    for what, count in sorted(hits.items()):
        print(f"  {count} x {what}")


@functools.cache
def undisturbed(folder):
    runs = Runs(folder, REAL, workers=0)
    runs.finish()
    results = runs.results()
    runs.forget()
    return results


@pytest.fixture(scope="module")
def real_folder(tmp_path_factory, autolfads, example):
    """A run of LFADS that takes seconds."""
    folder = tmp_path_factory.mktemp("real")
    autolfads(
        *("synthesize", "lorenz", "data.h5", "--neurons", 8, "--conditions", 6),
        *("--trials-per-condition", 4, "--bins", 12),
        cwd=folder,
    )
    units = {name: 8 for name in ("icEncoderUnits", "ciEncoderUnits", "controllerUnits", "generatorUnits")}
    run = example(
        "lorenz/run.yaml",
        data={"uri": "data.h5"},
        output={"uri": "out", "posteriorSamples": 5},
        model={**units, "factors": 4},
        training={"batchSize": 10, "klRamp": {"epochs": 2}, "l2Ramp": {"epochs": 2}},
        population={"size": 4, "generations": 6, "epochsPerGeneration": 10},
    )
    (folder / "run.yaml").write_text(yaml.safe_dump(run))
    return folder


@pytest.fixture(scope="module")
def toy_folder(tmp_path_factory, toy_run):
    return toy_run(tmp_path_factory.mktemp("toy"), size=5, generations=8)


def test_a_killed_run_ends_with_the_same_bytes(toy_folder):
    kills = KILLS - KILLS // RAY_EVERY
    runs = Runs(toy_folder, TOY, workers=0, epoch_seconds=0.002)
    seconds = seconds_at_work(runs)
    expected = runs.results()
    runs.forget()

    hits = kill_again_and_again(runs, expected, seconds, kills, f"serial {SEED}")

    tell(hits, kills, seconds)
    assert {"best/weights.npz", "rates.h5", "rates.mat", "results.json", "population.csv"} <= set(expected)


@pytest.mark.ray
def test_a_killed_run_on_ray_ends_with_the_bytes_of_one_in_a_single_process(toy_folder):
    kills = max(KILLS // RAY_EVERY, 1)
    serial = Runs(toy_folder, TOY, workers=0)
    serial.finish()
    expected = serial.results()
    serial.forget()
    runs = Runs(toy_folder, TOY, workers=2, epoch_seconds=0.1)
    seconds = seconds_at_work(runs)
    assert runs.results() == expected
    runs.forget()

    hits = kill_again_and_again(runs, expected, seconds, kills, f"ray {SEED}")

    tell(hits, kills, seconds)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_run_of_the_real_thing_ends_with_the_same_bytes(real_folder, workers):
    runs, expected = Runs(real_folder, REAL, workers), undisturbed(real_folder)
    process = runs.start()
    while runs.generation() is None:
        assert process.poll() is None, (real_folder / "said.txt").read_text()[-4000:]
        time.sleep(0.05)
    time.sleep(random.Random(SEED).uniform(0, 2))

    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    committed = runs.generation()
    runs.finish()
    assert f"going on after generation {committed}" in (runs.out / "autolfads.log").read_text()
    assert runs.results() == expected
    runs.forget()
