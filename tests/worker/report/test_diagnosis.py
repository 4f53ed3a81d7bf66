import numpy as np
import pytest

from autolfads_spec.search_space import SearchDimension
from lfads_worker.report.diagnosis import diagnose, input_signal_shares, unit_position


def titles(run):
    return [finding.title for finding in diagnose(run)]


def test_the_most_important_comes_first(read):
    kinds = [finding.kind for finding in diagnose(read(generations=8, members=4, diverged=[(2, 1)]))]

    assert kinds == sorted(kinds, key=["warning", "notice", "good"].index)
    assert len(set(kinds)) > 1


def test_diverged_members_are_counted_over_all_generations(read):
    run = read(generations=3, members=4, diverged=[(0, 1), (2, 2)])

    found = next(finding for finding in diagnose(run) if finding.title == "Members diverged")
    assert found.seen.startswith("2 of 12 trainings")


def test_few_trials_are_told(read):
    assert "Few trials" in titles(read(trials=20))
    assert "Few trials" not in titles(read(trials=80))


@pytest.mark.parametrize(
    "options",
    [
        {"gaussian": True, "inputs": 0, "conditions": 0},
        {"searched": False, "truth": False, "conditions": 0},
        {"held_out": 2, "forward": 3, "segment": 2},
        {"generations": 1, "samples": 0},
    ],
    ids=["gaussian without controller", "nothing searched, nothing known", "held out", "one generation"],
)
def test_every_kind_of_run_is_judged(read, options):
    assert all(isinstance(finding.seen, str) for finding in diagnose(read(**options)))


def test_a_recording_without_spikes_in_its_validation_trials_is_judged(read):
    run = read(trials=80)
    run.results["metrics"]["valid"]["held_in"]["bits_per_spike"] = None

    assert "The model explains nothing" not in titles(run)


def test_an_input_that_only_wiggles_within_its_uncertainty_is_no_signal():
    rng = np.random.default_rng(0)
    means = np.stack([rng.standard_normal((40, 30)), 0.01 * rng.standard_normal((40, 30))], axis=-1)

    shares = input_signal_shares(means, np.full(means.shape, 0.3))

    assert shares[0] == pytest.approx(1 / 1.09, abs=0.05)
    assert shares[1] < 0.01


def test_positions_are_those_of_the_scale_that_is_searched():
    even = SearchDimension(name="dropoutRate", distribution="Uniform", min=0.2, max=0.6)
    logarithmic = SearchDimension(name="l2Generator", distribution="LogUniform", min=1e-4, max=1.0)

    assert unit_position(even, np.array([0.2, 0.4])).tolist() == pytest.approx([0.0, 0.5])
    assert unit_position(logarithmic, np.array([1e-4, 1e-2, 1.0])).tolist() == pytest.approx([0.0, 0.5, 1.0])
