"""Terms of the loss, one by one."""

import numpy as np
import pytest
import tensorflow as tf

from lfads_worker.lfads import losses
from lfads_worker.lfads.noise import Noise
from lfads_worker.lfads.outputs import Batch, Decoded


@pytest.mark.parametrize(
    ("epoch", "start", "increase", "weight"),
    [
        (1, 0, 80, 1 / 81),
        (40, 0, 80, 40 / 81),
        (80, 0, 80, 80 / 81),
        (81, 0, 80, 1.0),
        (500, 0, 80, 1.0),
        (10, 10, 80, 0.0),
        (11, 10, 80, 1 / 81),
        (1, 0, 0, 1.0),
        (5, 5, 0, 0.0),
        (6, 5, 0, 1.0),
    ],
)
def test_ramp(epoch, start, increase, weight):
    assert losses.ramp(epoch, start, increase) == pytest.approx(weight, abs=1e-15)


def _decoded(parameters):
    return Decoded(None, None, None, None, None, None, parameters)


def _output_gradient(case, noise=None):
    """d reconstruction / d read-out parameters, [decoded time, members, batch, outputs]."""
    a = case.architecture
    shape = (a.decoded_bins, case.members, case.trials, a.neurons * a.distribution.parameters_per_neuron)
    parameters = tf.Variable(0.1 * np.random.default_rng(5).standard_normal(shape))
    passing = losses.passes_gradient(noise or case.tf_noise, case.hyperparameters, a)
    with tf.GradientTape() as tape:
        loss = losses.reconstruction(_decoded(parameters), case.batch, passing, 0.0, a)
    return tape.gradient(loss, parameters).numpy()


@pytest.mark.parametrize("distribution", ["Poisson", "Gaussian"])
@pytest.mark.parametrize("pass_rate", [0.0, 0.5])
def test_outputs_whose_spikes_were_seen_get_a_gradient_of_exactly_0(make_case, pass_rate, distribution):
    case = make_case(
        {"ic_segment_bins": 1, "output_distribution": distribution},
        held_out=1,
        forward_bins=2,
        pass_rate=pass_rate,
    )

    gradient = _output_gradient(case)
    free = _output_gradient(case, Noise())

    for member, noise in enumerate(case.noise):
        blocked = np.zeros((3, 5, 4), bool)  # decoded bins 0..2 of 5 and neurons 0..2 of 4 are encoded
        passed = noise.get("coordinated_pass", np.zeros((3, 3, 3))).astype(bool)
        blocked[:, :3, :3] = noise["coordinated_keep"].astype(bool) & ~passed
        blocked = np.concatenate([blocked] * (2 if distribution == "Gaussian" else 1), -1)
        ours = gradient[:, member].transpose(1, 0, 2)
        assert blocked.any()
        assert (ours[blocked] == 0.0).all()
        np.testing.assert_array_equal(ours[~blocked], free[:, member].transpose(1, 0, 2)[~blocked])
        assert (ours[~blocked] != 0.0).all()


def test_blocking_leaves_the_value_of_the_loss_alone(make_case):
    case = make_case()
    parameters = tf.constant(np.random.default_rng(0).standard_normal((6, 2, 3, 4)))
    passing = losses.passes_gradient(case.tf_noise, case.hyperparameters, case.architecture)

    blocked = losses.reconstruction(_decoded(parameters), case.batch, passing, 0.0, case.architecture)
    free = losses.reconstruction(_decoded(parameters), case.batch, None, 0.0, case.architecture)

    np.testing.assert_array_equal(blocked, free)


def test_everything_passes_without_coordinated_dropout(make_case):
    case = make_case(coordinated=False)

    assert losses.passes_gradient(case.tf_noise, case.hyperparameters, case.architecture) is None


def test_a_member_with_rate_0_passes_everything_beside_one_that_does_not(make_case):
    case = make_case()
    case.values[0]["coordinated_dropout_rate"] = 0.0

    passing = losses.passes_gradient(case.tf_noise, case.hyperparameters, case.architecture).numpy()

    assert passing[:, 0].all()
    assert not passing[:, 1].all()


def test_l2_counts_each_recurrent_kernel_once_in_its_denominator(make_case):
    case = make_case({"ci_encoder_units": 2})

    groups = losses.recurrent_groups(case.architecture)

    layout = {p.name: p.size for p in case.lfads.layout.parameters}
    assert {name: count for name, (_, count) in groups.items()} == {
        "l2_ic_encoder": 2 * 3 * 3**2,
        "l2_ci_encoder": 2 * 3 * 2**2,
        "l2_controller": 3 * 4**2,
        "l2_generator": 3 * 5**2,
    }
    for kernels, count in groups.values():
        assert sum(layout[kernel] for kernel in kernels) == count


def test_l2_denominator_stays_when_a_searched_weight_reaches_0(make_case):
    case = make_case()
    for values in case.values:
        values |= {"l2_generator": 0.0, "l2_ic_encoder": 0.0, "l2_ci_encoder": 0.0, "l2_controller": 2.0}

    penalty = losses.l2_penalty(
        case.tf_weights, case.hyperparameters, case.lfads.settings.penalised, case.architecture
    )

    kernel = case.named(0)["controller/recurrent_kernel"]
    entries = 54 + 54 + 48 + 75  # all four groups
    assert penalty[0].numpy() == pytest.approx((kernel**2).sum() / entries, rel=1e-13)


def test_sample_weights_scale_what_is_left_in_and_nothing_else(make_case):
    case = make_case({"ic_segment_bins": 1}, held_out=1, forward_bins=1, sample_validation_rate=0.25)

    weights = losses.sample_weights(case.batch.sample_mask, 0.25, case.architecture).numpy()

    assert weights.shape == (5, 3, 4)
    assert (weights[4:] == 1).all()
    assert (weights[:, :, 3:] == 1).all()
    np.testing.assert_allclose(weights[:4, :, :3], case.sample_mask[:, 1:].transpose(1, 0, 2) / 0.75)


@pytest.fixture(scope="module")
def maze(make_case):
    """Float32 outputs and spikes in the shape of MC_Maze: 256 trials, 45 bins, 182 neurons."""
    shape = {"neurons": 182, "held_out": 45, "bins": 45, "forward_bins": 10, "trials": 256}
    case = make_case(**shape, dropout=False, coordinated=False, dtype=tf.float32)
    parameters = np.random.default_rng(1).normal(-2.0, 1.0, (45, 2, 256, 182)).astype(np.float32)
    spikes = np.random.default_rng(2).poisson(0.13, (45, 256, 182)).astype(np.float32)
    batch = Batch(tf.constant(spikes), None, tf.ones(256))
    exact = np.exp(parameters.astype(np.float64)) - spikes[:, None] * parameters.astype(np.float64)
    return case, tf.constant(parameters), batch, exact


@pytest.mark.parametrize("compiled", [True, False], ids=["XLA", "plain TensorFlow"])
def test_reconstruction_sums_are_unbiased_at_full_size(maze, compiled):
    case, parameters, batch, exact = maze

    @tf.function(jit_compile=compiled, autograph=False)
    def reconstruction(parameters, batch):
        return losses.reconstruction(_decoded(parameters), batch, None, 0.0, case.architecture)

    np.testing.assert_allclose(reconstruction(parameters, batch), exact.mean((0, 2, 3)), rtol=1e-6)


@pytest.mark.parametrize("compiled", [True, False], ids=["XLA", "plain TensorFlow"])
def test_validation_sums_are_unbiased_at_full_size(maze, compiled):
    case, parameters, batch, exact = maze

    @tf.function(jit_compile=compiled, autograph=False)
    def split(parameters, batch):
        return losses.split_reconstruction(_decoded(parameters), batch, case.architecture)

    seen, unseen = split(parameters, batch)

    encoded = exact[:35, :, :, :137]
    np.testing.assert_allclose(seen, encoded.mean((0, 2, 3)), rtol=1e-6)
    rest = exact.sum((0, 2, 3)) - encoded.sum((0, 2, 3))
    np.testing.assert_allclose(unseen, rest / (256 * (45 * 182 - 35 * 137)), rtol=1e-6)
