import json
import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfads_worker.pbt.population import Member, Population

VALUES = st.dictionaries(st.sampled_from(["learning_rate", "dropout_rate"]), st.floats(0, 1))
LOSSES = st.one_of(st.floats(-5, 5), st.sampled_from([math.nan, math.inf]))


@st.composite
def populations(draw):
    size = draw(st.integers(1, 12))
    members = tuple(
        Member(index, draw(VALUES), draw(LOSSES), draw(st.integers(0, size - 1))) for index in range(size)
    )
    return Population(members, draw(st.integers(0, 50)))


@given(populations())
def test_a_population_survives_strict_json(population):
    text = json.dumps(population.to_dict(), allow_nan=False)

    assert Population.from_dict(json.loads(text)) == population


def test_numpy_numbers_become_plain_ones():
    member = Member(np.int64(0), {"learning_rate": np.float32(0.25)}, np.float64(1.5), np.int64(0))

    assert [type(part) for part in (member.index, member.values["learning_rate"], member.score)] == [
        int,
        float,
        float,
    ]


def test_what_is_not_finite_counts_as_no_score():
    members = tuple(Member(i, {}, score, i) for i, score in enumerate([math.inf, math.nan, -math.inf, 0.5]))

    assert [member.has_score for member in members] == [False, False, False, True]
    assert Population(members, 0).best == members[3]


def test_the_best_of_equals_is_the_first_and_of_none_is_none():
    population = Population(tuple(Member(index, {}, math.nan, index) for index in range(3)), 0)

    assert population.best is None
    best = population.with_scores([0.3, 0.2, 0.2]).best
    assert best is not None
    assert best.index == 1


def test_new_scores_leave_the_old_population_alone():
    population = Population(tuple(Member(index, {}, math.nan, index) for index in range(2)), 0)

    scored = population.with_scores([1.0, 2.0])

    assert list(scored.scores) == [1.0, 2.0]
    assert np.isnan(population.scores).all()


def test_a_member_keeps_its_own_copy_of_its_values():
    values = {"learning_rate": 0.1}
    member = Member(0, values, math.nan, 0)

    values["learning_rate"] = 0.2

    assert member.values == {"learning_rate": 0.1}


def test_members_are_frozen():
    member = Member(0, {}, math.nan, 0)

    with pytest.raises(FrozenInstanceError):
        member.score = 1.0


@pytest.mark.parametrize("indices", [[], [1], [0, 2], [1, 0], [0, 0]])
def test_members_out_of_place_are_refused(indices):
    with pytest.raises(ValueError, match="population: members must be numbered"):
        Population(tuple(Member(index, {}, math.nan, index) for index in indices), 0)


def test_a_score_too_few_is_refused():
    population = Population((Member(0, {}, math.nan, 0), Member(1, {}, math.nan, 1)), 0)

    with pytest.raises(ValueError, match=r"one score per member wanted \(2\), found 1"):
        population.with_scores([0.1])
