"""Every pool must give what the serial one gives, bit for bit."""

import os
import re
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lfads_worker.driver import Driver
from lfads_worker.errors import DeviceError, DivergedError
from lfads_worker.execution.cohorts import cut
from lfads_worker.execution.serial import SerialPool
from lfads_worker.execution.toy import ToyTrainer
from lfads_worker.training.state import CohortTask

TOY = ToyTrainer(seed=1)
VALUES = {"learning_rate": 0.1, "dropout_rate": 0.2, "l2_generator": 0.01}


def tasks(cohorts=((0, 1), (2, 3), (4,)), epochs=4, generation=0):
    return [
        CohortTask(
            cohort=number,
            generation=generation,
            first_epoch=0,
            epochs=epochs,
            member_ids=members,
            state=None,
            values=(VALUES,) * len(members),
        )
        for number, members in enumerate(cohorts)
    ]


def by_cohort(results):
    return {result.cohort: result for result in results}


def ignore(cohort, epochs_done, epochs):
    pass


def test_the_serial_pool_trains_every_task_once():
    with SerialPool(ToyTrainer()) as pool:
        results = list(pool.train(tasks(), ignore))

    assert [result.cohort for result in results] == [0, 1, 2]
    assert [result.state.member_ids.tolist() for result in results] == [[0, 1], [2, 3], [4]]


def test_the_serial_pool_tells_how_far_it_is():
    seen = []

    with SerialPool(ToyTrainer()) as pool:
        list(pool.train(tasks(), lambda *progress: seen.append(progress)))

    assert seen[:4] == [(0, 1, 4), (0, 2, 4), (0, 3, 4), (0, 4, 4)]
    assert seen[-1] == (2, 4, 4)


def test_the_serial_pool_makes_one_trainer():
    made = []

    def factory(threads):
        made.append(threads)
        return ToyTrainer()

    with SerialPool(factory) as pool:
        list(pool.train(tasks(), ignore))
        pool.parameter_names_and_shapes()

    assert made == [1]


def assert_serial_and_ray_agree(run, pool):
    """Trains a run in this process and on the pool, and compares all that a run leaves."""
    cohorts = cut(7, 2)
    serial_positions, ray_positions = [], []
    with SerialPool(TOY) as serial:
        expected = Driver(run.spec, cohorts, serial, on_generation=serial_positions.append).run()
        expected_posterior = serial.posterior_averages(expected.best.state, 0, samples=3)
    found = Driver(run.spec, cohorts, pool, on_generation=ray_positions.append).run()
    posterior = pool.posterior_averages(found.best.state, 0, samples=3)

    assert sum(record.exploited for record in expected.generations) > 3
    for one, other in zip(expected.generations, found.generations, strict=True):
        assert one.population == other.population
        assert one.decisions == other.decisions
    for one, other in zip(serial_positions, ray_positions, strict=True):
        assert all(mine.equals(theirs) for mine, theirs in zip(one.states, other.states, strict=True))
    assert expected.best.state.equals(found.best.state)
    for one, other in zip(expected_posterior, posterior, strict=True):
        np.testing.assert_array_equal(one, other)
    assert pool.parameter_names_and_shapes() == TOY.parameter_names_and_shapes()


# Starting Ray takes seconds, and there can be one in a process: each class has a pool for all its tests.


@pytest.mark.ray
class TestOneRayWorker:
    @pytest.fixture(scope="class")
    @classmethod
    def home(cls, tmp_path_factory):
        with pytest.MonkeyPatch.context() as patch:
            folder = tmp_path_factory.mktemp("home")
            patch.setenv("HOME", str(folder))
            yield folder

    @pytest.fixture(scope="class")
    @classmethod
    def pool(cls, home):
        from lfads_worker.execution.ray_pool import RayPool

        with RayPool(TOY, workers=1) as pool:
            yield pool

    def test_a_run_is_the_serial_run_bit_for_bit(self, make_run, pool):
        assert_serial_and_ray_agree(make_run(population={"size": 7, "generations": 5}), pool)

    def test_the_worker_has_the_environment_of_training_from_its_start(self, pool):
        variables = Path(f"/proc/{pool.process_ids()[0]}/environ").read_text().split("\0")

        for setting in ("OMP_NUM_THREADS=1", "TF_NUM_INTRAOP_THREADS=1", "MALLOC_MMAP_MAX_=0"):
            assert setting in variables

    def test_a_closed_pool_leaves_no_process_no_folder_and_nothing_in_the_users_home(self, pool, home):
        workers, folder = pool.process_ids(), Path(os.environ["RAY_TMPDIR"])

        pool.close()

        deadline = time.monotonic() + 20
        while any(_lives(worker) for worker in workers):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert not folder.exists()
        assert list(home.iterdir()) == []


@pytest.mark.ray
class TestTwoRayWorkers:
    @pytest.fixture(scope="class")
    @classmethod
    def pool(cls):
        from lfads_worker.execution.ray_pool import RayPool

        # Epochs that take a moment, so that cohorts overlap and end in another order than they began.
        with RayPool(replace(TOY, epoch_seconds=0.02), workers=2) as pool:
            yield pool

    def test_a_run_is_the_serial_run_bit_for_bit(self, make_run, pool):
        assert_serial_and_ray_agree(make_run(population={"size": 7, "generations": 5}), pool)

    def test_two_processes_share_the_work_and_tell_how_far_they_are(self, pool):
        seen = []
        cohorts = ((0,), (1,), (2,))
        assert os.getpid() not in pool.process_ids()  # both are there

        results = list(pool.train(tasks(cohorts, epochs=80), lambda *told: seen.append(told)))

        assert len({result.worker for result in results}) == 2
        assert any(0 < done < epochs for _, done, epochs in seen)
        assert {cohort for cohort, _, _ in seen} == {0, 1, 2}

    def test_ray_starts_no_process_for_work_that_never_comes(self, pool):
        logs = Path(os.environ["RAY_TMPDIR"]).glob("ray/session_2*/logs/python-core-worker-*.log")

        assert {int(path.stem.rpartition("_")[2]) for path in logs} == set(pool.process_ids())


FAILING, DEADLY, KILLED = 1, 2, 3


@pytest.mark.ray
class TestTrouble:
    @pytest.fixture(scope="class")
    @classmethod
    def victim(cls, tmp_path_factory):
        """The process that trains cohort 0 of the generation in which it is killed, once it has begun."""
        return tmp_path_factory.mktemp("trouble") / "process"

    @pytest.fixture(scope="class")
    @classmethod
    def pool(cls, victim):
        from lfads_worker.execution.ray_pool import RayPool

        class Troubled(ToyTrainer):  # a local class travels by value
            def train_generation(self, task, progress=None):
                if task.generation == FAILING:
                    raise DivergedError("wanted this, found that; do something else")
                if task.generation == DEADLY:
                    os._exit(1)
                if (task.generation, task.cohort) == (KILLED, 0) and not victim.exists():
                    progress(1, task.epochs)
                    victim.write_text(str(os.getpid()))
                    time.sleep(600)
                return super().train_generation(task, progress)

        with RayPool(Troubled(), workers=2) as pool:
            yield pool

    def test_a_cohort_whose_worker_dies_is_done_again_with_the_same_result(self, pool, victim, caplog):
        with SerialPool(ToyTrainer()) as serial:
            expected = by_cohort(serial.train(tasks(generation=KILLED), ignore))
        killed = []

        def kill_once(cohort, epochs_done, epochs):
            if not killed and cohort == 0 and epochs_done and victim.exists():
                killed.append(int(victim.read_text()))
                os.kill(killed[0], signal.SIGKILL)

        found = by_cohort(pool.train(tasks(generation=KILLED), kill_once))

        assert killed
        # Of its machine, if that is too busy to tell Ray in time what became of the process.
        assert re.search(
            r"cohort 0: its (worker ended|machine .*) in generation 3; it is done again", caplog.text
        )
        assert found.keys() == expected.keys()
        assert all(found[cohort].state.equals(expected[cohort].state) for cohort in expected)

    def test_what_goes_wrong_in_a_worker_is_raised_as_itself(self, pool):
        with pytest.raises(DivergedError, match="wanted this, found that"):
            list(pool.train(tasks(((0,),), generation=FAILING), ignore))

    def test_a_cohort_that_always_ends_its_worker_is_an_error_that_says_what_to_do(self, pool):
        with pytest.raises(DeviceError, match=r"its worker ended 3 times.*smaller compute.membersPerCohort"):
            list(pool.train(tasks(((0,),), generation=DEADLY), ignore))


def _lives(process_id):
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().split()[2]
    except FileNotFoundError:
        return False
    return state != "Z"
