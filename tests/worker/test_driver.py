import logging
import math
from dataclasses import replace

import numpy as np
import pytest

from lfads_worker.driver import Driver
from lfads_worker.errors import DivergedError
from lfads_worker.execution.cohorts import cut
from lfads_worker.execution.pool import CohortPool
from lfads_worker.execution.serial import SerialPool
from lfads_worker.execution.toy import ToyTrainer
from lfads_worker.training.state import CohortState


class ScriptedPool(CohortPool):
    """Gives the scores of a script, and weights that tell where they came from."""

    description = "a script"

    def __init__(self, scores, reverse=False, clock=None):
        """scores: [generations][members]; reverse: the last cohort first; clock: a minute a generation."""
        self.scores = scores
        self.reverse = reverse
        self.clock = clock
        self.tasks = []

    def train(self, tasks, on_progress):
        self.tasks.append(tasks)
        for task in reversed(tasks) if self.reverse else tasks:
            on_progress(task.cohort, 1, task.epochs)
            result = ToyTrainer().train_generation(task)
            ids = np.array(task.member_ids)
            weights = np.full((len(ids), 6), 100 * task.generation, dtype=np.float32) + ids[:, None]
            state = replace(result.state, weights=weights.astype(np.float32))
            scores = np.array([self.scores[task.generation][member] for member in task.member_ids])
            yield replace(result, state=state, scores=scores)
        if self.clock is not None:
            self.clock.now += 60.0

    def posterior_averages(self, state, row, samples): ...

    def parameter_names_and_shapes(self): ...

    def close(self): ...


class Clock:
    """Stands still until somebody moves it."""

    now = 0.0

    def __call__(self):
        return self.now


def drive(run, pool, members_per_cohort=2, **options):
    spec = run.spec
    return Driver(spec, cut(spec.population.size, members_per_cohort), pool, **options).run()


def toy(run, members_per_cohort=2, **options):
    with SerialPool(ToyTrainer(seed=run.spec.population.seed)) as pool:
        return drive(run, pool, members_per_cohort, **options)


def test_generation_0_trains_the_ramp_too_and_nobody_is_selected_before_it_ends(make_run):
    history = toy(make_run())

    first, second, *_ = history.generations
    assert (first.first_epoch, first.epochs) == (0, 5 + 3)
    assert (second.first_epoch, second.epochs) == (8, 3)
    assert len(first.logs[0].valid_nll) == 8
    assert [member.parent for member in first.population.members] == [0, 1, 2, 3, 4]


def test_all_generations_are_trained_and_the_last_decides_nothing(make_run):
    history = toy(make_run())

    assert [record.generation for record in history.generations] == [0, 1, 2, 3]
    assert [len(record.decisions) for record in history.generations] == [5, 5, 5, 0]
    assert history.stop_reason == "all 4 generations are done"


def test_every_task_has_all_nine_hyperparameters(make_run):
    run = make_run(training={"l2Generator": 0.25})
    pool = ScriptedPool([[1.0] * 5] * 4)

    drive(run, pool)

    values = pool.tasks[0][0].values[0]
    assert set(values) == {
        "learning_rate",
        "dropout_rate",
        "coordinated_dropout_rate",
        "l2_generator",
        "l2_controller",
        "l2_ic_encoder",
        "l2_ci_encoder",
        "kl_initial_condition",
        "kl_inferred_inputs",
    }
    assert values["l2_generator"] == 0.25
    assert 1e-3 <= values["learning_rate"] <= 0.5


def test_a_loser_goes_on_with_the_state_of_its_source_and_its_own_identity(make_run):
    run = make_run(population={"size": 2, "generations": 2})
    pool = ScriptedPool([[2.0, 1.0], [2.0, 1.0]])

    drive(run, pool, members_per_cohort=1)

    loser, winner = pool.tasks[1]
    assert loser.state.weights[0, 0] == 1.0  # member 1's in generation 0
    assert loser.state.member_ids.tolist() == [0]
    assert loser.values != winner.values
    assert winner.state.weights[0, 0] == 1.0
    assert winner.values == pool.tasks[0][1].values


def test_a_diverged_member_is_replaced_and_the_others_go_on(make_run, caplog):
    run = make_run(population={"size": 3, "generations": 2})
    pool = ScriptedPool([[math.nan, 2.0, 2.0], [1.0, 1.0, 1.0]])

    with caplog.at_level(logging.WARNING, "lfads_worker"):
        history = drive(run, pool)

    replaced = history.generations[0].decisions[0]
    assert replaced.forced
    assert pool.tasks[1][0].state.weights[0, 0] == replaced.source
    assert "1 of 3 members diverged" in caplog.text


def test_all_members_diverged_is_an_error_that_names_the_learning_rates(make_run):
    pool = ScriptedPool([[1.0] * 5, [math.nan] * 5])

    with pytest.raises(DivergedError) as caught:
        drive(make_run(), pool)

    for part in ("generation 1", "all 5 diverged", "learning rates", "lower training.learningRate"):
        assert part in str(caught.value)


def test_the_best_member_of_all_generations_is_kept_as_it_was(make_run):
    run = make_run(population={"size": 3, "generations": 3})
    pool = ScriptedPool([[3.0, 2.5, 3.0], [2.0, 1.0, 2.0], [1.5, 1.0, 1.5]])

    best = drive(run, pool).best

    assert (best.generation, best.member, best.score) == (
        1,
        1,
        1.0,
    )  # the tie of generation 2 changes nothing
    assert best.state.weights[0, 0] == 101.0
    assert best.state.member_ids.tolist() == [1]
    assert best.values == pool.tasks[1][0].values[1]


def test_a_run_stops_when_nothing_improves(make_run):
    run = make_run(population={"size": 2, "generations": 50, "stopping": {"patience": 2}})
    pool = ScriptedPool([[2.0, 2.0], [1.0, 1.0]] + [[1.0, 1.0]] * 48)

    history = drive(run, pool)

    assert len(history.generations) == 4
    assert "improved by no more than 0.05 % in 2 generations" in history.stop_reason
    assert history.generations[-1].decisions == ()


def test_a_run_stops_when_its_time_is_over(make_run):
    run = make_run(population={"generations": 50, "stopping": {"maxHours": 2.5 / 60}})

    clock = Clock()

    history = drive(run, ScriptedPool([[1.0] * 5] * 50, clock=clock), clock=clock)

    assert len(history.generations) == 3  # of a minute each
    assert "time limit" in history.stop_reason


def test_the_order_in_which_cohorts_finish_changes_nothing(make_run):
    scores = np.random.default_rng(0).random((4, 5)).tolist()

    forward = drive(make_run(), ScriptedPool(scores))
    backward = drive(make_run(), ScriptedPool(scores, reverse=True))

    assert_same(forward, backward)


def test_the_cut_into_cohorts_changes_nothing_for_independent_members(make_run):
    one, other = toy(make_run(), members_per_cohort=1), toy(make_run(), members_per_cohort=5)

    assert [record.population for record in one.generations] == [
        record.population for record in other.generations
    ]
    assert one.best.state.equals(other.best.state)


def test_the_same_seed_gives_the_same_run_and_another_seed_another(make_run):
    assert_same(toy(make_run()), toy(make_run()))

    other = toy(make_run(population={"seed": 2}))
    assert other.generations[0].population != toy(make_run()).generations[0].population


def test_population_based_training_beats_what_it_started_with(make_run):
    history = toy(make_run(population={"size": 8, "generations": 12}))

    assert history.best.score < history.generations[0].best.score / 2


@pytest.mark.parametrize("committed", [0, 1, 2])
def test_a_run_goes_on_from_any_committed_position_as_if_never_stopped(make_run, committed):
    positions = []
    whole = toy(make_run(), on_generation=positions.append)

    run = make_run()
    with SerialPool(ToyTrainer(seed=1)) as pool:
        resumed = Driver(run.spec, whole.cohorts, pool).run(start=positions[committed])

    assert_same(whole, resumed)


def test_a_finished_position_trains_nothing_more(make_run):
    positions = []
    whole = toy(make_run(), on_generation=positions.append)

    pool = ScriptedPool([])
    again = Driver(make_run().spec, whole.cohorts, pool).run(start=positions[-1])

    assert pool.tasks == []
    assert_same(whole, again)


def test_every_generation_is_committed_once_with_what_comes_next(make_run):
    positions = []

    toy(make_run(), on_generation=positions.append)

    assert [len(position.generations) for position in positions] == [1, 2, 3, 4]
    assert [position.population.generation for position in positions] == [1, 2, 3, 3]
    assert [position.stop_reason is None for position in positions] == [True, True, True, False]


def test_one_line_a_generation_is_logged(make_run, caplog):
    run = make_run(population={"size": 2, "generations": 2})
    clock = Clock()

    with caplog.at_level(logging.INFO, "lfads_worker.driver"):
        drive(run, ScriptedPool([[2.0, 1.0], [0.5, 1.0]], clock=clock), clock=clock)

    assert [record.getMessage() for record in caplog.records] == [
        "generation 0 (1 of 2): best 1.0000 (member 1), 1 exploited, 60 s, about 26 s left",
        "generation 1 (2 of 2): best 0.5000 (member 0), 0 exploited, 60 s",
        "stopped: all 2 generations are done",
    ]


def assert_same(one, other):
    assert one.cohorts == other.cohorts
    assert one.stop_reason == other.stop_reason
    for mine, theirs in zip(one.generations, other.generations, strict=True):
        assert mine.population == theirs.population
        assert mine.decisions == theirs.decisions
        assert mine.values == theirs.values
        for log, other_log in zip(mine.logs, theirs.logs, strict=True):
            np.testing.assert_array_equal(log.valid_nll, other_log.valid_nll)
    assert isinstance(one.best.state, CohortState)
    assert one.best.state.equals(other.best.state)
    assert (one.best.generation, one.best.member) == (other.best.generation, other.best.member)
