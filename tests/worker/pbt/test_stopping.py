import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfads_worker.pbt.stopping import Stopping, improvement

LOSSES = st.lists(st.floats(0.01, 5), min_size=1, max_size=30)


def test_a_plateau_stops_after_the_patience():
    falling, flat = [1.0, 0.8, 0.6], [0.6, 0.61, 0.6, 0.62, 0.60001]
    rule = Stopping(patience=5, min_improvement=5e-4)

    reasons = [rule.should_stop([*falling, *flat[:count]]) for count in range(6)]

    # Five generations after the last best one, and not a generation earlier.
    assert reasons[:5] == [None] * 5
    assert reasons[5] == "the best score improved by no more than 0.05 % in 5 generations"


def test_the_improvement_is_the_formula_in_numbers():
    scores = [0.9, 0.5, 0.7, 0.48, 0.6]

    # best until 2 generations ago 0.5, best of all 0.48, mean of the last two 0.54
    assert improvement(scores, 2) == pytest.approx((0.5 - 0.48) / 0.54)


def test_a_slow_but_real_improvement_goes_on():
    rule = Stopping(patience=5, min_improvement=5e-4)
    scores = [0.5 * (1 - 2e-4) ** generation for generation in range(20)]  # 0.1 % in 5 generations

    assert rule.should_stop(scores) is None


def test_noise_above_the_best_is_not_progress():
    rule = Stopping(patience=3, min_improvement=5e-4)

    assert rule.should_stop([0.4, 0.9, 0.8, 0.7, 0.6]) is not None


@given(LOSSES, st.integers(1, 10), st.floats(0, 1))
def test_nothing_stops_before_there_is_a_history(scores, patience, min_improvement):
    rule = Stopping(patience=patience, min_improvement=min_improvement)

    assert rule.should_stop(scores[:patience]) is None


@given(LOSSES, st.integers(1, 10), st.floats(1e-3, 1e3))
def test_the_rule_does_not_depend_on_the_unit_of_the_loss(scores, patience, unit):
    if len(scores) > patience:
        scaled = improvement([unit * score for score in scores], patience)

        assert scaled == pytest.approx(improvement(scores, patience), rel=1e-6, abs=1e-9)


@given(LOSSES, st.integers(1, 10))
def test_the_improvement_is_never_negative(scores, patience):
    if len(scores) > patience:
        assert improvement(scores, patience) >= 0


def test_a_patience_of_zero_switches_the_plateau_rule_off():
    assert Stopping(patience=0).should_stop([0.5] * 100) is None


def test_the_last_generation_ends_the_search():
    rule = Stopping(max_generations=3)

    assert rule.should_stop([0.3, 0.2]) is None
    assert rule.should_stop([0.3, 0.2, 0.1]) == "all 3 generations are done"


def test_the_time_limit_ends_the_search():
    rule = Stopping(max_hours=1.5)

    assert rule.should_stop([0.3], elapsed_hours=1.4) is None
    assert rule.should_stop([0.3], elapsed_hours=1.5) == "the time limit of 1.5 h is reached"


def test_generations_without_any_score_are_left_out():
    assert improvement([0.5, math.nan, 0.4, math.nan], 2) == pytest.approx(0.1 / 0.4)
    assert improvement([0.5, math.nan, math.nan], 2) == 0
    assert improvement([math.nan, 0.5], 1) == math.inf


def test_a_loss_of_zero_can_still_improve():
    assert improvement([1.0, 0.0], 1) == math.inf
    assert improvement([0.0, 0.0], 1) == 0


def test_looking_back_further_than_the_history_is_refused():
    with pytest.raises(ValueError, match="found 2 scores and 2 generations"):
        improvement([0.1, 0.2], 2)
