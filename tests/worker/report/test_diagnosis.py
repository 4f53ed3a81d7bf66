import dataclasses

import numpy as np
import pytest
import yaml

from autolfads_spec import dump_run, load_run
from autolfads_spec.attempt import BUDGET_STOP
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


@pytest.mark.parametrize(
    ("stop_reason", "block", "raised"),
    [
        ("all 8 generations are done", {}, "population.generations"),
        (
            "the time limit of 2 h is reached",
            {"population": {"generations": 50, "stopping": {"maxHours": 2.0}}},
            "population.stopping.maxHours",
        ),
        (
            BUDGET_STOP,
            {"population": {"generations": 50}, "budget": {"maxGpuHours": 3.0}},
            "budget.maxGpuHours",
        ),
        (BUDGET_STOP, {"population": {"generations": 50}}, "the budget"),
    ],
    ids=["generations", "time", "budget", "budget without an amount"],
)
def test_what_ended_the_run_is_said_as_it_was(read, stop_reason, block, raised):
    run = read(generations=8, members=4)
    run.results["stop_reason"] = stop_reason
    document = yaml.safe_load(dump_run(run.run))
    for name, changes in block.items():
        document["spec"][name] = document["spec"].get(name, {}) | changes
    run = dataclasses.replace(run, run=load_run(document))

    found = next(finding for finding in diagnose(run) if finding.title == "The search was still improving")
    assert f"because {stop_reason}," in found.means
    assert found.advice.startswith(f"Raise {raised} and run again")


@pytest.mark.parametrize("limited", [True, False], ids=["limited", "free"])
def test_a_limit_that_holds_nobody_back_is_not_asked_to_be_moved(read, limited):
    run = read(generations=3, members=2)
    document = yaml.safe_load(dump_run(run.run))
    for dimension in document["spec"]["population"]["searchSpace"]:
        dimension["enforceLimits"] = limited
    run = dataclasses.replace(run, run=load_run(document))
    run.history.values["learning_rate"][:] = 5e-3

    assert ("Winners lie at a limit of the search" in titles(run)) == limited


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
