import pytest

from lfads_worker.execution import choice, ray_pool
from lfads_worker.execution.choice import Choice, choose
from lfads_worker.execution.device import Devices
from lfads_worker.execution.serial import SerialPool
from lfads_worker.execution.toy import ToyTrainer
from lfads_worker.execution.trainers import OnProvenGPU

CORES = Devices("cpu", 4)


@pytest.mark.parametrize(
    ("asked", "cohorts", "devices", "expected"),
    [
        pytest.param(None, 10, CORES, Choice(4, gpus=False), id="a worker a core"),
        pytest.param(None, 3, CORES, Choice(3, gpus=False), id="no more workers than cohorts"),
        pytest.param(None, 1, CORES, Choice(0, gpus=False), id="one cohort needs no Ray"),
        pytest.param(None, 10, Devices("cpu", 1), Choice(0, gpus=False), id="one core needs no Ray"),
        pytest.param(None, 10, Devices("gpu", 1), Choice(0, gpus=True), id="one GPU needs no Ray"),
        pytest.param(None, 10, Devices("gpu", 2), Choice(2, gpus=True), id="a worker a GPU"),
        pytest.param(0, 10, CORES, Choice(0, gpus=False), id="in this process on demand"),
        pytest.param(1, 10, CORES, Choice(1, gpus=False), id="one Ray worker on demand"),
        pytest.param(8, 10, CORES, Choice(8, gpus=False), id="more workers than cores on demand"),
        pytest.param(8, 2, CORES, Choice(2, gpus=False), id="never more than cohorts"),
    ],
)
def test_choice_on_this_machine(asked, cohorts, devices, expected):
    assert choose(asked, cohorts, devices) == expected


def test_a_cluster_is_used_with_the_workers_of_the_spec():
    assert choose(None, 10, CORES, cluster_workers=3, address="head:6379") == Choice(3, False, "head:6379")


def test_a_cluster_that_grows_is_asked_for_a_worker_a_cohort():
    found = choose(None, 10, CORES, cluster_workers=None, address="head:6379")

    assert found == Choice(10, False, "head:6379")


def test_no_workers_means_this_process_even_on_a_cluster():
    assert choose(0, 10, CORES, cluster_workers=3, address="head:6379") == Choice(0, False)


@pytest.mark.parametrize(
    ("asked", "fitting", "workers"),
    [
        pytest.param(None, 2, 2, id="as many as memory carries"),
        pytest.param(None, 9, 4, id="never more than cores"),
        pytest.param(None, 1, 0, id="this process, where it carries one"),
        pytest.param(4, 2, 4, id="who asks gets what is asked for"),
    ],
)
def test_memory_limits_the_workers_that_nobody_asked_for(asked, fitting, workers):
    assert choose(asked, 10, CORES, fitting=fitting).workers == workers


def test_every_pool_trains_with_the_same_number_of_threads():
    assert {choose(workers, 10, CORES).threads for workers in (None, 0, 1, 2)} == {1}
    assert choose(None, 10, Devices("gpu", 2)).threads is None


def test_no_workers_open_the_serial_pool_in_a_prepared_process(monkeypatch):
    prepared = []
    monkeypatch.setattr(choice, "prepare_this_process", prepared.append)

    with Choice(0, gpus=False).open(ToyTrainer()) as pool:
        assert isinstance(pool, SerialPool)
    assert prepared == [1]


def test_workers_of_a_cluster_prove_their_gpus_and_others_need_not(monkeypatch):
    opened = []
    monkeypatch.setattr(ray_pool, "RayPool", lambda factory, workers, **options: opened.append(factory))

    for one in (Choice(2, gpus=True, address="head:6379"), Choice(2, gpus=True), Choice(2, gpus=False)):
        one.open(ToyTrainer())

    assert [type(factory) for factory in opened] == [OnProvenGPU, ToyTrainer, ToyTrainer]
