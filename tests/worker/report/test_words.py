import pytest

from autolfads_spec.search_space import HYPERPARAMETER_ATTRIBUTES, HYPERPARAMETER_NAMES
from lfads_worker.report.words import HYPERPARAMETERS, counted, in_run_yaml, part_of


def test_every_hyperparameter_has_words():
    assert set(HYPERPARAMETERS) == set(HYPERPARAMETER_ATTRIBUTES)


def test_names_are_those_of_run_yaml():
    assert tuple(in_run_yaml(name) for name in HYPERPARAMETER_ATTRIBUTES) == HYPERPARAMETER_NAMES


@pytest.mark.parametrize(
    ("shown", "total", "words"),
    [(8, 65, "8 of 65 conditions"), (7, 7, "all 7 conditions"), (1, 1, "the only condition")],
)
def test_parts_of_a_whole(shown, total, words):
    assert part_of(shown, total, "condition") == words


def test_one_has_no_s():
    assert (counted(1, "neuron"), counted(0, "neuron")) == ("1 neuron", "0 neurons")
