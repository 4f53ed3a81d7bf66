"""The estimate against the processes that were measured."""

from types import SimpleNamespace

import numpy as np
import pytest

from lfads_worker.data import memory
from lfads_worker.data.memory import Widths, training_bytes, weight_count

LORENZ = {"batch": 128, "bins": 100, "neurons": 40, "widths": Widths(64, 64, 64, 2, 64, 64, 8)}
TINY = {"batch": 8, "bins": 6, "neurons": 5, "widths": Widths(3, 3, 4, 2, 3, 5, 4)}
WITHOUT_CONTROLLER = LORENZ | {"widths": Widths(64, 0, 0, 0, 64, 64, 8)}
MAZE = {"batch": 256, "bins": 45, "neurons": 182, "widths": Widths(64, 64, 64, 4, 64, 200, 100)}


@pytest.mark.parametrize(
    ("shape", "members", "measured_gb"),
    [
        (TINY, 2, 1.293),
        (LORENZ, 1, 1.476),
        (LORENZ, 4, 1.877),
        (LORENZ, 8, 2.402),
        (MAZE, 1, 1.656),
        (MAZE, 2, 1.882),
        (WITHOUT_CONTROLLER, 4, 1.391),
    ],
)
def test_measured_processes_are_met_from_above(shape, members, measured_gb):
    estimate = training_bytes(members=members, trials=3 * shape["batch"], **shape) / 1e9

    assert 1.03 * measured_gb < estimate < 1.25 * measured_gb


def test_what_was_not_measured_is_not_counted_on():
    assert training_bytes(members=2, device="gpu", **LORENZ) > training_bytes(members=2, **LORENZ)


@pytest.mark.parametrize(("shape", "measured_gb"), [(LORENZ, 1.61), (TINY, 1.30)], ids=["lorenz", "tiny"])
def test_the_estimate_is_not_under_what_two_members_take_today(shape, measured_gb):
    assert training_bytes(members=2, **shape) / 1e9 > measured_gb


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
    assert training_bytes(members=1, **WITHOUT_CONTROLLER) < training_bytes(members=1, **LORENZ)


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
