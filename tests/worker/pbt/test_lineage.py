import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfads_worker.pbt import exploit, explore, lineage
from lfads_worker.pbt.evolve import Decision, evolve, initial_population, next_population
from lfads_worker.pbt.hyperparameters import Hyperparameter, SearchSpace

SPACE = SearchSpace((Hyperparameter("l2_generator", "log_uniform", low=1e-4, high=1.0, weight=0.8),))
RUNS = st.tuples(st.integers(1, 8), st.integers(0, 6), st.integers(0, 2**32 - 1))


def evolved(size, generations, seed):
    """A toy run; every member carries a diary of (member, values) as weights would carry their training."""
    rng = np.random.default_rng(seed)
    population = initial_population(SPACE, size, rng)
    diaries = [[(member.index, member.values)] for member in population.members]
    decisions = []
    for _ in range(generations):
        scores = np.where(rng.random(size) < 0.2, math.nan, rng.normal(size=size))
        population = population.with_scores(scores)
        plan = evolve(population, SPACE, exploit.binary_tournament, explore.perturb, rng)
        decisions.extend(plan.decisions)
        population = next_population(population, plan)
        diaries = [
            [*diaries[source], (member.index, member.values)]
            for member, source in zip(population.members, plan.sources, strict=True)
        ]
    return decisions, diaries


@given(RUNS)
def test_the_line_of_every_member_is_rebuilt_from_the_decisions(run):
    size, generations, _ = run
    decisions, diaries = evolved(*run)

    for member in range(size):
        line = lineage.ancestors(decisions, member, generations)
        assert line == [carrier for carrier, _ in diaries[member]]


@given(RUNS)
def test_the_values_that_weights_were_trained_with_are_rebuilt(run):
    size, generations, _ = run
    decisions, diaries = evolved(*run)

    for member in range(size):
        if generations > 0:
            values = lineage.values_along(decisions, member, generations)
            assert values == [seen for _, seen in diaries[member]]


@given(RUNS, st.randoms(use_true_random=False))
def test_order_does_not_matter_and_json_is_enough(run, random):
    size, generations, _ = run
    decisions, _ = evolved(*run)
    read = [Decision.from_dict(json.loads(json.dumps(decision.to_dict()))) for decision in decisions]
    random.shuffle(read)

    for member in range(size):
        expected = lineage.ancestors(decisions, member, generations)
        assert lineage.ancestors(read, member, generations) == expected


def test_an_earlier_generation_is_followed_from_there():
    decisions = [
        Decision(0, 0, 1, False, 0.5, 0.4, {"x": 1.0}, {"x": 2.2}),
        Decision(0, 1, 1, False, 0.4, 0.4, {"x": 2.0}, {"x": 2.0}),
        Decision(1, 0, 0, False, 0.3, 0.3, {"x": 2.2}, {"x": 2.2}),
        Decision(1, 1, 0, True, math.nan, 0.3, {"x": 2.0}, {"x": 2.4}),
    ]

    assert lineage.ancestors(decisions, 1, 2) == [1, 0, 1]
    assert lineage.ancestors(decisions, 1, 1) == [1, 1]
    assert lineage.ancestors(decisions, 1, 0) == [1]
    assert lineage.values_along(decisions, 1, 2) == [{"x": 2.0}, {"x": 2.2}, {"x": 2.4}]
    assert lineage.values_along(decisions, 0, 1) == [{"x": 2.0}, {"x": 2.2}]


def test_a_missing_decision_is_named():
    decisions = [Decision(1, 0, 1, False, 0.5, 0.4, {}, {})]

    with pytest.raises(ValueError, match="member 1 in generation 0 wanted, found none"):
        lineage.ancestors(decisions, 0, 2)
