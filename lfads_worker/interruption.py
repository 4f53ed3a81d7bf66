"""Ctrl-C and SIGTERM end a run at once, wherever it is, and so does another driver that takes it over.

All raise KeyboardInterrupt, which unwinds everything and frees all processes. A compiled
program that trains does not notice until it returns, which can be long after: then, and when
unwinding itself hangs, the process ends without it. Nothing is lost by that: what is committed
is whole, and Ray's processes end with the one that started them. Why it was interrupted is
unknown here.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

FAULT = 1
# Freeing Ray's processes takes 2 to 3 s.
PATIENCE_SECONDS = 6.0


@contextmanager
def prompt(last_words: Callable[[], int], patience_seconds: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Ends the process when an interrupt has not left the context soon.

    Args:
      last_words: says why then, from another thread, and gives the exit code.
      patience_seconds: between the interrupt and that end.
    """
    with ExitStack() as stack:
        interrupt_when_terminated(stack)
        listening, waking = socket.socketpair()
        stack.callback(listening.close)
        stack.callback(waking.close)
        waking.setblocking(False)
        left = threading.Event()
        stack.callback(left.set)
        # Written by the C part of signal handling, so also while Python code cannot run in the main thread.
        before = signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
        stack.callback(signal.set_wakeup_fd, before)
        threading.Thread(
            target=_watch,
            args=(listening, left, last_words, patience_seconds),
            name="interrupts",
            daemon=True,
        ).start()
        yield


def interrupt_when_terminated(stack: ExitStack) -> None:
    """SIGTERM raises KeyboardInterrupt for as long as the stack lasts."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    stack.callback(signal.signal, signal.SIGTERM, before)


def _watch(
    listening: socket.socket, left: threading.Event, last_words: Callable[[], int], patience_seconds: float
) -> None:
    while True:
        try:
            numbers = listening.recv(64)
        except OSError:  # closed: the context was left
            return
        if not numbers:
            return
        if signal.SIGINT in numbers or signal.SIGTERM in numbers:
            break
    if not left.wait(patience_seconds):
        exit_code = FAULT
        try:
            exit_code = last_words()
            sys.stderr.flush()
        finally:  # also when nobody reads them any more
            os._exit(exit_code)
