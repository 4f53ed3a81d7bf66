import os

import pytest

from lfads_worker.execution import environment
from lfads_worker.execution.environment import prepare_this_process, training_environment, unheard


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


def test_what_c_prints_while_loading_is_not_heard_and_exceptions_are(capfd):
    def greet_and_fail():
        with unheard():
            os.write(2, b"greetings")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        greet_and_fail()
    os.write(2, b"news")

    assert capfd.readouterr().err == "news"
