import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfads_worker.pbt import exploit, explore
from lfads_worker.pbt.evolve import Decision, Plan, evolve, initial_population, next_population
from lfads_worker.pbt.hyperparameters import Hyperparameter, SearchSpace

SEEDS = st.integers(0, 2**32 - 1)
LOSSES = st.one_of(st.floats(-5, 5), st.sampled_from([0.25, math.nan]))
SPACE = SearchSpace(
    (
        Hyperparameter("learning_rate", "uniform", low=1e-5, high=5e-3, start=4e-3),
        Hyperparameter("dropout_rate", "uniform", low=0.0, high=0.6),
        Hyperparameter("l2_generator", "log_uniform", low=1e-4, high=1.0, weight=0.8),
        Hyperparameter("coordinated_dropout_rate", "choice", choices=(0.1, 0.3, 0.5)),
    )
)
EXPLOITS = st.sampled_from([exploit.strategy("BinaryTournament"), exploit.strategy("Truncation", 0.3)])
EXPLORES = st.sampled_from(
    [explore.strategy("Perturb"), explore.strategy("Perturb", 0.5), explore.strategy("Resample")]
)


@st.composite
def populations(draw):
    """Scored populations as they are after a generation of training, failed members included."""
    scores = draw(st.lists(LOSSES, min_size=1, max_size=16))
    first = initial_population(SPACE, len(scores), np.random.default_rng(draw(SEEDS)))
    return replace(first, generation=draw(st.integers(0, 9))).with_scores(scores)


@given(populations(), EXPLOITS, EXPLORES, SEEDS)
def test_a_plan_keeps_the_size_and_stays_in_bounds(population, exploit_, explore_, seed):
    plan = evolve(population, SPACE, exploit_, explore_, np.random.default_rng(seed))

    assert len(plan.sources) == len(plan.values) == len(plan.decisions) == population.size
    assert all(0 <= source < population.size for source in plan.sources)
    for values in plan.values:
        assert set(values) == set(SPACE.names)
        for hyperparameter in SPACE.hyperparameters:
            low, high = hyperparameter.limits
            assert low <= values[hyperparameter.name] <= high


@given(populations(), EXPLOITS, EXPLORES, SEEDS)
def test_members_that_are_not_copies_keep_their_values_to_the_last_bit(population, exploit_, explore_, seed):
    plan = evolve(population, SPACE, exploit_, explore_, np.random.default_rng(seed))

    for member, source, values in zip(population.members, plan.sources, plan.values, strict=True):
        if source == member.index:
            assert values == member.values


@given(populations(), EXPLOITS, EXPLORES, SEEDS)
def test_the_elite_is_never_replaced_nor_changed(population, exploit_, explore_, seed):
    plan = evolve(population, SPACE, exploit_, explore_, np.random.default_rng(seed))

    if population.best is not None:
        assert plan.sources[population.best.index] == population.best.index
        assert plan.values[population.best.index] == population.best.values


@given(populations(), EXPLOITS, EXPLORES, SEEDS)
def test_decisions_tell_the_whole_plan(population, exploit_, explore_, seed):
    plan = evolve(population, SPACE, exploit_, explore_, np.random.default_rng(seed))

    for member, decision in zip(population.members, plan.decisions, strict=True):
        source = population.members[plan.sources[member.index]]
        assert (decision.generation, decision.member) == (population.generation, member.index)
        assert decision.source == source.index
        assert decision.exploited == (source.index != member.index)
        assert decision.forced == (decision.exploited and not member.has_score)
        assert decision.old_values == member.values
        assert decision.new_values == plan.values[member.index]
        np.testing.assert_equal([decision.score, decision.source_score], [member.score, source.score])
    assert plan.exploited == sum(source != index for index, source in enumerate(plan.sources))


@given(populations(), EXPLOITS, EXPLORES, SEEDS)
def test_evolving_changes_nothing_and_repeats_itself(population, exploit_, explore_, seed):
    before = population.to_dict()

    plans = [evolve(population, SPACE, exploit_, explore_, np.random.default_rng(seed)) for _ in range(2)]

    assert plans[0] == plans[1]
    assert population.to_dict() == before


@given(populations(), EXPLOITS, EXPLORES, SEEDS)
def test_a_plan_survives_strict_json(population, exploit_, explore_, seed):
    plan = evolve(population, SPACE, exploit_, explore_, np.random.default_rng(seed))

    read = Plan.from_dict(json.loads(json.dumps(plan.to_dict(), allow_nan=False)))

    assert read == plan
    assert next_population(population, read) == next_population(population, plan)


@given(populations(), EXPLOITS, EXPLORES, SEEDS)
def test_the_next_population_follows_the_plan(population, exploit_, explore_, seed):
    plan = evolve(population, SPACE, exploit_, explore_, np.random.default_rng(seed))

    following = next_population(population, plan)

    assert following.generation == population.generation + 1
    assert tuple(member.parent for member in following.members) == plan.sources
    assert tuple(member.values for member in following.members) == plan.values
    assert not any(member.has_score for member in following.members)


def test_when_all_failed_the_plan_says_so_and_moves_nobody():
    population = initial_population(SPACE, 4, np.random.default_rng(0)).with_scores([math.nan] * 4)

    plan = evolve(population, SPACE, exploit.binary_tournament, explore.perturb, np.random.default_rng(0))

    assert plan.all_failed
    assert plan.sources == (0, 1, 2, 3)
    assert plan.values == tuple(member.values for member in population.members)


def test_a_failed_member_is_replaced_by_force():
    population = initial_population(SPACE, 3, np.random.default_rng(0)).with_scores([0.2, math.nan, 0.2])

    plan = evolve(population, SPACE, exploit.binary_tournament, explore.perturb, np.random.default_rng(0))

    assert [decision.forced for decision in plan.decisions] == [False, True, False]
    assert not plan.all_failed
    assert plan.exploited == 1


def test_the_first_population_has_fixed_starts_and_draws_the_rest():
    population = initial_population(SPACE, 20, np.random.default_rng(0))

    assert {member.values["learning_rate"] for member in population.members} == {4e-3}
    assert len({member.values["l2_generator"] for member in population.members}) == 20
    assert [member.parent for member in population.members] == list(range(20))
    assert population.generation == 0


def test_values_that_are_not_searched_come_from_the_source():
    space = SearchSpace(())
    population = initial_population(space, 2, np.random.default_rng(0)).with_scores([0.1, math.nan])
    members = tuple(replace(m, values={"kl_ramp": float(m.index)}) for m in population.members)

    plan = evolve(
        replace(population, members=members),
        space,
        exploit.binary_tournament,
        explore.perturb,
        np.random.default_rng(0),
    )

    assert plan.values == ({"kl_ramp": 0.0}, {"kl_ramp": 0.0})


def test_a_member_without_a_searched_value_is_refused():
    population = initial_population(SearchSpace(()), 2, np.random.default_rng(0)).with_scores([0.1, 0.2])

    with pytest.raises(ValueError, match=r"member 0: .* found none for learning_rate, dropout_rate"):
        evolve(population, SPACE, exploit.binary_tournament, explore.perturb, np.random.default_rng(0))


def test_a_plan_for_another_generation_is_refused():
    population = initial_population(SPACE, 2, np.random.default_rng(0)).with_scores([0.1, 0.2])
    plan = evolve(population, SPACE, exploit.binary_tournament, explore.perturb, np.random.default_rng(0))

    with pytest.raises(ValueError, match="plan: one for generation 1"):
        next_population(replace(population, generation=1), plan)


def test_a_decision_survives_json():
    decision = Decision(3, 1, 0, True, math.nan, 0.5, {"x": 1.0}, {"x": 1.1})

    assert Decision.from_dict(json.loads(json.dumps(decision.to_dict(), allow_nan=False))) == decision
