"""Ways in which a run ends early that leave it time for a word: signals, a full disk, a second driver."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TOY = [sys.executable, str(Path(__file__).with_name("toy_autolfads.py"))]

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def folder(tmp_path, toy_run):
    return toy_run(tmp_path, size=4, generations=5)


def start(folder, workers=0, epoch_seconds=0.02):
    return subprocess.Popen(
        [*TOY, "run", "run.yaml", "--workers", str(workers)],
        cwd=folder,
        env={**os.environ, "TOY_EPOCH_SECONDS": str(epoch_seconds), "SESSION": str(folder), "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_generation(folder, process, generation=0):
    while True:
        with contextlib.suppress(FileNotFoundError):
            committed = json.loads((folder / "out" / "manifest.json").read_bytes())["generation"]
            if committed is not None and committed >= generation:
                return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)


def processes_of(folder):
    """All processes that were started for a run, by its name in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if f"SESSION={folder}\0".encode() in (entry / "environ").read_bytes():
                    found.append((entry / "cmdline").read_bytes())
    return found


def wait_until_gone(folder, seconds):
    deadline = time.monotonic() + seconds
    while left := processes_of(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.ray)])
def test_a_signal_ends_the_run_at_once_and_the_same_command_goes_on(folder, workers, number):
    process = start(folder, workers, epoch_seconds=0.5)
    wait_for_generation(folder, process)
    began = time.monotonic()

    # As a terminal does it: to all.
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=60)

    assert process.returncode == 130
    assert time.monotonic() - began < 30  # 3 s on an idle machine
    assert "interrupted: generation 0 and all before it are committed" in said
    assert "the same command goes on from there: autolfads run run.yaml" in said
    assert "Traceback" not in said
    wait_until_gone(folder, seconds=30)
    _, said = start(folder).communicate(timeout=300)
    assert "going on after generation 0: " in said
    assert (folder / "out" / "results.json").is_file()


@pytest.mark.ray
def test_a_killed_driver_leaves_no_process(folder):
    process = start(folder, workers=2, epoch_seconds=0.5)
    wait_for_generation(folder, process)

    process.kill()
    process.communicate()

    wait_until_gone(folder, seconds=90)


def test_of_two_drivers_one_goes_on(folder):
    first = start(folder)
    wait_for_generation(folder, first)
    first.send_signal(signal.SIGSTOP)  # at work for as long as the second one needs, however slow the machine

    second = start(folder)
    _, refused = second.communicate(timeout=300)
    first.send_signal(signal.SIGCONT)
    _, said = first.communicate(timeout=300)

    assert second.returncode == 5
    assert "found another autolfads run at work in out (process " in refused
    assert first.returncode == 0, said
    assert (folder / "out" / "results.json").is_file()


@pytest.fixture
def small_disk(folder):
    """`out` on a disk of its own, of 128 kB; only root may make one."""
    (folder / "out").mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "none", folder / "out"], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk is wanted, and mount says: {mounted.stderr.strip()}")
    yield folder / "out"
    subprocess.run(["umount", folder / "out"], check=True)


def test_a_full_disk_is_a_sentence_and_with_space_the_run_goes_on(folder, small_disk):
    process = start(folder, epoch_seconds=0.1)
    wait_for_generation(folder, process)
    ballast = small_disk / ".ballast.partial"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))

    out, said = process.communicate(timeout=60)

    assert process.returncode == 5, out + said
    assert "No space left on device" in said
    assert "are committed" in said
    assert "Traceback" not in said
    assert "Logging error" not in said
    assert [path for path in small_disk.rglob("*.partial") if path != ballast] == []
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    process = start(folder)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 0, out + said
    assert "going on after generation" in said
