"""Ports for servers of the tests, which several processes of pytest start at once.

The kernel's own choice is no use for a server that is started later, or killed and started again: it gives
the same number to whatever connects to somewhere meanwhile. So they lie below those that it gives away, and
above those of Ray's workers.
"""

import random
import socket

_THOSE_OF_TESTS = range(20000, 32768)  # Ray's workers have 10002 to 19999; Linux gives away 32768 to 60999
_chance = random.SystemRandom()  # Hypothesis begins the common one at the same number in every process


def free_port() -> int:
    """A port of this machine that nobody uses, and that nobody is likely to use."""
    while True:
        port = _chance.choice(_THOSE_OF_TESTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
