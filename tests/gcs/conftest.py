"""Tests with a Cloud Storage that fails as it is told (`faulty_storage`), and with the command line on it."""

import pytest

from faulty_storage import LEFT_OPEN, FaultyProxy, faults, proxy, refusal  # noqa: F401 (fixtures, and what they are made of)
from toy_command import invoke  # noqa: F401 (a fixture: the command line)


def pytest_collection_modifyitems(items):
    for item in items:
        if "proxy" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.filterwarnings(LEFT_OPEN))
