"""The estimate against the processes that were measured."""

from types import SimpleNamespace

import numpy as np
import pytest

from lfads_worker.data import memory
from lfads_worker.data.memory import Widths, training_bytes, weight_count

LORENZ = {"batch": 128, "bins": 100, "neurons": 40, "widths": Widths(64, 64, 64, 2, 64, 64, 8)}
MAZE = {"batch": 256, "bins": 45, "neurons": 182, "widths": Widths(64, 64, 64, 4, 64, 200, 100)}


@pytest.mark.parametrize(
    ("shape", "members", "measured_gb"),
    [
        (LORENZ, 1, 1.5),
        (LORENZ, 4, 3.0),
        (LORENZ, 8, 5.0),
        (LORENZ, 16, 9.1),
        (MAZE, 1, 1.43),
        (MAZE, 2, 2.29),
    ],
)
def test_measured_processes_are_met_within_forty_percent(shape, members, measured_gb):
    estimate = training_bytes(members=members, **shape) / 1e9

    assert estimate == pytest.approx(measured_gb, rel=0.4)


def test_weights_of_the_measured_shapes_are_counted_closely():
    assert weight_count(40, LORENZ["widths"]) == pytest.approx(154_000, rel=0.01)
    assert weight_count(182, MAZE["widths"]) == pytest.approx(403_000, rel=0.15)


def test_memory_grows_with_everything():
    base = training_bytes(members=2, **LORENZ)

    for change in (
        {"batch": 200},
        {"bins": 120},
        {"neurons": 50},
        {"members": 3},
        {"features": 4},
        {"trials": 999},
    ):
        assert training_bytes(**({"members": 2} | LORENZ | change)) > base


def test_without_a_controller_less_is_needed():
    without = LORENZ | {"widths": Widths(64, 0, 0, 0, 64, 64, 8)}

    assert training_bytes(members=1, **without) < training_bytes(members=1, **LORENZ)


def test_a_run_is_estimated_from_its_spec_and_data():
    widths = LORENZ["widths"]
    spec = SimpleNamespace(
        model=SimpleNamespace(
            ic_encoder_units=64,
            ci_encoder_units=64,
            controller_units=64,
            inferred_inputs=2,
            ic_dim=64,
            generator_units=64,
            factors=8,
        ),
        training=SimpleNamespace(batch_size=256),
        population=SimpleNamespace(size=20),
    )
    data = SimpleNamespace(train=np.arange(128), time=100, neurons=40, n_features=0, trials=160)

    expected = training_bytes(batch=128, bins=100, neurons=40, members=20, widths=widths, trials=160)
    assert memory.of_run(data, spec) == expected
    assert memory.of_run(data, spec, members=1) < expected
