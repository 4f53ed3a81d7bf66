"""The measured work is training: whole steps of every member, on data that changes, with all the noise."""

import numpy as np
import pytest

from lfads_worker.bench.ours import OneShapeTrainer, Training, arguments_of
from lfads_worker.bench.shapes import HYPERPARAMETERS, MINIBATCHES, SHAPES, spikes
from lfads_worker.training.state import CohortTask


@pytest.fixture(scope="module")
def xla_training():
    """A tiny cohort of two, compiled."""
    return Training(SHAPES["tiny"], members=2, steps=2)


def test_a_call_takes_its_steps_with_every_member(xla_training):
    xla_training.call()
    before = xla_training._state
    xla_training.call()
    after = xla_training._state

    np.testing.assert_array_equal(after.steps - before.steps, [2, 2])
    assert ((after.weights.numpy() != before.weights.numpy()).mean(1) > 0.9).all()
    assert np.isfinite(xla_training.loss)


def test_a_worker_trains_the_state_that_it_is_given(xla_training):
    trainer, values = OneShapeTrainer(xla_training), (dict(HYPERPARAMETERS),) * 2
    told = []

    first = trainer.train_generation(CohortTask(0, 0, 0, 1, (4, 7), None, values)).state
    trainer.train_generation(CohortTask(1, 0, 0, 3, (1, 2), None, values))
    result = trainer.train_generation(
        CohortTask(0, 1, 0, 2, (4, 7), first, values), lambda done, epochs: told.append((done, epochs))
    )

    assert result.state.member_ids.tolist() == [4, 7]
    np.testing.assert_array_equal(result.state.steps - first.steps, [4, 4])  # two calls of two steps
    assert ((result.state.weights != first.weights).mean(1) > 0.9).all()
    assert told == [(1, 2), (2, 2)]
    assert result.seconds > 0


def test_shapes_are_those_of_the_published_measurements():
    lorenz, maze = SHAPES["lorenz"], SHAPES["maze"]

    assert (lorenz.batch, lorenz.bins, lorenz.neurons) == (128, 100, 40)
    assert (maze.batch, maze.bins, maze.encoded_bins, maze.neurons, maze.held_in_neurons) == (
        256,
        45,
        35,
        182,
        137,
    )
    assert dict(maze.widths) == {
        "ic_encoder_units": 64,
        "ci_encoder_units": 64,
        "controller_units": 64,
        "inferred_inputs": 4,
        "ic_dim": 64,
        "generator_units": 200,
        "factors": 100,
    }


def test_dropout_and_coordinated_dropout_are_on():
    assert HYPERPARAMETERS["dropout_rate"] == HYPERPARAMETERS["coordinated_dropout_rate"] == 0.3


def test_a_call_trains_on_different_minibatches():
    _, _, (_, _, schedule, validation, recording) = arguments_of(SHAPES["tiny"], 1, 4)

    assert len({tuple(trials) for trials in schedule.trials.numpy()[0]}) == MINIBATCHES
    assert validation.trials.shape == (1, 1)  # all that is validated
    assert recording.spikes.shape == (32, 6, 5)


def test_spikes_are_counts_and_always_the_same():
    counts = spikes(SHAPES["tiny"], 50)

    assert (counts == np.round(counts)).all()
    assert 0.05 < counts.mean() < 1.5
    np.testing.assert_array_equal(counts, spikes(SHAPES["tiny"], 50))
