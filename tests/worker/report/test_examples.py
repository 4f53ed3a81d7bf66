import numpy as np

from lfads_worker.report.examples import example_conditions, example_neurons, example_trials


def test_half_of_the_neurons_are_held_out_ones_where_there_are_any(read):
    neurons = example_neurons(read(neurons=10, held_out=4).inferred)

    assert len(neurons) == 4
    assert [neuron >= 6 for neuron in neurons] == [False, False, True, True]


def test_no_more_neurons_than_there_are(read):
    assert example_neurons(read(neurons=1).inferred) == [0]


def test_a_single_held_out_neuron_leaves_three_others(read):
    neurons = example_neurons(read(neurons=8, held_out=1).inferred)

    assert len(neurons) == 4
    assert neurons[-1] == 7


def test_the_most_strongly_modulated_neuron_comes_first(read):
    inferred = read(neurons=9).inferred
    inferred.rates[inferred.valid, ::2, 5] = 500.0

    assert example_neurons(inferred)[0] == 5


def test_trials_are_validation_trials(read):
    inferred = read(trials=50).inferred

    trials = example_trials(inferred)
    assert len(trials) == 3
    assert set(trials) <= set(inferred.valid.tolist())


def test_few_conditions_are_all_shown():
    assert example_conditions(np.array([3, 3, 1, 1, 7])) == [1, 3, 7]


def test_of_many_conditions_those_with_few_trials_are_left_out():
    conditions = np.concatenate([np.repeat(np.arange(20), 5), [99]])

    shown = example_conditions(conditions)
    assert len(shown) == 8
    assert 99 not in shown
