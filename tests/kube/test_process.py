"""Processes of a cluster end when they are told to, and with the tests in any case."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kube.process import Process, ProcessError

SHELL = Path("/bin/sh")
TESTS = Path(__file__).parents[1]


@pytest.fixture
def make(tmp_path):
    made = []

    def make(script, **options):
        process = Process("toy", SHELL, ("-c", script), tmp_path / "toy.log", **options)
        made.append(process)
        return process

    yield make
    for process in made:
        process.kill()


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def test_started_again_after_a_kill(make):
    process = make("exec sleep 60")
    process.start()
    first = process.pid

    process.kill()
    assert not process.is_alive
    process.start()

    assert process.is_alive
    assert process.pid != first


def test_start_waits_for_its_answer(make, tmp_path):
    process = make(f"sleep 0.2; touch {tmp_path}/up; exec sleep 60", is_ready=(tmp_path / "up").exists)

    process.start()

    assert (tmp_path / "up").exists()


def test_one_that_ends_at_once_shows_its_last_words(make):
    process = make("echo no such flag >&2; exit 3", is_ready=lambda: False)

    with pytest.raises(ProcessError, match=r"ended with status 3\n.*toy.log\n.*\nno such flag"):
        process.start()


def test_one_that_ignores_a_polite_end_is_killed(make, monkeypatch):
    monkeypatch.setattr("kube.process.SLOWEST_STOP", 0.2)
    process = make("trap '' TERM; while :; do sleep 0.05; done")
    process.start()

    process.stop()

    assert not process.is_alive


def test_changed_arguments_and_environment_are_taken_up(make, tmp_path):
    process = make(f"echo $WORD > {tmp_path}/word", environment={"WORD": "one"})
    process.environment["WORD"] = "two"

    process.start()
    while process.is_alive:
        time.sleep(0.01)

    assert (tmp_path / "word").read_text() == "two\n"


def test_it_ends_with_a_parent_that_is_killed(tmp_path):
    script = (
        "import sys, time; from pathlib import Path; from kube.process import Process\n"
        f"toy = ('-c', 'touch {tmp_path}/up; exec sleep 60')\n"
        f"up = Path('{tmp_path}/up').exists  # until then the kernel has not been told yet\n"
        f"process = Process('toy', Path('{SHELL}'), toy, Path('{tmp_path}/toy.log'), is_ready=up)\n"
        "process.start(); print(process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert not is_gone(pid)

    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    deadline = time.monotonic() + 5
    while not is_gone(pid) and time.monotonic() < deadline:
        time.sleep(0.01)

    assert is_gone(pid)
