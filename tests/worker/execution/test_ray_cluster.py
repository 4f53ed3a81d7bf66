"""A cluster of several Ray nodes on this machine: machines that come late, are slow, and are lost."""

import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest

from lfads_worker.errors import DeviceError, PausedError
from lfads_worker.execution.choice import choose
from lfads_worker.execution.device import Devices
from lfads_worker.execution.serial import SerialPool
from lfads_worker.execution.toy import ToyTrainer
from lfads_worker.training.state import CohortTask

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

VALUES = {"learning_rate": 0.1, "dropout_rate": 0.2, "l2_generator": 0.01}
STORE = {"object_store_memory": 10**8}


class OneIsSlow(ToyTrainer):
    """The first process that trains ends its cohort when it may, and not before."""

    def train_generation(self, task, progress=None):
        mark = Path(os.environ["SLOW_MARK"])
        try:
            with mark.open("x") as file:
                file.write(str(os.getpid()))
        except FileExistsError:
            pass
        while not mark.read_text():
            time.sleep(0.01)
        if mark.read_text() == str(os.getpid()):
            while not Path(os.environ["SLOW_MAY_END"]).exists():
                time.sleep(0.01)
        return super().train_generation(task, progress)


def tasks(count, generation=0):
    return [CohortTask(c, generation, 0, 10, (c,), None, (VALUES,)) for c in range(count)]


def ignore(cohort, epochs_done, epochs):
    pass


@pytest.fixture(scope="module")
def cluster():
    """A head without room for work, as in Kubernetes, and one node with one core."""
    from ray.cluster_utils import Cluster

    from lfads_worker.execution.ray_cluster import started_here

    folder = tempfile.mkdtemp(prefix="alt-", dir="/tmp")  # a short name: sockets lie in it
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", folder)
        # As `PrivateRay` does it, and to stay: a process that has used a token cannot take another one.
        os.environ.setdefault("RAY_AUTH_TOKEN", "5" * 64)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("SLOW_MARK", f"{folder}/slow")
        patch.setenv("SLOW_MAY_END", f"{folder}/may-end")
        head = {"num_cpus": 0, "include_dashboard": False, **STORE}
        cluster = started_here(lambda: Cluster(initialize_head=True, head_node_args=head))
        cluster.first = started_here(lambda: cluster.add_node(num_cpus=1, **STORE))
        yield cluster
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


# One after another on the same cluster: a node joins in the first test and is lost in the last.


def test_a_worker_that_joins_late_is_used_and_holds_nobody_up_before(cluster):
    """As in an attempt: a worker is asked for each cohort, however few machines there are to begin with."""
    choice = choose(None, 4, Devices("cpu", 1), cluster_workers=None, address=cluster.address)

    with choice.open(ToyTrainer(seed=1, epoch_seconds=0.05)) as pool:
        first = list(pool.train(tasks(4), ignore))
        assert len({result.worker for result in first}) == 1  # there is room for one
        cluster.second = cluster.add_node(num_cpus=1, **STORE)

        seen, generation = set(), 0
        while len(seen) < 2:  # the process has to start there first
            generation += 1
            assert generation < 200
            seen |= {result.worker for result in pool.train(tasks(4, generation), ignore)}


def test_a_slow_worker_holds_back_no_more_than_the_cohort_that_it_has(cluster):
    from lfads_worker.execution.ray_pool import RayPool

    with RayPool(OneIsSlow(seed=1, epoch_seconds=0.05), workers=2, address=cluster.address) as pool:
        pool.process_ids()  # both are there
        results = []
        for result in pool.train(tasks(6), ignore):
            results.append(result)
            if len(results) == 5:
                Path(os.environ["SLOW_MAY_END"]).touch()

    slow = f"toy process {Path(os.environ['SLOW_MARK']).read_text()}"
    assert [result.worker for result in results].count(slow) == 1
    assert results[-1].worker == slow


def test_a_lost_machine_costs_its_cohort_and_no_result(cluster, caplog):
    from lfads_worker.execution.ray_pool import RayPool

    trainer = ToyTrainer(seed=1, epoch_seconds=0.1)
    with SerialPool(ToyTrainer(seed=1)) as serial:
        expected = {result.cohort: result for result in serial.train(tasks(6), ignore)}

    def lose(cohort, epochs_done, epochs):
        if cluster.first is not None and cohort == 1 and epochs_done:
            node, cluster.first = cluster.first, None
            cluster.remove_node(node, allow_graceful=False)

    with RayPool(trainer, workers=2, address=cluster.address) as pool:
        pool.process_ids()
        found = {result.cohort: result for result in pool.train(tasks(6), lose)}

    assert cluster.first is None
    assert "it is done again on another one" in caplog.text
    assert all(found[cohort].state.equals(expected[cohort].state) for cohort in expected)


def test_a_cluster_that_wants_another_token_is_a_sentence(monkeypatch):
    import ray

    from lfads_worker.execution import ray_cluster
    from lfads_worker.execution.ray_pool import RayPool

    def refuse(**options):
        raise ConnectionError("Failed to connect to Ray cluster")

    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.setattr(ray_cluster.ray_environment, "require_reachable", lambda address: None)

    with pytest.raises(DeviceError, match=r"does not let this process in .* RAY_AUTH_TOKEN"):
        RayPool(ToyTrainer(), workers=1, address="10.0.0.1:6379")


def test_who_waits_for_workers_is_told_for_what_and_can_be_stopped(cluster, monkeypatch, caplog):
    from lfads_worker.execution import ray_pool
    from lfads_worker.execution.ray_pool import RayPool

    caplog.set_level("INFO")
    monkeypatch.setattr(ray_pool, "SECONDS_BETWEEN_WARNINGS", 0.1)
    asked = []

    def stop():
        asked.append(1)
        if len(asked) == 2:
            raise PausedError("enough")

    # Nothing in the cluster has a GPU.
    with (
        RayPool(ToyTrainer(), 1, gpus=True, address=cluster.address, while_waiting=stop) as pool,
        pytest.raises(PausedError),
    ):
        list(pool.train(tasks(2), ignore))
    assert len(asked) == 2
    assert "wanted up to 1, each with one free GPU on Ray" in caplog.text
