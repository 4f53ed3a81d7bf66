import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lfads_worker.pbt import explore
from lfads_worker.pbt.hyperparameters import Hyperparameter

SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def hyperparameters(draw, **fixed):
    """Hyperparameters as a search space may hold them, 0 included for uniform ones."""
    distribution = draw(st.sampled_from(["uniform", "log_uniform", "choice"]))
    smallest = 0.0 if distribution == "uniform" else 1e-7
    low, high = sorted(draw(st.tuples(st.floats(smallest, 0.9), st.floats(smallest, 0.9))))
    choices = draw(st.lists(st.floats(0, 100), min_size=1, max_size=5, unique=True))
    settings = {
        "name": draw(st.sampled_from(["learning_rate", "dropout_rate", "coordinated_dropout_rate"])),
        "distribution": distribution,
        "low": low,
        "high": high,
        "choices": tuple(choices) if distribution == "choice" else (),
        "weight": draw(st.floats(0, 2)),
        "enforce_limits": draw(st.booleans()),
    }
    return Hyperparameter(**{**settings, **fixed})


@given(hyperparameters(), SEEDS, st.integers(1, 30))
def test_perturbed_values_stay_within_the_limits(hyperparameter, seed, steps):
    rng = np.random.default_rng(seed)
    value = hyperparameter.draw(rng)
    low, high = hyperparameter.limits

    for _ in range(steps):
        value = explore.perturb(hyperparameter, value, rng)

        assert low <= value <= high
        if hyperparameter.distribution == "choice":
            assert value in hyperparameter.choices


@given(hyperparameters(), SEEDS)
def test_resampled_values_are_draws(hyperparameter, seed):
    value = explore.resample(hyperparameter, math.nan, np.random.default_rng(seed))

    assert value == hyperparameter.draw(np.random.default_rng(seed))


@given(st.sampled_from(["uniform", "log_uniform"]), st.floats(1e-6, 1e-2), st.floats(0.01, 2), SEEDS)
def test_a_step_is_between_the_smallest_and_the_boldest_factor(distribution, value, weight, seed):
    free = Hyperparameter("l2_generator", distribution, 1e-6, 1e-2, weight=weight, enforce_limits=False)

    moved = explore.perturb(free, value, np.random.default_rng(seed))

    size = abs(math.log(moved / value))
    assert math.log1p(0.002 * weight) * (1 - 1e-6) <= size <= math.log1p(weight) * (1 + 1e-9)


@given(hyperparameters(weight=0.0), SEEDS)
def test_a_weight_of_zero_never_moves(hyperparameter, seed):
    rng = np.random.default_rng(seed)
    value = hyperparameter.draw(rng)

    assert explore.perturb(hyperparameter, value, rng) == value


def test_steps_do_not_drift_in_log_space():
    free = Hyperparameter("l2_generator", "log_uniform", 1e-6, 1.0, weight=0.8, enforce_limits=False)
    rng = np.random.default_rng(0)

    logs = np.log([explore.perturb(free, 1e-3, rng) / 1e-3 for _ in range(4000)])

    uniform_square = np.log(1.8) ** 2 / 3  # mean square of U(0, log 1.8), next to which 0.002 w is nothing
    assert logs.mean() == pytest.approx(0, abs=4 * math.sqrt(uniform_square / 4000))
    assert (logs**2).mean() == pytest.approx(uniform_square, rel=0.05)


def test_a_value_at_a_limit_moves_inside_rather_than_being_clipped_back():
    bounded = Hyperparameter("learning_rate", "uniform", low=1e-5, high=5e-3, weight=0.3)
    rng = np.random.default_rng(0)

    assert all(explore.perturb(bounded, 5e-3, rng) < 5e-3 for _ in range(200))
    assert all(explore.perturb(bounded, 1e-5, rng) > 1e-5 for _ in range(200))


def test_a_value_far_outside_its_limits_is_clipped():
    bounded = Hyperparameter("learning_rate", "uniform", low=1e-5, high=5e-3, weight=0.3)

    assert explore.perturb(bounded, 1.0, np.random.default_rng(0)) == 5e-3


def test_without_limits_a_value_may_leave_its_range():
    free = Hyperparameter("learning_rate", "uniform", low=1e-5, high=5e-3, weight=0.3, enforce_limits=False)
    rng = np.random.default_rng(0)

    assert any(explore.perturb(free, 5e-3, rng) > 5e-3 for _ in range(50))


@pytest.mark.parametrize("limited", [True, False], ids=["limited", "free"])
@pytest.mark.parametrize("name", ["dropout_rate", "coordinated_dropout_rate"])
def test_zero_is_left_again(name, limited):
    hyperparameter = Hyperparameter(name, "uniform", low=0.0, high=0.6, weight=0.3, enforce_limits=limited)
    rng = np.random.default_rng(0)

    first_steps = [explore.perturb(hyperparameter, 0.0, rng) for _ in range(100)]
    assert all(0 < value <= 0.3 * hyperparameter.floor for value in first_steps)

    value, visited = 0.0, []
    for _ in range(300):
        value = explore.perturb(hyperparameter, value, rng)
        visited.append(value)
    assert max(visited) > 0.3


@pytest.mark.parametrize("limited", [True, False], ids=["limited", "free"])
def test_a_range_above_zero_moves_by_factors_only(limited):
    above = Hyperparameter(
        "learning_rate", "uniform", low=1e-5, high=5e-3, weight=0.3, enforce_limits=limited
    )
    rng = np.random.default_rng(0)

    largest = max(explore.perturb(above, 1e-5, rng) for _ in range(200))

    assert 1.25e-5 < largest <= 1.3e-5


@given(hyperparameters(enforce_limits=True), SEEDS)
def test_a_step_within_limits_is_the_formula_to_the_last_bit(hyperparameter, seed):
    """Published runs are repeated only as long as this holds."""
    assume(hyperparameter.distribution != "choice" and hyperparameter.weight > 0)
    value = hyperparameter.draw(np.random.default_rng(seed))
    low, high, weight = hyperparameter.low, hyperparameter.high, hyperparameter.weight
    added = 0.1 * (high - low) if hyperparameter.distribution == "uniform" and low == 0 else 0.0

    rng = np.random.default_rng(seed)
    for _ in range(100):
        size = rng.uniform(math.log1p(0.002 * weight), math.log1p(weight))
        expected = (value + added) * math.exp(size if rng.random() < 0.5 else -size) - added
        if low <= expected <= high:
            break

    found = explore.perturb(hyperparameter, value, np.random.default_rng(seed))
    assert found == min(max(expected, low), high)


@given(st.lists(st.floats(0, 100), min_size=2, max_size=6, unique=True), SEEDS)
def test_a_choice_moves_to_a_neighbour(choices, seed):
    hyperparameter = Hyperparameter("x", "choice", choices=tuple(choices))
    rng = np.random.default_rng(seed)
    here = int(rng.integers(len(choices)))

    moved = explore.perturb(hyperparameter, hyperparameter.choices[here], rng)

    assert abs(hyperparameter.choices.index(moved) - here) == 1


@given(hyperparameters(), SEEDS)
def test_the_same_rng_gives_the_same_step(hyperparameter, seed):
    value = hyperparameter.draw(np.random.default_rng(seed))

    steps = {explore.perturb(hyperparameter, value, np.random.default_rng(seed)) for _ in range(2)}

    assert len(steps) == 1


def test_the_resample_probability_is_kept():
    tightly = Hyperparameter("x", "log_uniform", low=1e-6, high=1.0, weight=0.01)
    mixed = explore.strategy("Perturb", resample_probability=0.25)
    rng = np.random.default_rng(0)

    near = [abs(math.log(mixed(tightly, 1e-3, rng) / 1e-3)) <= math.log1p(0.01) for _ in range(4000)]

    assert np.mean(near) == pytest.approx(0.75, abs=0.03)


@given(hyperparameters(), SEEDS)
def test_strategies_by_name_are_the_functions(hyperparameter, seed):
    value = hyperparameter.draw(np.random.default_rng(seed))
    assume(hyperparameter.weight > 0)

    by_name = explore.strategy("Resample")(hyperparameter, value, np.random.default_rng(seed))

    assert by_name == explore.resample(hyperparameter, value, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("name", "probability"), [("Mutate", 0.0), ("Perturb", -0.1), ("Perturb", 1.1), ("Perturb", math.nan)]
)
def test_an_unknown_strategy_or_probability_is_refused(name, probability):
    with pytest.raises(ValueError, match=r"explore: .* wanted, found"):
        explore.strategy(name, probability)
