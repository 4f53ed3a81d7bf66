"""Each rule on both sides of its threshold, and what its sentences must name."""

import pytest

from lfads_worker.report import findings


@pytest.mark.parametrize(
    "finding",
    [
        pytest.param(findings.explains_nothing(0.01), id="explains something"),
        pytest.param(findings.overfitting(1.0, 0.86), id="small gap"),
        pytest.param(findings.overfitting(-0.1, -0.2), id="nothing learned to overfit"),
        pytest.param(findings.overfitting_of_values(1.0, 1.2), id="small gap of errors"),
        pytest.param(findings.better_than_truth(1.02), id="as good as the truth"),
        pytest.param(findings.held_out_missed(0.4, 0.2), id="held-out neurons predicted"),
        pytest.param(findings.initial_condition_collapsed(1.5), id="initial condition used"),
        pytest.param(findings.controller_unused([0.5, 0.06]), id="inputs used"),
        pytest.param(findings.members_diverged(0, 100, None), id="nobody diverged"),
        pytest.param(findings.too_few_trials(50, 10), id="enough trials"),
        pytest.param(findings.at_the_edge({"a": [0.5, 0.5, 0.5, 0.5]}, {"a": (True, True)}), id="amid"),
        pytest.param(findings.at_the_edge({}, {}), id="nothing searched"),
    ],
)
def test_nothing_is_said_where_there_is_nothing_to_say(finding):
    assert finding is None


@pytest.mark.parametrize(
    ("finding", "kind", "words"),
    [
        (findings.explains_nothing(-0.2), "warning", ["-0.200", "bin width"]),
        (findings.overfitting(1.0, 0.6), "warning", ["40 % less", "dropoutRate"]),
        (findings.overfitting(1.0, -0.6), "warning", ["1.000", "-0.600"]),
        (findings.overfitting_of_values(1.0, 1.5), "warning", ["50 % more"]),
        (findings.better_than_truth(1.1), "warning", ["10 % better", "true rates"]),
        (findings.held_out_missed(0.4, 0.1), "notice", ["0.100", "metric: HeldOut"]),
        (findings.held_out_missed(0.4, -0.1), "warning", ["-0.100"]),
        (findings.initial_condition_collapsed(0.2), "notice", ["0.20 nats", "klInitialCondition"]),
        (findings.controller_unused([0.01, 0.02]), "notice", ["2.0 %", "klInferredInputs"]),
        (findings.controller_unused([0.5, 0.02, 0.9]), "notice", ["Input 2 ", "model.inferredInputs: 2"]),
        (findings.members_diverged(2, 100, None), "notice", ["2 of 100", "Nothing has to be done"]),
        (findings.members_diverged(20, 100, (0.01, 0.001)), "warning", ["0.01", "learningRate"]),
        (findings.members_diverged(2, 100, (0.01, 0.001)), "notice", ["upper limit of learningRate"]),
        (findings.too_few_trials(20, 5), "warning", ["20 trials", "noise"]),
        (findings.too_few_trials(200, 5), "notice", ["data.validation"]),
    ],
)
def test_what_was_seen_is_said_with_what_to_try(finding, kind, words):
    said = " ".join(finding)

    assert finding.kind == kind
    assert all(word in said for word in words), said
    assert all(sentence.endswith(".") for sentence in (finding.seen, finding.means, finding.advice))


def test_winners_at_the_lower_end_are_told_with_the_move():
    finding = findings.at_the_edge(
        {"klInferredInputs": [0.2, 0.01, 0.02, 0.02]}, {"klInferredInputs": (True, True)}
    )

    assert "lower min of klInferredInputs" in finding.advice


def test_winners_at_the_upper_end_are_told_with_the_move():
    finding = findings.at_the_edge({"dropoutRate": [1.0, 0.99, 0.97]}, {"dropoutRate": (False, True)})

    assert "raise max of dropoutRate" in finding.advice


def test_a_rate_of_zero_cannot_be_lowered():
    assert findings.at_the_edge({"dropoutRate": [0.0, 0.0, 0.0]}, {"dropoutRate": (False, True)}) is None


def test_a_single_winner_at_the_edge_is_chance():
    assert findings.at_the_edge({"a": [0.5, 0.5, 0.5, 0.0]}, {"a": (True, True)}) is None
