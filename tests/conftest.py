"""What every test needs, before anything heavy is imported."""

import os

# Before TensorFlow is imported: one thread, so that bits do not depend on the machine, and no greetings.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its waiting threads spin; tests share their machine

import pytest
from hypothesis import settings

# A busy machine is no failure: properties are checked, not speed.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def pytest_collection_modifyitems(items):
    """Tests on fixtures compiled by XLA are slow: a compilation takes longer than a thousand unit tests."""
    for item in items:
        if any(name.startswith("xla_") for name in getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
