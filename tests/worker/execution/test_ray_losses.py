"""How the pool takes what Ray raises, its own classes on a Ray that only pretends; no process is started."""

import pickle
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from ray import exceptions
from ray.core.generated.common_pb2 import ActorDiedErrorContext

from autolfads_spec import dump_run
from lfads_worker.attempt import end_class
from lfads_worker.errors import DeviceError, DivergedError, MemoryFullError
from lfads_worker.execution import choice, ray_pool, ray_worker
from lfads_worker.execution.ray_pool import RayPool
from lfads_worker.execution.serial import SerialPool
from lfads_worker.execution.toy import ToyTrainer
from lfads_worker.training.state import CohortTask

VALUES = {"learning_rate": 0.1, "dropout_rate": 0.2, "l2_generator": 0.01}

OUT_OF_MEMORY = exceptions.OutOfMemoryError("Task was killed due to the node running low on memory.")
OBJECT_LOST = exceptions.ObjectLostError("ab" * 28, b"", "")
MACHINE_LOST = [
    exceptions.NodeDiedError("the node is dead"),
    exceptions.ActorUnavailableError("no answer", None),
    OBJECT_LOST,
    exceptions.ObjectFetchTimedOutError("ab" * 28, b"", ""),
    exceptions.OwnerDiedError("ab" * 28, b"", ""),
    exceptions.ReferenceCountingAssertionError("ab" * 28, b"", ""),
    exceptions.ObjectReconstructionFailedError("ab" * 28, reason_message="no lineage"),
]
PROCESS_LOST = [
    exceptions.RayActorError(),
    exceptions.ActorDiedError(),
    exceptions.ActorDiedError(ActorDiedErrorContext(actor_id=b"a" * 16, error_message="SIGKILL")),
    exceptions.WorkerCrashedError(),
    exceptions.RuntimeEnvSetupError("agent died"),
    exceptions.ActorUnschedulableError("no room"),
    OUT_OF_MEMORY,
]


def name(error):
    return type(error).__name__


@dataclass(eq=False)
class Reference:
    """An answer that is there, an error, or, as None, one that never comes."""

    answer: Any


@dataclass(eq=False)
class Method:
    answer: Any

    def remote(self, *arguments):
        answer = self.answer(*arguments)
        return answer if isinstance(answer, Reference) else Reference(answer)


@dataclass(eq=False)
class Script:
    """What happens to workers: `trouble(actor number, task)` gives an error, or None, or `HANG`."""

    trouble: Any = lambda number, task: None
    start: Any = lambda number: None
    averages: Any = lambda number: None
    progress: Any = lambda number: 0
    nodes: set = field(default_factory=lambda: {"node"})
    started: int = 0
    killed: list = field(default_factory=list)
    trained: Counter = field(default_factory=Counter)

    def reference(self, number, task):
        """To the result of a task."""
        trouble = self.trouble(number, task)
        if trouble is HANG:
            return Reference(None)
        return Reference(trouble or pickle.dumps(ToyTrainer(seed=1).train_generation(task)))


HANG = "hang"
AVERAGES = pickle.dumps("averages")


class Actor:
    def __init__(self, script):
        self._script, self._number = script, script.started
        script.started += 1

    def __getattr__(self, called):
        return Method(getattr(self, f"_{called}"))

    def _place(self):
        return self._script.start(self._number) or ("node", "host", 1)

    def _train(self, task):
        self._script.trained[task.cohort] += 1
        return self._script.reference(self._number, task)

    def _steps_done(self):
        return self._script.progress(self._number)

    def _posterior_averages(self, state, row, samples):
        averages = self._script.averages(self._number)
        return Reference(None) if averages is HANG else averages or AVERAGES

    def _parameter_names_and_shapes(self):
        return self._script.averages(self._number) or []


@dataclass
class Class:
    """Of actors."""

    script: Script

    def options(self, **options):
        return self

    def remote(self, trainer_factory, threads):
        return Actor(self.script)


class PretendedRay:
    """The functions of Ray that pool and worker call."""

    def __init__(self, script):
        self._script = script

    def put(self, value):
        return value

    def remote(self, **options):
        return lambda actor_class: Class(self._script)

    def kill(self, actor):
        self._script.killed.append(actor._number)

    def wait(self, references, num_returns, timeout):
        ready = [one for one in references if one.answer is not None][:num_returns]
        return ready, [one for one in references if one not in ready]

    def get(self, reference, timeout=None):
        if reference.answer is None:
            raise exceptions.GetTimeoutError
        if isinstance(reference.answer, Exception):
            raise reference.answer
        return reference.answer


@pytest.fixture
def open_pool(monkeypatch):
    """`open_pool(script, ...)`: a pool whose workers do what that script says."""

    def open_it(script, workers=2, **options):
        ray = PretendedRay(script)
        for module in (ray_pool, ray_worker):
            monkeypatch.setattr(module, "ray", ray)
        monkeypatch.setattr(ray_pool, "RayConnection", lambda *arguments: Connection(script))
        return RayPool(ToyTrainer(seed=1), workers, **options)

    return open_it


@dataclass
class Connection:
    script: Script

    def has_node(self, node):
        return node in self.script.nodes

    def close(self):
        pass


def tasks(count=3, generation=0):
    return [CohortTask(c, generation, 0, 4, (2 * c, 2 * c + 1), None, (VALUES,) * 2) for c in range(count)]


def ignore(cohort, epochs_done, epochs):
    pass


def once(error, cohort=1):
    """That error for the first worker that trains this cohort."""
    left = [error]

    def trouble(number, task):
        return left.pop() if task.cohort == cohort and left else None

    return trouble


@pytest.mark.parametrize("error", MACHINE_LOST + PROCESS_LOST, ids=name)
def test_a_cohort_whose_worker_is_lost_is_done_again_with_the_same_result(open_pool, caplog, error):
    script = Script(once(error))
    with SerialPool(ToyTrainer(seed=1)) as serial:
        expected = {result.cohort: result for result in serial.train(tasks(), ignore)}

    with open_pool(script) as pool:
        found = {result.cohort: result for result in pool.train(tasks(), ignore)}

    assert script.trained == {0: 1, 1: 2, 2: 1}
    assert len(script.killed) == 1  # and another one in its place
    assert script.started == 3
    assert "cohort 1: its" in caplog.text
    assert "it is done again on another one" in caplog.text
    assert all(found[cohort].state.equals(expected[cohort].state) for cohort in expected)


@pytest.mark.parametrize("error", MACHINE_LOST, ids=name)
def test_what_is_lost_with_a_machine_is_bounded_by_the_spec(open_pool, error):
    with (
        open_pool(Script(lambda number, task: error), address="head:6379", allowed_losses=4) as pool,
        pytest.raises(DeviceError, match=r"lost.* 5 times in this attempt, and .*maxMemberFailures allows 4"),
    ):
        list(pool.train(tasks(1), ignore))


def test_a_worker_out_of_reach_on_one_machine_has_ended(open_pool):
    """Ray says so before it hears of the end, where a machine without memory is slow."""
    error = exceptions.ActorUnavailableError("no answer", None)

    with (
        open_pool(Script(lambda number, task: error), allowed_losses=4) as pool,
        pytest.raises(MemoryFullError, match=r"its worker ended 3 times; .*use fewer --workers than 2"),
    ):
        list(pool.train(tasks(1), ignore))


def test_machines_that_the_spec_allows_to_be_lost_end_nothing(open_pool):
    lost = iter([OBJECT_LOST] * 4)

    with open_pool(Script(lambda number, task: next(lost, None)), allowed_losses=4) as pool:
        assert len(list(pool.train(tasks(1), ignore))) == 1


def test_losses_of_earlier_generations_of_the_attempt_count(open_pool):
    script = Script(lambda number, task: OBJECT_LOST if script.trained[0] % 2 else None)

    with open_pool(script, allowed_losses=2) as pool:
        list(pool.train(tasks(1, generation=0), ignore))
        list(pool.train(tasks(1, generation=1), ignore))
        with pytest.raises(DeviceError) as raised:
            list(pool.train(tasks(1, generation=2), ignore))

    assert end_class(raised.value).is_worth_another_attempt


def test_a_process_that_ends_with_its_machine_is_a_lost_machine(open_pool):
    script = Script(lambda number, task: exceptions.ActorDiedError(), nodes=set())

    with open_pool(script, allowed_losses=0) as pool, pytest.raises(DeviceError, match="maxMemberFailures"):
        list(pool.train(tasks(1), ignore))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": 3}, "3 times; use fewer --workers than 3, or set a smaller compute.membersPerCohort"),
        ({"workers": 1}, "3 times; close other programs, or set a smaller compute.membersPerCohort"),
        ({"workers": 3, "address": "head:6379"}, "3 times; choose a compute.accelerator.machineType with"),
    ],
    ids=["here", "one worker", "cluster"],
)
def test_memory_that_is_full_again_and_again_says_what_to_change(open_pool, options, said):
    with (
        open_pool(Script(lambda number, task: OUT_OF_MEMORY), **options) as pool,
        pytest.raises(MemoryFullError, match=f"memory was nearly full {re.escape(said)}"),
    ):
        list(pool.train(tasks(1), ignore))


def test_what_goes_wrong_in_a_worker_is_raised_as_itself(open_pool):
    wrong = exceptions.RayTaskError("train", "a traceback", DivergedError("wanted this"), ip="10.0.0.1")

    with open_pool(Script(lambda number, task: wrong)) as pool, pytest.raises(DivergedError):
        list(pool.train(tasks(1), ignore))


@pytest.mark.parametrize("error", MACHINE_LOST + PROCESS_LOST, ids=name)
def test_a_worker_lost_while_it_starts_is_tried_again(open_pool, error):
    script = Script(start=lambda number: error if number == 0 else None)

    with open_pool(script, workers=1) as pool:
        assert len(list(pool.train(tasks(), ignore))) == 3
    assert script.started == 2


@pytest.mark.parametrize("error", MACHINE_LOST + PROCESS_LOST, ids=name)
def test_workers_that_never_start_are_a_sentence(open_pool, error):
    script = Script(start=lambda number: error)

    with open_pool(script) as pool, pytest.raises(DeviceError, match="3 in a row ended while") as raised:
        list(pool.train(tasks(), ignore))
    assert isinstance(raised.value, MemoryFullError) == (error is OUT_OF_MEMORY)


def test_machines_lost_while_workers_start_on_them_end_nothing_as_long_as_one_trains(open_pool, caplog):
    """The first worker trains; the machines of all others go away again while they start, three at once."""
    script = Script(start=lambda number: exceptions.NodeDiedError("taken away") if 0 < number < 20 else None)

    with open_pool(script, workers=4, address="head:6379") as pool:
        assert len(list(pool.train(tasks(30), ignore))) == 30
    assert script.started > 5
    assert "a worker ended while it started (taken away); it is started again" in caplog.text


def test_one_machine_does_without_a_worker_that_never_starts_beside_another(open_pool, caplog):
    script = Script(start=lambda number: OUT_OF_MEMORY if number > 0 else None)

    with open_pool(script, workers=2) as pool:
        assert len(list(pool.train(tasks(30), ignore))) == 30
    assert script.started <= 2 + ray_pool.MOST_FAILED_STARTS
    assert "a worker ended while it started, 3 times" in caplog.text
    assert "the run goes on with 1 worker" in caplog.text


@pytest.mark.parametrize("error", MACHINE_LOST + PROCESS_LOST, ids=name)
def test_averages_whose_worker_is_lost_are_asked_of_another_one(open_pool, caplog, error):
    script = Script(averages=lambda number: error if number == 0 else None)

    with open_pool(script, workers=1) as pool:
        assert pool.posterior_averages(None, 0, 5) == "averages"
        assert pool.parameter_names_and_shapes() == []
    assert script.killed == [0]
    assert "another one does it again" in caplog.text


def test_averages_that_end_every_worker_say_what_to_change(open_pool):
    script = Script(averages=lambda number: OUT_OF_MEMORY)

    with (
        open_pool(script) as pool,
        pytest.raises(MemoryFullError, match=r"output\.posteriorSamples.*3 times"),
    ):
        pool.posterior_averages(None, 0, 5)


@pytest.mark.parametrize("error", MACHINE_LOST + PROCESS_LOST, ids=name)
def test_a_lost_answer_about_progress_harms_nothing(open_pool, error):
    script = Script(once(HANG), progress=lambda number: error)
    clock = Clock(step=400.0)

    with open_pool(script, clock=clock) as pool:
        assert len(list(pool.train(tasks(), ignore))) == 3


@dataclass
class Clock:
    """That goes by so much with each look at it."""

    step: float
    now: float = 0.0

    def __call__(self):
        self.now += self.step
        return self.now


def test_a_worker_that_stands_still_is_replaced_and_its_cohort_done_again(open_pool, caplog):
    script = Script(once(HANG), progress=lambda number: 0)
    with SerialPool(ToyTrainer(seed=1)) as serial:
        expected = {result.cohort: result for result in serial.train(tasks(), ignore)}
    clock = Clock(step=10.0)

    with open_pool(script, clock=clock) as pool:
        found = {result.cohort: result for result in pool.train(tasks(), ignore)}

    assert script.trained == {0: 1, 1: 2, 2: 1}
    assert len(script.killed) == 1
    assert "cohort 1: no epoch has ended for" in caplog.text
    assert "cohort 1: its worker stood still in generation 0; it is done again" in caplog.text
    assert all(found[cohort].state.equals(expected[cohort].state) for cohort in expected)


def test_averages_whose_worker_stands_still_are_asked_of_another_one(open_pool, caplog):
    script = Script(averages=lambda number: HANG if number == 0 else None, progress=lambda number: 2)
    clock = Clock(step=10.0)

    with open_pool(script, workers=1, clock=clock) as pool:
        assert pool.posterior_averages(None, 0, 5) == "averages"
    assert script.killed == [0]
    assert 600 < clock.now < 700  # it has ended two batches, so nothing is compiled any more
    assert "posterior samples: no batch has ended for 10 min" in caplog.text
    assert "the worker stood still that averaged them; another one does it again" in caplog.text


def test_averages_that_stand_still_count_as_lost_machines(open_pool):
    script = Script(averages=lambda number: HANG)

    with (
        open_pool(script, workers=1, allowed_losses=1, clock=Clock(step=30.0)) as pool,
        pytest.raises(DeviceError, match=r"output\.posteriorSamples.* stood still, 2 times .* allows 1"),
    ):
        pool.posterior_averages(None, 0, 5)
    assert script.killed == [0, 1]


def test_a_worker_that_has_compiled_is_given_ten_minutes_and_a_new_one_an_hour(open_pool):
    """One worker: its second generation hangs after ten minutes, and so does the one in its place, later."""
    hanging = {0, 1}
    script = Script(lambda number, task: HANG if task.generation == 1 and number in hanging else None)
    clock = Clock(step=1.0)

    with open_pool(script, workers=1, clock=clock) as pool:
        list(pool.train(tasks(1), ignore))
        began, seen = clock.now, []
        for _ in pool.train(tasks(1, generation=1), lambda *told: seen.append(clock.now)):
            pass

    assert script.killed == [0, 1]
    assert 10 * 60 + 60 * 60 < clock.now - began < 75 * 60


def test_standing_still_counts_as_a_lost_machine(open_pool):
    script = Script(lambda number, task: HANG)

    with (
        open_pool(script, allowed_losses=1, clock=Clock(step=30.0)) as pool,
        pytest.raises(DeviceError, match=r"stood still, 2 times .* allows 1"),
    ):
        list(pool.train(tasks(1), ignore))
    assert script.killed == [0, 1]


class Late(Reference):
    """An answer that comes at a time."""

    def __init__(self, result, clock, time):
        self._result, self._clock, self._time = result, clock, time

    @property
    def answer(self):
        return self._result if self._clock.now > self._time else None


@pytest.mark.parametrize("answers", [True, False], ids=["answers in between", "only results"])
def test_a_slow_worker_that_moves_is_left_alone(open_pool, answers):
    """A quarter of an hour an epoch, as it answers or by its result alone."""
    clock, began = Clock(step=10.0), []

    class Slow(Script):
        def reference(self, number, task):
            began.append(clock.now)
            made = pickle.dumps(ToyTrainer(seed=1).train_generation(task))
            return Late(made, clock, clock.now + 3000)

    script = Slow(progress=lambda number: min(int((clock.now - began[-1]) // 900), 3) if answers else 0)

    with open_pool(script, workers=1, clock=clock) as pool:
        assert len(list(pool.train(tasks(2), ignore))) == 2
        assert len(list(pool.train(tasks(1, generation=1), ignore))) == 1
    assert script.killed == []
    assert clock.now > 3 * 3000


def test_slow_averages_that_move_are_left_alone(open_pool):
    """A quarter of an hour a batch."""
    clock = Clock(step=10.0)
    script = Script(
        averages=lambda number: Late(AVERAGES, clock, 9000.0), progress=lambda number: int(clock.now // 900)
    )

    with open_pool(script, workers=1, clock=clock) as pool:
        assert pool.posterior_averages(None, 0, 5) == "averages"
    assert script.killed == []
    assert clock.now > 9000


def test_the_spec_says_how_often_a_machine_may_be_lost(invoke, make_run, tmp_path, monkeypatch):
    asked = []

    def open_it(self, make_trainer, while_waiting, allowed_losses):
        asked.append(allowed_losses)
        raise DeviceError("enough")

    size = ("--conditions", 4, "--trials-per-condition", 15, "--bins", 10)
    assert invoke("synthesize", "lorenz", "data.h5", *size).exit_code == 0
    (tmp_path / "run.yaml").write_text(dump_run(make_run(retry={"maxMemberFailures": 7})))
    monkeypatch.setattr(choice.Choice, "open", open_it)

    assert invoke("run", "run.yaml", "--workers", 2).exit_code == 6
    assert asked == [7]


def test_the_pool_is_opened_with_it(monkeypatch):
    opened = []
    monkeypatch.setattr(ray_pool, "RayPool", lambda *given, **options: opened.append(options))

    choice.Choice(2, gpus=False).open(ToyTrainer(), allowed_losses=7)

    assert opened[0]["allowed_losses"] == 7
