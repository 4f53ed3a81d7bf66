"""Signals in a process of its own: they end processes."""

import json
import signal
import subprocess
import sys
import time

import pytest

from autolfads_spec import dump_run

PROGRAM = """
import sys, time
from lfads_worker.interruption import prompt

def last_words():
    {last_words}

def wait():
    say = lambda: print("waiting", flush=True)
    {wait}

try:
    with prompt(last_words, patience_seconds={patience}):
        wait()
except KeyboardInterrupt:
    print("unwound", flush=True)
    sys.exit(130)
"""
# Notices no interrupt, as a compiled program does not until it returns.
STUBBORN = """
    try:
        say()
        time.sleep(30)
    except KeyboardInterrupt:
        pass
    while True:
        try:
            time.sleep(30)
        except KeyboardInterrupt:
            pass
"""


SAY_SO = 'sys.stderr.write("interrupted: run it again"); return 130'


def interrupted(wait, patience, number, last_words=SAY_SO):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(wait=wait, patience=patience, last_words=last_words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "waiting\n"
    began = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err, time.monotonic() - began


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_unwinds(number):
    code, out, err, _ = interrupted("say(); time.sleep(30)", 20, number)

    assert (code, out, err) == (130, "unwound\n", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_does_not_notice_is_ended_with_its_last_words(number):
    code, out, err, seconds = interrupted(STUBBORN, 0.2, number)

    assert (code, out, err) == (130, "", "interrupted: run it again")
    assert seconds < 20


def test_last_words_that_fail_hold_up_nobody():
    code, _, _, seconds = interrupted(STUBBORN, 0.2, signal.SIGINT, "raise BrokenPipeError")

    assert code == 1
    assert seconds < 20


def test_afterwards_signals_are_as_before():
    code = (
        "import signal, threading, time\n"
        "from lfads_worker.interruption import prompt\n"
        "before = signal.getsignal(signal.SIGTERM)\n"
        "with prompt(lambda: 130): pass\n"
        "assert signal.getsignal(signal.SIGTERM) is before\n"
        "assert signal.set_wakeup_fd(-1) == -1\n"
        "deadline = time.monotonic() + 60\n"
        "while threading.active_count() > 1: assert time.monotonic() < deadline\n"
    )

    subprocess.run([sys.executable, "-c", code], check=True)


# A driver as `autolfads run` makes it, with short times, in whose program a second one takes the run over.
# What trains blocks in C, as a compiled program does: the interrupt of a heartbeat is no signal to it.
SUPERSEDED = """
import ctypes, functools, threading, time
from pathlib import Path
from lfads_worker import cli, interruption
from lfads_worker.execution import choice
from lfads_worker.execution.toy import ToyTrainer
from lfads_worker.results import resume, takeover
from lfads_worker.results.fencing import Hold
from autolfads_spec.store import FolderStore
from lfads_worker.data.source import fingerprint

in_c = ctypes.CDLL(None).sleep
def in_python(seconds):
    for _ in range(100 * seconds):
        time.sleep(0.01)

run, found = cli.load_run("run.yaml"), fingerprint(Path("data.h5"))

def take_over():
    store = FolderStore(Path("out"))
    same = resume.read_manifest(store).manifest.versions  # others would be warned of, after the last words
    takeover.take_over(store, run, found, ((0,),), same)

class Blocks(ToyTrainer):
    def train_generation(self, task, progress=None):
        if task.generation == 1:
            threading.Timer(0.5, take_over).start()
            BLOCKS(40)
        return super().train_generation(task, progress)

Hold.alive = functools.partialmethod(Hold.alive, seconds=0.05)
interruption.prompt = functools.partial(interruption.prompt, patience_seconds=0.3)
choice.prepare_this_process = lambda threads: None
cli.make_trainer = lambda spec, data: Blocks(1, data.trials, data.time, data.neurons)
cli.app(["run", "run.yaml", "--workers", "0", *OPTIONS])
"""


@pytest.mark.parametrize(
    ("blocks", "options"),
    [
        pytest.param("in_python", [], id="notices"),
        pytest.param("in_c", [], id="notices too late"),
        pytest.param("in_c", ["--log-format", "json"], id="notices too late, in JSON"),
    ],
)
def test_a_superseded_driver_says_so_and_invites_nobody_to_start_it_again(
    invoke, make_run, tmp_path, blocks, options
):
    size = ("--conditions", 4, "--trials-per-condition", 15, "--bins", 10)
    assert invoke("synthesize", "lorenz", "data.h5", *size).exit_code == 0
    (tmp_path / "run.yaml").write_text(dump_run(make_run(output={"report": False})))
    program = SUPERSEDED.replace("BLOCKS", blocks).replace("OPTIONS", str(options))

    began = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)

    assert ended.returncode == 5, ended.stderr
    last = ended.stderr.splitlines()[-1]
    if options:
        last = json.loads(last)["message"]
    assert "another one has taken it over" in last
    assert "the same command" not in ended.stderr
    assert time.monotonic() - began < 35
