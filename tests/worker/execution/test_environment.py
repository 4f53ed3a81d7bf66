import gc
import os
import subprocess
import sys

import pytest

from lfads_worker.execution import environment
from lfads_worker.execution.environment import (
    loading,
    prepare_this_process,
    training_environment,
)


def test_a_worker_on_a_core_computes_with_one_thread():
    settings = training_environment(1)

    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        assert settings[name] == "1"


def test_a_worker_on_a_gpu_leaves_threads_to_tensorflow():
    assert not [name for name in training_environment(None) if "THREADS" in name]


def test_the_allocator_keeps_large_buffers():
    settings = training_environment(1)

    assert settings["MALLOC_MMAP_MAX_"] == "0"
    assert settings["MALLOC_ARENA_MAX"] == "1"
    assert int(settings["MALLOC_TRIM_THRESHOLD_"]) > 10**9


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setattr(environment, "_set_malloc", lambda: None)
    for name in training_environment(1):
        monkeypatch.setenv(name, "before")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")

    prepare_this_process(1)

    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_gpus_give_the_same_bits_each_time_and_cpus_know_nothing_of_it(monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)

    assert (
        training_environment(None)["XLA_FLAGS"]
        == "--xla_gpu_deterministic_ops=true --xla_gpu_autotune_level=0"
    )
    assert "XLA_FLAGS" not in training_environment(1)


@pytest.mark.parametrize(
    ("set_by_user", "expected"),
    [
        pytest.param(
            "--xla_dump_to=/tmp/x",
            "--xla_gpu_deterministic_ops=true --xla_gpu_autotune_level=0 --xla_dump_to=/tmp/x",
            id="beside ours",
        ),
        pytest.param(
            "--xla_gpu_autotune_level=4 --xla_gpu_deterministic_ops",
            "--xla_gpu_autotune_level=4 --xla_gpu_deterministic_ops",
            id="instead of ours",
        ),
        pytest.param("/etc/xla.flags", "/etc/xla.flags", id="a file of flags"),
    ],
)
def test_xla_flags_of_the_user_stay(monkeypatch, set_by_user, expected):
    monkeypatch.setattr(environment, "_set_malloc", lambda: None)
    for name in training_environment(None):
        monkeypatch.setenv(name, "before")
    monkeypatch.setenv("XLA_FLAGS", set_by_user)

    prepare_this_process(None)
    prepare_this_process(None)  # as a driver that averages samples after it has trained

    assert os.environ["XLA_FLAGS"] == expected


_COMPILE = """
import sys
from lfads_worker.execution.environment import multiply_in_float32, prepare_this_process
prepare_this_process(None)
import tensorflow as tf
multiply_in_float32()
print(float(tf.function(lambda x: x + 1.0, jit_compile=True)(tf.constant(2.0))))
print(tf.config.experimental.tensor_float_32_execution_enabled())
print([name for name in ("keras.src", "matplotlib") if name in sys.modules])
"""


@pytest.mark.slow
def test_tensorflow_knows_the_flags_multiplies_in_float32_and_loads_no_keras():
    """A flag that XLA does not know ends the process."""
    ours = training_environment(None)
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    command = [sys.executable, "-W", "ignore", "-c", _COMPILE]

    done = subprocess.run(command, capture_output=True, text=True, env=environment)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["3.0", "False", "[]"]


def test_what_c_prints_while_loading_is_not_heard_and_exceptions_are(capfd):
    def greet_and_fail():
        with loading():
            os.write(2, b"greetings")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        greet_and_fail()
    os.write(2, b"news")

    assert capfd.readouterr().err == "news"


@pytest.mark.parametrize("collects", [True, False])
def test_no_garbage_is_looked_for_while_loading_nor_in_what_was_loaded(monkeypatch, collects):
    asked = []
    monkeypatch.setattr(environment.gc, "freeze", lambda: asked.append(gc.isenabled()))
    was = gc.isenabled()
    (gc.enable if collects else gc.disable)()
    try:
        with loading():
            assert not gc.isenabled()
        assert gc.isenabled() == collects
    finally:
        (gc.enable if was else gc.disable)()

    assert asked == [False]  # before a collection could look
