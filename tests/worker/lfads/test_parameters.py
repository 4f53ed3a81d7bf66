"""The flat weight vector and its names."""

import numpy as np
import pytest
import tensorflow as tf


def test_join_is_the_inverse_of_split(make_case):
    case = make_case(external=1)
    layout = case.lfads.layout

    joined = layout.join(layout.split(tf.constant(case.flat)))

    np.testing.assert_array_equal(joined, case.flat)


def test_a_row_splits_like_the_cohort(make_case):
    case = make_case()

    whole, row = case.tf_weights, case.named(1)

    assert whole.keys() == row.keys()
    for name, value in row.items():
        np.testing.assert_array_equal(whole[name][1], value)


def test_names_are_unique_and_shapes_fill_the_row(make_case):
    layout = make_case(external=1).lfads.layout

    assert len({p.name for p in layout.parameters}) == len(layout.parameters)
    assert sum(p.size for p in layout.parameters) == layout.size


@pytest.mark.parametrize(
    ("model", "absent"),
    [
        pytest.param(
            {"inferred_inputs": 0},
            ("controller", "ci_encoder", "inferred_inputs", "input_prior"),
            id="controller",
        ),
        pytest.param({"causal": True}, ("ci_encoder/backward",), id="backward encoder"),
        pytest.param({"input_prior": "Independent"}, ("input_prior/log_tau",), id="time constant"),
    ],
)
def test_what_a_model_lacks_has_no_weights(make_case, model, absent):
    names = [p.name for p in make_case(model).lfads.layout.parameters]

    assert not [name for name in names if name.startswith(absent)]


def test_initial_weights_follow_the_published_initialisers(make_case):
    widths = {"ic_encoder_units": 40, "ci_encoder_units": 30, "controller_units": 50, "inferred_inputs": 10}
    case = make_case(widths | {"generator_units": 60, "ic_dim": 40, "factors": 30}, neurons=50, held_out=10)

    row = case.lfads.layout.split_row(case.lfads.layout.initial(np.random.default_rng(0)))

    fan_in = {  # encoders: input + hidden for both kernels; generator and controller: each kernel its own
        "ic_encoder/forward/input_kernel": 80,
        "ic_encoder/backward/recurrent_kernel": 80,
        "ci_encoder/backward/input_kernel": 70,
        "ci_encoder/forward/recurrent_kernel": 70,
        "controller/input_kernel": 90,
        "controller/recurrent_kernel": 50,
        "inferred_inputs/kernel": 50,
        "generator/input_kernel": 10,
        "generator/recurrent_kernel": 60,
        "ic_posterior/kernel": 80,
        "initial_generator_state/kernel": 40,
        "factors/kernel": 60,
        "readout/kernel": 30,
    }
    for name, width in fan_in.items():
        entries = row[name].size
        assert row[name].std() * np.sqrt(width) == pytest.approx(1, abs=5 / np.sqrt(2 * entries)), name
        assert abs(row[name].mean()) * np.sqrt(width * entries) < 5, name
    for cell in ("ic_encoder/forward", "ci_encoder/backward", "controller", "generator"):
        z, r, n = np.split(row[f"{cell}/bias"], 3)
        assert (z == 1).all()
        assert (r == 1).all()
        assert (n == 0).all()
    for name in row:
        if name.endswith("initial_state") or name in ("readout/bias", "ic_posterior/bias", "ic_prior/mean"):
            assert (row[name] == 0).all(), name
    np.testing.assert_allclose(np.exp(row["input_prior/log_tau"]), 10.0, rtol=1e-6)
    np.testing.assert_allclose(np.exp(row["input_prior/log_noise_variance"]), 0.1, rtol=1e-6)


def test_initial_weights_depend_on_the_rng_alone(make_case):
    layout = make_case().lfads.layout

    first, again, other = (layout.initial(np.random.default_rng(seed)) for seed in (1, 1, 2))

    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert first.dtype == np.float32
