import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfads_worker.pbt.hyperparameters import Hyperparameter, SearchSpace

SEEDS = st.integers(0, 2**32 - 1)
EDGES = st.tuples(st.floats(1e-8, 10), st.floats(1e-8, 10)).map(sorted)


@given(EDGES, st.sampled_from(["uniform", "log_uniform"]), SEEDS)
def test_draws_stay_in_the_range(edges, distribution, seed):
    hyperparameter = Hyperparameter("x", distribution, low=edges[0], high=edges[1])

    drawn = hyperparameter.draw(np.random.default_rng(seed))

    assert edges[0] <= drawn <= edges[1]


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6, unique=True), SEEDS)
def test_a_choice_draws_one_of_its_values(choices, seed):
    hyperparameter = Hyperparameter("x", "choice", choices=tuple(choices))

    assert hyperparameter.draw(np.random.default_rng(seed)) in choices


def test_log_uniform_draws_are_even_in_the_logarithm():
    hyperparameter = Hyperparameter("kl_inferred_inputs", "log_uniform", low=1e-6, high=1e-2)
    rng = np.random.default_rng(0)

    decades = np.floor([math.log10(hyperparameter.draw(rng)) for _ in range(4000)])

    shares = [(decades == decade).mean() for decade in (-6, -5, -4, -3)]
    assert shares == pytest.approx([0.25] * 4, abs=0.03)


def test_uniform_draws_are_even():
    hyperparameter = Hyperparameter("dropout_rate", "uniform", low=0.0, high=0.6)
    rng = np.random.default_rng(0)

    drawn = np.array([hyperparameter.draw(rng) for _ in range(4000)])

    assert drawn.mean() == pytest.approx(0.3, abs=0.01)
    assert drawn.std() == pytest.approx(0.6 / math.sqrt(12), abs=0.01)


def test_a_fixed_start_is_everyones_first_value_but_not_every_draw():
    hyperparameter = Hyperparameter("learning_rate", "uniform", low=1e-5, high=5e-3, start=4e-3)
    space = SearchSpace((hyperparameter,))

    assert space.first_values(np.random.default_rng(1)) == {"learning_rate": 4e-3}
    assert space.draw(np.random.default_rng(1))["learning_rate"] != 4e-3


def test_choices_are_kept_in_ascending_order():
    assert Hyperparameter("x", "choice", choices=(3.0, 1.0, 2.0)).choices == (1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        pytest.param({"distribution": "normal"}, "distribution must be", id="unknown distribution"),
        pytest.param({"low": 0.6, "high": 0.1}, "0 <= low <= high", id="ends swapped"),
        pytest.param({"low": -1.0}, "0 <= low <= high", id="negative"),
        pytest.param({"high": math.inf}, "0 <= low <= high", id="infinite"),
        pytest.param({"distribution": "log_uniform", "low": 0.0}, "begin above 0", id="log of 0"),
        pytest.param({"weight": -0.1}, "weight must be", id="negative weight"),
        pytest.param({"weight": math.nan}, "weight must be", id="weight not a number"),
        pytest.param({"start": 0.7}, "start must be", id="start outside"),
        pytest.param({"start": math.nan}, "start must be", id="start not a number"),
        pytest.param({"distribution": "choice"}, "one or more numbers", id="no choices"),
        pytest.param({"distribution": "choice", "choices": (1.0, 1.0)}, "must differ", id="choice twice"),
        pytest.param(
            {"distribution": "choice", "choices": (1.0, 2.0), "start": 1.5},
            "start must be",
            id="start no choice",
        ),
        pytest.param(
            {"distribution": "log_uniform", "low": 0.1, "start": 0.0, "enforce_limits": False},
            "start must be",
            id="start at 0 could never leave it",
        ),
        pytest.param({"start": 0.0, "enforce_limits": False}, "start must be", id="start below a free range"),
    ],
)
def test_a_hyperparameter_that_cannot_work_is_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        Hyperparameter(**{"name": "x", "distribution": "uniform", "low": 0.1, "high": 0.6, **settings})


def test_a_name_searched_twice_is_refused():
    one = Hyperparameter("x", "uniform", low=0.0, high=1.0)

    with pytest.raises(ValueError, match="found x more than once"):
        SearchSpace((one, one))


@pytest.mark.parametrize("name", ["dropout_rate", "coordinated_dropout_rate"])
def test_a_dropped_fraction_without_limits_still_stays_below_one(name):
    hyperparameter = Hyperparameter(name, "uniform", low=0.0, high=0.6, enforce_limits=False)

    assert hyperparameter.limits == (0.0, 0.99)


def test_an_empty_search_space_draws_nothing():
    assert SearchSpace(()).draw(np.random.default_rng(0)) == {}
