"""The nine defects that were found in published implementations of AutoLFADS; we have none of them."""

import ast
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lfads_worker import pbt
from lfads_worker.pbt import exploit, explore, schedule
from lfads_worker.pbt.evolve import evolve, initial_population, next_population
from lfads_worker.pbt.hyperparameters import Hyperparameter, SearchSpace
from lfads_worker.pbt.population import Member, Population
from lfads_worker.pbt.stopping import Stopping
from lfads_worker.training import state

NAMES = [
    "learning_rate",
    "dropout_rate",
    "coordinated_dropout_rate",
    "l2_generator",
    "l2_controller",
    "l2_ic_encoder",
    "l2_ci_encoder",
    "kl_initial_condition",
    "kl_inferred_inputs",
]
SPACE = SearchSpace(
    tuple(Hyperparameter(name, "log_uniform", 1e-6, 0.7, weight=0.3, enforce_limits=False) for name in NAMES)
)


def scored_population(scores, seed=0):
    return initial_population(SPACE, len(scores), np.random.default_rng(seed)).with_scores(scores)


def chain(scores, rng):
    """Everyone copies the neighbour with the next lower index, so sources are themselves replaced."""
    del rng
    return np.maximum(np.arange(len(scores)) - 1, 0)


def distinct_state(members):
    """A state whose rows are all different."""
    rows = np.arange(members, dtype=np.float32)[:, None]
    return state.CohortState(
        member_ids=np.arange(members),
        weights=rows + 0.1,
        adam_m=rows + 0.2,
        adam_v=rows + 0.3,
        steps=np.arange(members) + 100,
        smoothed=np.arange(members) + 0.5,
    )


def test_defect_1_a_copy_of_a_replaced_member_starts_from_the_values_that_earned_the_score():
    population = scored_population([0.1, 0.2, 0.3, 0.4])

    plan = evolve(population, SPACE, chain, explore.perturb, np.random.default_rng(0))

    for member in (1, 2, 3):
        snapshot = population.members[member - 1].values
        for name in NAMES:
            # One step away from the snapshot; from the source's own new value it could be two.
            one_step = abs(math.log(plan.values[member][name] / snapshot[name]))
            assert math.log1p(0.002 * 0.3) * 0.999 <= one_step <= math.log1p(0.3) * 1.001

    unmoved = evolve(population, SPACE, chain, lambda _, value, rng: value, np.random.default_rng(0))
    assert list(unmoved.values) == [population.members[source].values for source in (0, 0, 1, 2)]


def test_defect_2_the_smallest_step_does_not_collapse_over_hyperparameters_and_redraws():
    # At the top of a range every other draw is repeated; the last one steps as boldly as the first.
    space = SearchSpace(tuple(Hyperparameter(name, "log_uniform", 1e-3, 0.7, weight=0.5) for name in NAMES))
    values = {name: 0.7 for name in NAMES}
    population = Population((Member(0, values, 0.1, 0), Member(1, values, math.nan, 1)), 0)
    steps = []

    for seed in range(300):
        plan = evolve(
            population, space, exploit.binary_tournament, explore.perturb, np.random.default_rng(seed)
        )
        steps.append([abs(math.log(plan.values[1][name] / 0.7)) for name in NAMES])

    assert np.min(steps) >= math.log1p(0.002 * 0.5) * 0.999
    # Mean of U(log 1.001, log 1.5) for each of the nine.
    np.testing.assert_allclose(np.mean(steps, axis=0), (math.log(1.001) + math.log(1.5)) / 2, rtol=0.15)


def test_defect_3_a_new_learning_rate_is_not_undone_by_the_copied_optimizer():
    population = scored_population([0.1, math.nan])

    plan = evolve(population, SPACE, exploit.binary_tournament, explore.perturb, np.random.default_rng(0))
    following = next_population(population, plan)

    assert following.members[1].values["learning_rate"] == plan.values[1]["learning_rate"]
    assert plan.values[1]["learning_rate"] != population.members[0].values["learning_rate"]
    # Nothing that is copied with a member holds a hyperparameter, so there is nothing to restore over it.
    assert set(state.CohortState.__dataclass_fields__) == {
        "member_ids",
        "weights",
        "adam_m",
        "adam_v",
        "steps",
        "smoothed",
    }


def test_defect_4_weights_and_values_come_from_the_same_member_and_winners_are_not_perturbed():
    population = scored_population([0.4, 0.1, 0.3, 0.2, math.nan])
    copied = lambda _, value, rng: value  # noqa: E731

    plan = evolve(population, SPACE, exploit.binary_tournament, copied, np.random.default_rng(3))

    assert plan.exploited > 0
    assert list(plan.values) == [population.members[source].values for source in plan.sources]
    perturbed = evolve(
        population, SPACE, exploit.binary_tournament, explore.perturb, np.random.default_rng(3)
    )
    for member, source in enumerate(perturbed.sources):
        changed = perturbed.values[member] != population.members[member].values
        assert changed == (source != member)


def test_defect_5_the_smoothed_metric_moves_with_the_weights():
    before = distinct_state(3)

    after = state.gather([(before, source) for source in (0, 0, 2)], member_ids=[0, 1, 2])

    assert list(after.smoothed) == [0.5, 0.5, 2.5]
    assert list(after.steps) == [100, 100, 102]
    assert list(after.member_ids) == [0, 1, 2]  # a copy's random numbers are its own


def test_defect_6_a_plan_names_members_never_paths_and_every_member_trains_alike():
    population = scored_population([0.3, 0.1, math.nan, 0.2])

    plan = evolve(population, SPACE, exploit.binary_tournament, explore.perturb, np.random.default_rng(0))

    assert all(isinstance(source, int) for source in json.loads(json.dumps(plan.to_dict()))["sources"])
    assert next_population(population, plan).size == population.size
    # Epochs depend on the generation alone: no member, and no way of running, gets more of them.
    assert schedule.epochs_of_generation(3, ramp_epochs=80, epochs_per_generation=25) == 25


def test_defect_7_the_search_reads_no_files_no_environment_and_no_global_randomness():
    allowed = {"collections", "dataclasses", "functools", "math", "typing", "numpy", "lfads_worker"}
    folder = Path(pbt.__file__).parent

    for module in folder.glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Import):
                assert {name.name.split(".")[0] for name in node.names} <= allowed, module
            if isinstance(node, ast.ImportFrom):
                assert node.module.split(".")[0] in allowed, module
                if node.module.startswith("lfads_worker"):
                    assert node.module.startswith("lfads_worker.pbt"), module
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"open", "exec", "eval", "print"}, module
        assert "np.random" not in module.read_text(), module


def test_defect_8_a_member_at_its_lowest_learning_rate_ends_neither_itself_nor_the_search():
    lowest = {name: 1e-6 for name in NAMES}
    population = scored_population([0.3, 0.1, 0.2])
    members = (replace(population.members[0], values=lowest), *population.members[1:])
    rule = Stopping(patience=5, max_generations=50)

    plan = evolve(
        replace(population, members=members),
        SPACE,
        exploit.binary_tournament,
        explore.perturb,
        np.random.default_rng(0),
    )

    assert len(plan.sources) == 3
    # Stopping hears of the population's best scores only; there is no per-member patience or epoch limit.
    assert rule.should_stop([0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.09]) is None


@pytest.mark.parametrize("seat", [0, 1])
def test_defect_9_a_member_without_a_score_never_wins_whatever_its_seat(seat):
    scores = np.full(2, 0.5)
    scores[seat] = math.nan

    for seed in range(20):
        sources = exploit.binary_tournament(scores, np.random.default_rng(seed))
        assert list(sources) == [1 - seat, 1 - seat]


def test_defect_9_ties_move_nobody_and_half_the_population_need_not_move():
    ties = exploit.binary_tournament(np.full(10, 0.5), np.random.default_rng(0))
    assert list(ties) == list(range(10))

    # One good member among nine equals: only those who meet it are replaced, not five in every generation.
    moved = [
        int((exploit.binary_tournament(np.array([0.1] + [0.5] * 9), rng) != np.arange(10)).sum())
        for rng in map(np.random.default_rng, range(400))
    ]
    assert np.mean(moved) == pytest.approx(1, abs=0.2)
