"""All randomness of a step: what is drawn, in which shape, at which rate."""

import numpy as np
import pytest
import tensorflow as tf

from lfads_worker.lfads import random_bits
from lfads_worker.lfads.noise import Masks, Noise, NoiseSource, dropped

_EVERYTHING = {"external": 2, "held_out": 1, "forward_bins": 2}


def _keys(members=(0, 1), generation=0):
    ids = tf.constant(members, tf.uint32)
    return random_bits.member_keys(tf.constant([1, 0], tf.uint32), ids, tf.constant(generation, tf.uint32))


def _draw(case, keys=None, step=0, pass_rate=0.5, batch=3, members=2):
    source = NoiseSource(case.architecture, members, batch, tf.float64)
    hyperparameters = type(case.hyperparameters)(*(x[:members] for x in case.hyperparameters))
    return source.for_training(keys or _keys(), tf.constant(step, tf.uint32), hyperparameters, pass_rate)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ({"input_kl": "MonteCarlo", "ci_encoder_units": 5}, _EVERYTHING),
        ({"input_kl": "MonteCarlo", "ic_segment_bins": 2}, _EVERYTHING),
        ({}, {"forward_bins": 1}),
        ({"causal": True}, {}),
        ({"inferred_inputs": 0}, _EVERYTHING),
        ({"inferred_inputs": 0}, {}),
    ],
)
def test_shapes_are_those_the_model_takes(make_case, model, options):
    case = make_case(model, pass_rate=0.5, **options)
    by_hand = case.tf_noise

    drawn = _draw(case)

    for name, wanted, found in zip(Noise._fields, by_hand, drawn, strict=True):
        assert (found is None) == (wanted is None), name
        if wanted is not None:
            assert found.shape == wanted.shape, name
            assert found.dtype == wanted.dtype, name


def test_a_step_with_drawn_noise_has_a_finite_gradient(make_case):
    case = make_case(**_EVERYTHING)
    flat, batch, _, hyperparameters, *ramps = case.arguments()

    terms, gradient = case.lfads.loss_and_gradient(flat, batch, _draw(case), hyperparameters, *ramps)

    assert np.isfinite(terms.total).all()
    assert np.isfinite(gradient).all()


def test_masks_follow_the_rates_of_their_kind_and_member(make_case):
    case = make_case({"ci_encoder_units": 5}, **_EVERYTHING)

    drawn = _draw(case, batch=2000, pass_rate=0.2)

    for member, values in enumerate(case.values):
        rates = dict.fromkeys(Noise._fields, 1 - values["dropout_rate"])
        rates |= {"coordinated_keep": 1 - values["coordinated_dropout_rate"], "coordinated_pass": 0.2}
        for name, mask in drawn._asdict().items():
            if mask is None or name.endswith("draw"):
                continue
            ours = mask.numpy()[:, member] if mask.shape.rank == 4 else mask.numpy()[member]
            error = np.sqrt(rates[name] * (1 - rates[name]) / ours.size)
            assert abs(ours.mean() - rates[name]) < 4.5 * error, name


def test_every_mask_and_draw_is_its_own(make_case):
    case = make_case({"input_kl": "MonteCarlo", "controller_units": 4, "ci_encoder_units": 2}, external=4)
    case.values = [case.values[0] | {"dropout_rate": 0.5, "coordinated_dropout_rate": 0.5}] * 2
    drawn = _draw(case, batch=1000)

    same_shape = [x.numpy().astype(float) for x in drawn if x is not None and x.shape == (6, 2, 1000, 4)]
    draws = [x.numpy() for x in drawn if x is not None and x.shape == (6, 2, 1000, 2)]

    assert len(same_shape) >= 5
    assert len(draws) == 2
    for group in (same_shape, draws):
        correlations = np.corrcoef([x.ravel() for x in group])
        assert np.abs(correlations - np.eye(len(group))).max() < 5 / np.sqrt(group[0].size)


def test_a_pass_rate_of_0_draws_nothing(make_case):
    assert _draw(make_case(), pass_rate=0.0).coordinated_pass is None


def test_a_pass_rate_of_1_passes_everything(make_case):
    assert _draw(make_case(), pass_rate=1.0).coordinated_pass.numpy().all()


def test_noise_is_keyed_by_member_step_and_generation(make_case):
    case = make_case({"input_kl": "MonteCarlo"}, members=3, **_EVERYTHING)
    case.values = [case.values[0]] * 3
    cohort = _draw(case, _keys((5, 8, 6)), step=3, members=3, batch=50)

    alone = _draw(case, _keys((8,)), step=3, members=1, batch=50)
    for other in (
        _draw(case, _keys((8,)), step=4, members=1, batch=50),
        _draw(case, _keys((8,), generation=1), step=3, members=1, batch=50),
        _draw(case, _keys((7,)), step=3, members=1, batch=50),
    ):
        for name in Noise._fields:
            mine, different = getattr(alone, name), getattr(other, name)
            assert (mine.numpy() != different.numpy()).any(), name
    for name in Noise._fields:
        axis = 1 if getattr(cohort, name).shape.rank == 4 else 0
        mine = np.take(getattr(cohort, name), [1], axis)
        # Plain TensorFlow rounds logarithm and cosine differently at the end of an array, in the last bit.
        rtol = 1e-14 if name.endswith("draw") else 0
        np.testing.assert_allclose(mine, getattr(alone, name), rtol=rtol, err_msg=name)


def test_sampling_draws_what_training_draws_and_drops_nothing(make_case):
    case = make_case(**_EVERYTHING)
    training = _draw(case, step=2)

    sampling = NoiseSource(case.architecture, 2, 3, tf.float64).for_sampling(
        _keys(), tf.constant(2, tf.uint32)
    )

    np.testing.assert_array_equal(sampling.ic_draw, training.ic_draw)
    np.testing.assert_array_equal(sampling.input_draw, training.input_draw)
    assert all(x is None for name, x in sampling._asdict().items() if name not in ("ic_draw", "input_draw"))


def test_dropped_values_keep_their_mean():
    x = tf.ones((10, 2, 500, 4), tf.float64)
    keep = np.random.default_rng(0).random(x.shape) < np.array([0.9, 0.5])[:, None, None]

    found = dropped(x, tf.constant(keep), tf.constant([0.1, 0.5], tf.float64), 1).numpy()

    np.testing.assert_allclose(np.unique(found[:, 0]), [0, 1 / 0.9])
    np.testing.assert_allclose(np.unique(found[:, 1]), [0, 2])
    np.testing.assert_allclose(found.mean((0, 2, 3)), 1.0, atol=0.05)
    assert dropped(x, None, tf.constant([0.1, 0.5], tf.float64), 1) is x


def test_a_bins_mask_scales_what_it_keeps():
    keep = np.random.default_rng(0).random((4, 2, 3, 5)) < 0.6

    masks = Masks(tf.constant(keep), tf.constant([0.5, 0.2], tf.float64))

    expected = keep * np.array([2.0, 1.25])[:, None, None]
    np.testing.assert_allclose([masks[t] for t in range(4)], expected, rtol=1e-15)
