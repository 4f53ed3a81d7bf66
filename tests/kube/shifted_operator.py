"""Our operator on a machine whose clock is wrong, by as many seconds as a file says at that moment.

A program of its own: `python shifted_operator.py FILE`. Everything else is the real operator.
"""

import datetime
import sys
from pathlib import Path

import autolfads_operator.__main__ as operator

FILE = Path(sys.argv[1])


def shifted_now():
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=float(FILE.read_text()))


operator._now = shifted_now
sys.exit(operator.main())
