"""The model against the NumPy oracle: forward pass, every term of the loss, every gradient."""

import numpy as np
import pytest
import tensorflow as tf

_NONE = {"ci_encoder_units": 0, "controller_units": 0, "inferred_inputs": 0}

VARIANTS = [
    pytest.param({}, id="controller"),
    pytest.param({"model": {"ci_encoder_units": 0}}, id="no controller, encoder width 0"),
    pytest.param({"model": {"controller_units": 0}}, id="no controller, controller width 0"),
    pytest.param({"model": {"inferred_inputs": 0}}, id="no controller, no inferred inputs"),
    pytest.param({"model": {"causal": True}}, id="causal"),
    pytest.param({"model": {"causal": True, "ci_lag": 0}}, id="causal, lag 0"),
    pytest.param({"model": {"ci_lag": 0}}, id="lag 0"),
    pytest.param({"model": {"ci_lag": 2}}, id="lag 2"),
    pytest.param({"model": {"ci_lag": 9}}, id="lag longer than the trial"),
    pytest.param({"model": {"ci_encoder_units": 5}}, id="encoders of different width"),
    pytest.param({"model": {"ic_segment_bins": 2}}, id="initial condition segment"),
    pytest.param({"model": {"ic_segment_bins": 2} | _NONE}, id="segment without controller"),
    pytest.param(
        {"model": {"ic_segment_bins": 2, "causal": True}, "forward_bins": 1, "held_out": 1, "external": 2},
        id="segment, causal, held out, forward, external",
    ),
    pytest.param({"external": 2}, id="external inputs"),
    pytest.param({"external": 2, "model": _NONE}, id="external inputs without controller"),
    pytest.param({"held_out": 2, "forward_bins": 2}, id="held-out neurons and forward bins"),
    pytest.param({"held_out": 2, "forward_bins": 2, "model": _NONE}, id="held out without controller"),
    pytest.param({"model": {"output_distribution": "Gaussian"}}, id="Gaussian output"),
    pytest.param(
        {"model": {"output_distribution": "Gaussian"}, "held_out": 1, "forward_bins": 1},
        id="Gaussian output, held out",
    ),
    pytest.param({"model": {"input_prior": "Independent"}}, id="independent prior"),
    pytest.param({"model": {"input_kl": "MonteCarlo"}}, id="Monte Carlo KL"),
    pytest.param({"sample_validation_rate": 0.3}, id="sample validation"),
    pytest.param(
        {"sample_validation_rate": 0.3, "held_out": 1, "forward_bins": 1, "model": {"ic_segment_bins": 1}},
        id="sample validation with all that is held out",
    ),
    pytest.param({"pass_rate": 0.5}, id="coordinated dropout with pass rate"),
    pytest.param({"trials": 5, "padding": 2}, id="padded trials"),
    pytest.param({"penalised": frozenset()}, id="no L2"),
    pytest.param({"penalised": frozenset({"l2_generator"})}, id="L2 of the generator alone"),
    pytest.param({"penalised": frozenset({"l2_ic_encoder", "l2_ci_encoder"})}, id="L2 of the encoders"),
    pytest.param({"model": {"cell_clip": 0.4}, "weight_scale": 1.5}, id="clip acts"),
    pytest.param(
        {"model": {"cell_clip": 0.4} | _NONE, "weight_scale": 1.5}, id="clip acts without controller"
    ),
    pytest.param({"dropout": False, "coordinated": False}, id="nothing dropped"),
    pytest.param({"dropout": False}, id="coordinated dropout alone"),
    pytest.param({"coordinated": False}, id="dropout alone"),
    pytest.param({"dropout": False, "coordinated": False, "sampled": False}, id="posterior means"),
]


@pytest.mark.parametrize("options", VARIANTS)
def test_loss_and_gradient_equal_the_numpy_model(make_case, options):
    case = make_case(**options)

    terms, gradient = case.loss_and_gradient()

    for member in range(case.members):
        expected = case.oracle_terms(member)
        for name, value in expected.items():
            np.testing.assert_allclose(terms[name][member], value, rtol=1e-11, atol=1e-13, err_msg=name)
        _check_gradient(case, member, case.lfads.layout.split_row(gradient[member]))


def _check_gradient(case, member, gradient):
    """One random direction for each named parameter, two single entries of each, and one through all."""
    rng = np.random.default_rng(1)
    everything = {name: rng.standard_normal(value.shape) for name, value in gradient.items()}
    directions = [everything, *({name: value} for name, value in everything.items())]
    for name, value in gradient.items():
        for place in rng.choice(value.size, min(2, value.size), replace=False):
            single = np.zeros(value.size)
            single[place] = 1.0
            directions.append({name: single.reshape(value.shape)})
    for direction in directions:
        expected = case.oracle_derivative(member, direction)
        found = sum((gradient[name] * value).sum() for name, value in direction.items())
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11, err_msg=", ".join(direction))


def test_the_oracles_complex_step_agrees_with_central_differences(make_case):
    case = make_case(external=2, held_out=1, forward_bins=1)
    rng = np.random.default_rng(3)
    direction = {name: rng.standard_normal(value.shape) for name, value in case.named(0).items()}

    def total(step):
        weights = {name: value + step * direction[name] for name, value in case.named(0).items()}
        return case.oracle_terms(0, weights, blocked=True)["total"]

    central = (total(1e-5) - total(-1e-5)) / 2e-5
    assert case.oracle_derivative(0, direction) == pytest.approx(central, rel=1e-6)


def test_the_clip_acts_where_it_is_said_to(make_case):
    case = make_case({"cell_clip": 0.4}, weight_scale=1.5)

    out = case.oracle_forward(0)

    assert (np.abs(out["generator_states"]) == 0.4).any()
    assert (np.abs(out["controller_states"]) == 0.4).any()


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"external": 2, "held_out": 1, "forward_bins": 1}, id="controller"),
        pytest.param({"external": 2, "model": _NONE}, id="no controller"),
        pytest.param({"model": {"ic_segment_bins": 2, "ci_encoder_units": 5}}, id="segment"),
        pytest.param({"dropout": False, "coordinated": False, "sampled": False}, id="posterior means"),
    ],
)
def test_forward_pass_equals_the_numpy_model(make_case, options):
    case = make_case(**options)

    encoded, decoded = case.lfads.forward(
        case.tf_weights, case.batch, case.tf_noise, case.hyperparameters, keep_states=True
    )

    posterior = decoded.input_posterior
    found = {
        "ic_mean": encoded.initial_condition.mean,
        "ic_variance": encoded.initial_condition.variance,
        "initial_generator_state": decoded.initial_generator_state,
        "generator_states": decoded.generator_states,
        "factors": decoded.factors,
        "output_parameters": decoded.output_parameters,
    }
    if posterior is not None:
        found |= {
            "controller_states": decoded.controller_states,
            "co_mean": posterior.mean,
            "co_sd": np.sqrt(posterior.variance),
            "inferred": decoded.inferred_inputs,
        }
    for member in range(case.members):
        expected = case.oracle_forward(member)
        assert expected.keys() == found.keys()
        for name, value in found.items():
            value = np.asarray(value)
            ours = value[member] if value.ndim == 3 else value[:, member].transpose(1, 0, 2)
            np.testing.assert_allclose(ours, expected[name], rtol=1e-11, atol=1e-13, err_msg=name)


def test_training_and_reporting_passes_agree(make_case):
    case = make_case(external=1)
    arguments = case.tf_weights, case.batch, case.tf_noise, case.hyperparameters

    (_, lean), (_, full) = case.lfads.forward(*arguments), case.lfads.forward(*arguments, keep_states=True)

    np.testing.assert_array_equal(lean.output_parameters, full.output_parameters)
    np.testing.assert_array_equal(lean.input_posterior.mean, full.input_posterior.mean)


@pytest.mark.parametrize("sample_validation_rate", [0.0, 0.3])
def test_validation_splits_the_loss_into_seen_and_unseen(make_case, sample_validation_rate):
    case = make_case(
        {"ic_segment_bins": 1},
        trials=5,
        padding=1,
        held_out=1,
        forward_bins=2,
        dropout=False,
        coordinated=False,
        sample_validation_rate=sample_validation_rate,
    )

    seen, unseen = case.lfads.validation(case.tf_weights, case.batch, case.tf_noise, case.hyperparameters)

    for member in range(case.members):
        parameters = case.oracle_forward(member)["output_parameters"][:4]
        loss = np.exp(parameters) - case.spikes[:4, 1:] * parameters
        encoded = np.zeros(loss.shape, bool)
        encoded[:, :3, :3] = True if case.sample_mask is None else case.sample_mask[:4, 1:] > 0
        assert seen[member].numpy() == pytest.approx(loss[encoded].mean(), rel=1e-12)
        assert unseen[member].numpy() == pytest.approx(loss[~encoded].mean(), rel=1e-12)


def test_validation_of_a_model_that_sees_everything_has_no_unseen_loss(make_case):
    case = make_case(dropout=False, coordinated=False)

    seen, unseen = case.lfads.validation(case.tf_weights, case.batch, case.tf_noise, case.hyperparameters)

    assert np.isfinite(seen).all()
    assert np.isnan(unseen).all()


def test_padding_changes_neither_loss_nor_gradient(make_case):
    case = make_case(trials=5, padding=2)
    before, gradient = case.loss_and_gradient()

    case.spikes[3:] = 7.0
    for noise in case.noise:
        noise["ic_draw"][3:] *= -1.0
    after, gradient_after = case.loss_and_gradient()

    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)
    np.testing.assert_array_equal(gradient_after, gradient)


def test_a_padded_minibatch_equals_the_minibatch_without_padding(make_case):
    padded = make_case(trials=5, padding=2)
    short = make_case(trials=3)
    short.flat, short.spikes, short.external = padded.flat, padded.spikes[:3], padded.external[:3]
    short.noise = [{name: value[:3] for name, value in noise.items()} for noise in padded.noise]

    (terms, gradient), (expected, expected_gradient) = padded.loss_and_gradient(), short.loss_and_gradient()

    np.testing.assert_allclose(terms["total"], expected["total"], rtol=1e-13)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("broken", [np.nan, np.inf, 1e200])
def test_a_broken_member_leaves_its_neighbours_alone(make_case, broken):
    case = make_case(members=3)
    terms, gradient = case.loss_and_gradient()

    case.flat[1] = broken
    terms_after, gradient_after = case.loss_and_gradient()

    for name, value in terms.items():
        np.testing.assert_array_equal(terms_after[name][[0, 2]], value[[0, 2]], err_msg=name)
    np.testing.assert_array_equal(gradient_after[[0, 2]], gradient[[0, 2]])
    assert not np.isfinite(terms_after["total"][1])


def test_a_cohort_equals_cohorts_of_one_in_any_order(make_case):
    cohort = make_case(members=3, external=1, held_out=1)
    terms, gradient = cohort.loss_and_gradient()

    for members in ([0], [1], [2], [2, 0, 1]):
        part = make_case(members=3, external=1, held_out=1)
        part.members = len(members)
        part.flat = cohort.flat[members]
        part.noise = [cohort.noise[i] for i in members]
        part.values = [cohort.values[i] for i in members]
        part_terms, part_gradient = part.loss_and_gradient()
        for name, value in terms.items():
            np.testing.assert_allclose(part_terms[name], value[members], rtol=1e-13, err_msg=name)
        np.testing.assert_allclose(part_gradient, gradient[members], rtol=1e-11, atol=1e-14)


@pytest.mark.slow
def test_xla_computes_the_same(make_case):
    case = make_case(
        {"ic_segment_bins": 1, "input_kl": "MonteCarlo"},
        external=2,
        held_out=1,
        forward_bins=1,
        pass_rate=0.3,
        sample_validation_rate=0.2,
    )
    terms, gradient = case.loss_and_gradient()

    compiled = tf.function(case.lfads.loss_and_gradient, jit_compile=True, autograph=False)
    terms_xla, gradient_xla = compiled(*case.arguments())

    for name, value in terms.items():
        np.testing.assert_allclose(getattr(terms_xla, name), value, rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(gradient_xla, gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_full_size_model_in_float32_equals_the_numpy_model_in_float64(make_case):
    """The shape of MC_Maze. At this size naive float32 sums are biased by 1e-3; small models hide that."""
    widths = {"ic_encoder_units": 64, "ci_encoder_units": 64, "controller_units": 64, "inferred_inputs": 4}
    widths |= {"ic_dim": 64, "generator_units": 200, "factors": 100}
    shape = {"neurons": 182, "held_out": 45, "bins": 45, "forward_bins": 10, "trials": 256}
    case = make_case(widths, **shape, dtype=tf.float32)
    rows = [case.lfads.layout.initial(np.random.default_rng(i)) for i in range(2)]
    case.flat = np.stack(rows).astype(np.float64)

    compiled = tf.function(case.lfads.loss_and_gradient, jit_compile=True, autograph=False)
    terms, gradient = compiled(*case.arguments())

    expected = case.oracle_terms(1)
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(terms, name)[1], value, rtol=1e-6, err_msg=name)
    found = case.lfads.layout.split_row(gradient[1].numpy().astype(np.float64))
    rng = np.random.default_rng(0)
    direction = {name: rng.standard_normal(value.shape) for name, value in found.items()}
    moved = sum((found[name] * value).sum() for name, value in direction.items())
    assert moved == pytest.approx(case.oracle_derivative(1, direction), rel=1e-5)


# Coordinated dropout ---------------------------------------------------------------------------------------


def _perturbed_outputs(case, trial, time, neuron):
    case.spikes[trial, time, neuron] += 3.0
    _, decoded = case.lfads.forward(case.tf_weights, case.batch, case.tf_noise, case.hyperparameters)
    case.spikes[trial, time, neuron] -= 3.0
    return decoded.output_parameters.numpy()


def test_a_bin_that_teaches_is_never_seen_by_the_encoders(make_case):
    case = make_case(members=1, held_out=1, forward_bins=2, dropout=False)
    _, decoded = case.lfads.forward(case.tf_weights, case.batch, case.tf_noise, case.hyperparameters)
    seen = case.noise[0]["coordinated_keep"]

    for trial, time, neuron in np.ndindex(2, 6, 4):
        outputs = _perturbed_outputs(case, trial, time, neuron)
        visible = time < 4 and neuron < 3 and seen[trial, time, neuron] == 1
        assert (outputs != decoded.output_parameters.numpy()).any() == visible


def test_bins_of_the_initial_condition_segment_are_seen_whole_and_not_decoded(make_case):
    case = make_case({"ic_segment_bins": 2}, members=1, dropout=False)
    _, decoded = case.lfads.forward(case.tf_weights, case.batch, case.tf_noise, case.hyperparameters)

    assert decoded.output_parameters.shape[0] == 4
    for time in range(2):
        assert (_perturbed_outputs(case, 0, time, 1) != decoded.output_parameters.numpy()).any()


def test_target_of_a_seen_bin_moves_no_gradient(make_case):
    case = make_case(members=1, pass_rate=0.3)
    flat, batch, noise, hyperparameters, *ramps = case.arguments()
    seen = (case.noise[0]["coordinated_keep"] * (1 - case.noise[0]["coordinated_pass"])).astype(bool)
    case.spikes[seen] += 2.0
    other_targets = case.batch.spikes

    class OtherTargets(type(case.lfads)):  # encodes the data as recorded, is scored on other targets
        def forward(self, weights, ignored, *args, **kwargs):
            return super().forward(weights, batch, *args, **kwargs)

    lfads = OtherTargets(case.architecture, case.lfads.settings)
    before, gradient = case.lfads.loss_and_gradient(flat, batch, noise, hyperparameters, *ramps)
    changed = batch._replace(spikes=other_targets)
    after, gradient_after = lfads.loss_and_gradient(flat, changed, noise, hyperparameters, *ramps)

    assert seen.any()
    assert not seen.all()
    assert after.reconstruction.numpy() != before.reconstruction.numpy()
    np.testing.assert_array_equal(gradient_after, gradient)


def test_a_rate_of_0_switches_coordinated_dropout_off(make_case):
    case = make_case(members=2)
    case.values[0]["coordinated_dropout_rate"] = 0.0
    case.noise[0]["coordinated_keep"][:] = 1.0  # what a rate of 0 draws
    without = make_case(members=2, coordinated=False)
    without.flat, without.spikes, without.values = case.flat, case.spikes, case.values
    without.noise = [{k: v for k, v in n.items() if k != "coordinated_keep"} for n in case.noise]

    (terms, gradient), (expected, expected_gradient) = case.loss_and_gradient(), without.loss_and_gradient()

    np.testing.assert_allclose(terms["total"][0], expected["total"][0], rtol=1e-13)
    np.testing.assert_allclose(gradient[0], expected_gradient[0], rtol=1e-11, atol=1e-14)
    assert np.abs(gradient[1] - expected_gradient[1]).max() > 1e-3
