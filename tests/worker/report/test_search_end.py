"""What ended a run and whether more would bring more, checked against the rule by which runs end."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolfads_spec.attempt import BUDGET_STOP
from lfads_worker.pbt.stopping import Stopping
from lfads_worker.report.search_end import End, search_ended

USED_UP = End("all 5 generations are done", "population.generations", 5)
IMPROVING = [0.5, 0.45, 0.42, 0.41, 0.40]


def test_a_search_that_still_improves_asks_for_more_generations():
    finding = search_ended(IMPROVING, 0.2, 2, 5e-4, USED_UP)

    assert finding.kind == "notice"
    assert finding.advice.startswith("Raise population.generations and run again")
    assert "4.94 %; 0.05 % or less" in finding.seen  # 0.02 of the mean of 0.41 and 0.40


@pytest.mark.parametrize(
    ("reason", "limit"),
    [
        pytest.param(
            Stopping(max_hours=2.0).should_stop([0.4], elapsed_hours=2.5),
            "population.stopping.maxHours",
            id="time",
        ),
        pytest.param(BUDGET_STOP, "budget.maxCost", id="budget"),
    ],
)
@pytest.mark.parametrize("scores", [IMPROVING, [0.5, 0.4]], ids=["long enough to tell", "too short to tell"])
def test_a_run_that_a_limit_ended_is_told_which(reason, limit, scores):
    finding = search_ended(scores, 0.2, 2, 5e-4, End(reason, limit, 50))

    assert finding.kind == "notice"
    assert f"because {reason}" in finding.means
    assert f"Raise {limit} " in finding.advice
    assert "generations are done" not in " ".join(finding)
    assert "population.generations" not in finding.advice


def test_a_short_run_that_did_what_was_asked_is_left_alone():
    assert search_ended([0.5, 0.4, 0.3, 0.2, 0.1], 0.1, 5, 5e-4, USED_UP) is None


def test_a_search_on_its_plateau_has_converged():
    finding = search_ended([0.5, 0.4, 0.4, 0.4], 0.2, 2, 5e-4, USED_UP)

    assert finding.kind == "good"
    assert "copies" not in finding.means


def test_a_population_of_copies_is_told():
    finding = search_ended([0.5, 0.4, 0.4, 0.4], 0.01, 2, 5e-4, USED_UP)

    assert "copies of one another" in finding.means
    assert "population.size" in finding.advice


def test_a_negative_score_improves_downwards():
    """A Gaussian likelihood may be a density above 1."""
    assert search_ended([-1.0, -1.1, -1.2], None, 1, 5e-4, USED_UP).kind == "notice"


@given(
    st.lists(st.floats(-2, 2).map(lambda x: round(x, 3)) | st.just(math.nan), min_size=1, max_size=9),
    st.integers(1, 6),
    st.sampled_from([0.0, 5e-4, 0.1]),
)
def test_standing_still_is_what_the_run_itself_would_have_called_so(scores, patience, min_improvement):
    stopped = Stopping(patience=patience, min_improvement=min_improvement).should_stop(scores)

    end = End("all generations are done", "population.generations", len(scores))
    finding = search_ended(scores, None, patience, min_improvement, end)

    if finding is None:  # too few finite scores to tell
        known = [
            [math.isfinite(score) for score in part] for part in (scores[:-patience], scores[-patience:])
        ]
        assert not all(any(part) for part in known)
    else:
        assert (finding.kind == "good") == (stopped is not None)
