"""Signals in a process of its own: they end processes."""

import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """
import sys, time
from lfads_worker.interruption import prompt

def wait():
    say = lambda: print("waiting", flush=True)
    {wait}

try:
    with prompt(lambda: "interrupted: run it again", patience_seconds={patience}):
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


def interrupted(wait, patience, number):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(wait=wait, patience=patience)],
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

    assert (code, out, err) == (130, "", "interrupted: run it again\n")
    assert seconds < 20


def test_afterwards_signals_are_as_before():
    code = (
        "import signal, threading, time\n"
        "from lfads_worker.interruption import prompt\n"
        "before = signal.getsignal(signal.SIGTERM)\n"
        "with prompt(lambda: ''): pass\n"
        "assert signal.getsignal(signal.SIGTERM) is before\n"
        "assert signal.set_wakeup_fd(-1) == -1\n"
        "deadline = time.monotonic() + 5\n"
        "while threading.active_count() > 1: assert time.monotonic() < deadline\n"
    )

    subprocess.run([sys.executable, "-c", code], check=True)
