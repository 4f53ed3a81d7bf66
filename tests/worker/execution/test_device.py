import subprocess

import pytest

from lfads_worker.execution import device, nvidia
from lfads_worker.execution.device import GIGABYTE, Devices, count_gpus, find_devices, unused_gpus


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        pytest.param(None, 2, id="all"),
        pytest.param("0", 1, id="one"),
        pytest.param("", 0, id="none"),
        pytest.param("-1", 0, id="none, CUDA's way"),
        pytest.param("0,1,2,3", 2, id="no more than there are"),
    ],
)
def test_gpus_are_counted_as_far_as_they_are_visible(tmp_path, visible, expected):
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()

    assert count_gpus(tmp_path, visible) == expected


@pytest.mark.parametrize(
    ("gpus", "has_cuda", "is_told"), [(2, False, True), (2, True, False), (0, False, False)]
)
def test_gpus_that_this_tensorflow_does_not_know_are_told_with_the_command(
    monkeypatch, gpus, has_cuda, is_told
):
    monkeypatch.setattr(device, "tensorflow_has_cuda", lambda: has_cuda)
    monkeypatch.setattr(device, "count_gpus", lambda *where: gpus)

    told = unused_gpus()

    assert (told is not None) == is_told
    if told:
        assert "this machine's 2 GPUs" in told
        assert "make setup GPU=1" in told


def test_devices_in_words():
    assert str(Devices("cpu", 1)) == "1 core"
    assert str(Devices("gpu", 2)) == "2 GPUs"


@pytest.mark.parametrize("accelerator", [None, "None"])
def test_a_cluster_without_accelerator_has_cpus(accelerator):
    assert Devices.of_cluster(accelerator, 3) == Devices("cpu", 3)
    assert Devices.of_cluster(accelerator, 3).kind_in_words == "CPU"


@pytest.mark.parametrize(
    ("accelerator", "gigabytes"),
    [("nvidia-l4", 24), ("nvidia-h100-80gb", 80), ("nvidia-tesla-p4", 8), ("nvidia-new", 16)],
)
def test_a_cluster_has_the_gpus_that_were_asked_for(accelerator, gigabytes):
    found = Devices.of_cluster(accelerator, 3)

    assert found == Devices("gpu", 3, gigabytes * GIGABYTE, accelerator)
    assert found.kind_in_words == accelerator


@pytest.fixture
def on_a_machine_with_gpus(monkeypatch):
    monkeypatch.setattr(device, "tensorflow_has_cuda", lambda: True)
    monkeypatch.setattr(device, "count_gpus", lambda *where: 2)


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """`nvidia_smi(script)`: the one that is found first."""

    def put(script):
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    return put


def test_the_driver_tells_model_and_memory(on_a_machine_with_gpus, nvidia_smi):
    nvidia_smi("echo 'NVIDIA L4, [N/A], 23034'; echo 'NVIDIA L4, [N/A], 23034'")

    assert find_devices() == Devices("gpu", 2, 23034 * 2**20, "NVIDIA L4")


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("echo NVIDIA-SMI has failed; exit 9", id="no driver behind it"),
        pytest.param("true", id="no word"),
        pytest.param("echo 'No devices were found'", id="another sentence"),
    ],
)
def test_without_the_drivers_word_memory_is_assumed(on_a_machine_with_gpus, nvidia_smi, script):
    nvidia_smi(script)

    assert find_devices() == Devices("gpu", 2, 16 * GIGABYTE, None)
    assert find_devices().kind_in_words == "GPU"


def test_a_driver_that_wakes_up_slowly_is_not_waited_for_longer_than_asked(
    on_a_machine_with_gpus, nvidia_smi
):
    nvidia_smi("exec sleep 600")

    assert find_devices(patience_seconds=0.1) == Devices("gpu", 2, 16 * GIGABYTE, None)


@pytest.mark.parametrize(
    "error", [FileNotFoundError("nvidia-smi"), subprocess.TimeoutExpired("nvidia-smi", 20)]
)
def test_a_machine_without_the_program_is_none_of_its_faults(monkeypatch, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(nvidia.subprocess, "run", fail)

    assert nvidia.ask_driver() is None


def test_the_smallest_of_unequal_gpus_counts():
    found = nvidia.understood("Tesla T4, [N/A], 15360\nNVIDIA A100-SXM4-40GB, Disabled, 40960\n")

    assert found == nvidia.GPUs(("NVIDIA A100-SXM4-40GB", "Tesla T4"), 15360 * 2**20)


@pytest.mark.parametrize(
    "line", ["NVIDIA H100 80GB HBM3, Enabled, 81559", "NVIDIA GB10, [N/A], [N/A]"], ids=["cut up", "shared"]
)
def test_memory_that_says_nothing_of_a_process_is_unknown(line):
    found = nvidia.understood(line)

    assert found is not None
    assert found.smallest_bytes is None
