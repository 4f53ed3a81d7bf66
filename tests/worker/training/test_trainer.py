"""A generation of a cohort: pure, repeatable, and blind to how the population is cut.

Most tests run the graph without XLA, which traces in seconds; what only XLA can break is tested with it.
"""

import dataclasses
import io
import logging

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from lfads_worker.lfads import random_bits
from lfads_worker.lfads.hyperparameters import stack_hyperparameters
from lfads_worker.lfads.noise import NoiseSource
from lfads_worker.training import trainer as trainer_module
from lfads_worker.training.state import CohortState
from lfads_worker.training.trainer import CohortTrainer


def _same_log(one, other):
    for field in dataclasses.fields(one):
        np.testing.assert_array_equal(
            getattr(one, field.name), getattr(other, field.name), err_msg=field.name
        )


def _through_bytes(state):
    file = io.BytesIO()
    np.savez(file, **dataclasses.asdict(state))
    file.seek(0)
    with np.load(file) as arrays:
        return CohortState(**arrays)


# Same task, same bits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["plain", pytest.param("xla", marks=pytest.mark.slow)])
def test_the_same_task_gives_the_same_bits(request, make_task, kind):
    trainer, first = (
        request.getfixturevalue(n)
        for n in (("trainer", "trained") if kind == "plain" else ("xla_trainer", "xla_trained"))
    )

    again = trainer.train_generation(make_task())

    assert again.state.equals(first.state)
    np.testing.assert_array_equal(again.scores, first.scores)
    _same_log(again.log, first.log)


def test_a_checkpoint_and_a_restart_change_nothing(make_trainer, xla_trainer, xla_trained, make_task):
    following = make_task(state=xla_trained.state, generation=1, first_epoch=3)
    uninterrupted = xla_trainer.train_generation(following)

    restored = _through_bytes(xla_trained.state)
    resumed = xla_trainer.train_generation(dataclasses.replace(following, state=restored))

    assert restored.equals(xla_trained.state)
    assert resumed.state.equals(uninterrupted.state)
    _same_log(resumed.log, uninterrupted.log)


def test_a_new_process_would_start_from_the_same_weights(make_trainer, trainer):
    fresh = make_trainer()

    assert fresh.initial_state((4, 2)).equals(trainer.initial_state((4, 2)))


def test_training_does_not_change_the_state_it_is_given(trainer, trained, make_task):
    before = _through_bytes(trained.state)

    trainer.train_generation(make_task(state=trained.state, generation=1))

    assert before.equals(trained.state)


def test_nothing_recompiles_when_values_generation_or_epochs_change(
    xla_trainer, xla_trained, make_task, values
):
    compilations = xla_trainer._program.run.experimental_get_tracing_count()

    changed = [{name: value * 0.9 for name, value in values(i).items()} for i in range(3)]
    xla_trainer.train_generation(make_task(values=changed))
    xla_trainer.train_generation(make_task(members=(9, 4, 7), state=None, generation=6, first_epoch=200))
    xla_trainer.train_generation(make_task(state=xla_trained.state, generation=7))

    assert xla_trainer._program.run.experimental_get_tracing_count() == compilations


def test_how_many_epochs_a_call_trains_changes_nothing(trainer, make_task, monkeypatch):
    whole = trainer.train_generation(make_task((0, 1, 2), epochs=5))

    monkeypatch.setattr(trainer_module, "_EPOCHS_PER_CALL", 3)  # three, then two padded to three
    cut = trainer.train_generation(make_task((0, 1, 2), epochs=5))

    assert cut.state.equals(whole.state)
    _same_log(cut.log, whole.log)


# Members do not mix ---------------------------------------------------------------------------------------


def test_the_order_of_members_in_a_cohort_does_not_matter(xla_trainer, xla_trained, make_task):
    order = [2, 0, 1]

    found = xla_trainer.train_generation(make_task(tuple(order)))

    assert found.state.equals(xla_trained.state.rows(order))
    np.testing.assert_array_equal(found.scores, xla_trained.scores[order])


def test_a_cohort_equals_cohorts_of_one(trainer, trained, make_task):
    for member in range(3):
        alone = trainer.train_generation(make_task((member,)))

        # Sums run in another order in arrays of another size, so the last bits differ.
        for name in ("weights", "adam_m", "adam_v"):
            ours, cohorts = getattr(alone.state, name)[0], getattr(trained.state, name)[member]
            np.testing.assert_allclose(
                ours, cohorts, rtol=1e-4, atol=1e-6 * np.abs(cohorts).max(), err_msg=name
            )
        np.testing.assert_allclose(alone.scores[0], trained.scores[member], rtol=1e-6)


@pytest.mark.slow  # compiles two more sizes of cohort
def test_a_compiled_cohort_equals_smaller_ones(xla_trainer, xla_trained, make_task):
    for members in ([2, 0], [1]):
        part = xla_trainer.train_generation(make_task(members))

        # Equal but for rounding: XLA orders the sums of a product by the size of the whole array.
        expected = xla_trained.state.weights[members]
        np.testing.assert_allclose(part.state.weights, expected, rtol=1e-5, atol=2e-6)
        np.testing.assert_allclose(part.scores, xla_trained.scores[members], rtol=1e-6)


def test_xla_and_plain_tensorflow_train_alike(trained, xla_trained):
    expected = trained.state.weights
    np.testing.assert_allclose(xla_trained.state.weights, expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(xla_trained.scores, trained.scores, rtol=1e-5)


def test_a_diverging_member_leaves_its_neighbours_bit_identical(xla_trainer, xla_trained, make_task, values):
    wild = [values(0), values(1) | {"learning_rate": 1e30}, values(2)]

    found = xla_trainer.train_generation(make_task(values=wild))

    assert np.isnan(found.scores[1])
    assert found.state.rows([0, 2]).equals(xla_trained.state.rows([0, 2]))
    np.testing.assert_array_equal(found.scores[[0, 2]], xla_trained.scores[[0, 2]])
    for field in dataclasses.fields(found.log):
        column = getattr(found.log, field.name)
        if column.ndim == 2:
            np.testing.assert_array_equal(column[:, [0, 2]], getattr(xla_trained.log, field.name)[:, [0, 2]])


def test_a_member_that_arrives_with_nan_weights_leaves_its_neighbours_bit_identical(
    xla_trainer, xla_trained, make_task
):
    following = make_task(state=xla_trained.state, generation=1)
    healthy = xla_trainer.train_generation(following)
    broken = _through_bytes(xla_trained.state)
    broken.weights[0] = np.nan

    found = xla_trainer.train_generation(dataclasses.replace(following, state=broken))

    assert np.isnan(found.scores[0])
    assert found.state.rows([1, 2]).equals(healthy.state.rows([1, 2]))


def test_members_differ_though_their_values_agree(trainer, make_task, values):
    found = trainer.train_generation(make_task(values=[values(0)] * 3))

    for row in (found.state.weights, found.log.train_nll.T, found.scores[:, None]):
        assert len(np.unique(row, axis=0)) == 3


def test_a_copied_member_trains_on_with_random_numbers_of_its_own(trainer, trained, make_task, values):
    twins = dataclasses.replace(trained.state.rows([0, 0, 0]), member_ids=np.array([0, 1, 2]))

    found = trainer.train_generation(make_task(state=twins, values=[values(0)] * 3, generation=1))

    assert len(np.unique(found.state.weights, axis=0)) == 3


def test_generations_and_seeds_give_other_random_numbers(trainer, trained, make_spec, make_task, monkeypatch):
    task = make_task(state=trained.state)

    first, later = (trainer.train_generation(dataclasses.replace(task, generation=g)) for g in (1, 2))
    monkeypatch.setattr(trainer, "_spec", make_spec(population={"seed": 4}))
    other = trainer.train_generation(dataclasses.replace(task, generation=1))

    assert (first.state.weights != later.state.weights).any()
    assert (first.state.weights != other.state.weights).any()


def test_generations_shuffle_anew_and_draw_anew(trainer, trained, make_task, values):
    still = [values(i) | {"learning_rate": 1e-30} for i in range(3)]
    tasks = [make_task(state=trained.state, values=still, generation=generation) for generation in (1, 2)]

    orders = [trainer._schedule(task, 0, 3, 3).trials.numpy() for task in tasks]
    validated = [trainer.train_generation(task).log.valid_nll for task in tasks]

    assert (orders[0] != orders[1]).any()
    # Nothing was learned, and validation knows no order: only the posterior draws can differ.
    assert (validated[0] != validated[1]).all()
    assert (validated[0][0] != validated[0][1]).all()


def test_both_words_of_a_seed_key_the_random_numbers():
    keys = [trainer_module._keys(seed, np.array([0]), 0) for seed in (3, 4, 3 + 2**32)]

    assert [key.seed.numpy().tolist() for key in keys] == [[3, 0], [4, 0], [3, 1]]


def test_initial_weights_belong_to_the_member(trainer):
    cohort, alone = trainer.initial_state((5, 1, 3)), trainer.initial_state((1,))

    np.testing.assert_array_equal(cohort.weights[1], alone.weights[0])
    assert len(np.unique(cohort.weights, axis=0)) == 3
    assert (cohort.steps == 0).all()
    assert np.isnan(cohort.smoothed).all()


# What is logged and scored --------------------------------------------------------------------------------


def test_score_is_the_smoothed_validation_likelihood(trainer, trained, make_task):
    smoothed = np.full(3, np.nan)
    for value, logged in zip(trained.log.valid_nll, trained.log.smoothed, strict=True):
        smoothed = np.where(np.isnan(smoothed), value, 0.3 * smoothed + 0.7 * value)
        np.testing.assert_allclose(logged, smoothed, rtol=1e-12)
    np.testing.assert_array_equal(trained.scores, trained.log.smoothed[-1])
    np.testing.assert_array_equal(trained.state.smoothed, trained.scores)

    following = trainer.train_generation(make_task(state=trained.state, generation=1, first_epoch=3))

    expected = 0.3 * trained.scores + 0.7 * following.log.valid_nll[0]
    np.testing.assert_allclose(following.log.smoothed[0], expected, rtol=1e-12)


def test_validation_is_the_poisson_likelihood_of_what_the_model_predicts(
    trainer, trained, make_recording, values
):
    """The rates of the last epoch's validation draw, judged by SciPy."""
    data, model = make_recording(), trainer.model
    keys = random_bits.member_keys(
        tf.constant([3, 0], tf.uint32), tf.constant([0, 1, 2], tf.uint32), tf.constant(0, tf.uint32)
    )
    # Three epochs of three minibatches; five validation trials are one minibatch, so steps count draws.
    draws = NoiseSource(model.architecture, 3, 5).for_sampling(keys, tf.constant(2**31 + 2 * 3, tf.uint32))
    batch = trainer._recording.batch(tf.constant(data.valid), tf.ones(5))
    weights = model.layout.split(tf.constant(trained.state.weights))
    _, decoded = model.forward(weights, batch, draws, stack_hyperparameters([values(i) for i in range(3)]))

    rates = np.exp(decoded.output_parameters.numpy().astype(np.float64)).transpose(1, 2, 0, 3)
    nll = -stats.poisson.logpmf(data.spikes[data.valid], rates)
    encoded = np.zeros(nll.shape[1:], bool)
    encoded[:, :5, :3] = True
    for member in range(3):
        logged = trained.log.valid_nll[-1, member], trained.log.valid_nll_held_out[-1, member]
        assert logged[0] == pytest.approx(nll[member][encoded].mean(), rel=1e-5)
        assert logged[1] == pytest.approx(nll[member][~encoded].mean(), rel=1e-5)


def test_the_log_counts_epochs_and_ramps_from_the_start_of_the_run(trainer, trained, make_task):
    following = trainer.train_generation(make_task(state=trained.state, generation=1, first_epoch=3))

    np.testing.assert_allclose(trained.log.kl_ramp, [0.2, 0.4, 0.6])
    np.testing.assert_allclose(following.log.kl_ramp, [0.8, 1.0, 1.0])
    np.testing.assert_allclose(following.log.l2_ramp, [0.8, 1.0, 1.0])
    np.testing.assert_array_equal(following.state.steps, [18, 18, 18])  # 18 trials, minibatches of at most 8


def test_the_loss_is_the_weighted_sum_of_its_logged_terms(trainer, trained, values):
    log, factorial = trained.log, trainer._constants["train_nll"]
    kappa = np.array(
        [[values(i)[name] for i in range(3)] for name in ("kl_initial_condition", "kl_inferred_inputs")]
    )

    kl = kappa[0] * log.kl_initial_condition + kappa[1] * log.kl_inferred_inputs
    total = log.train_nll - factorial + log.l2_ramp[:, None] * log.l2 + log.kl_ramp[:, None] * kl

    np.testing.assert_allclose(log.train_loss, 1e4 * total, rtol=1e-5)


def test_stirling_shifts_every_likelihood_by_a_constant_of_the_data(
    trainer, trained, make_trainer, make_task, make_recording, monkeypatch
):
    stirling = make_trainer(training={"log_factorial": "Stirling"})
    monkeypatch.setattr(stirling, "_program", trainer._program)  # already traced, and knows no factorial
    found = stirling.train_generation(make_task())

    data = make_recording()
    exact = -stats.poisson.logpmf(data.spikes, 1.0) - 1.0
    k = np.maximum(data.spikes, 1.0)
    shift = np.where(data.spikes > 1, k * np.log(k) - k + 0.5 * np.log(2 * np.pi * k), 0.0) - exact
    assert found.state.equals(dataclasses.replace(trained.state, smoothed=found.state.smoothed))
    np.testing.assert_allclose(
        found.log.train_nll - trained.log.train_nll, shift[data.train].mean(), rtol=1e-6
    )
    np.testing.assert_allclose(found.scores - trained.scores, shift[data.valid][:, :5, :3].mean(), rtol=1e-6)


def test_training_improves_the_validation_likelihood(trainer, make_task, values):
    fast = [values(0) | {"learning_rate": 0.02}] * 3

    log = trainer.train_generation(make_task(values=fast, epochs=40)).log

    assert (log.train_nll[-5:].mean(0) < log.train_nll[:2].mean(0)).all()
    assert (log.valid_nll[-5:].mean(0) < log.valid_nll[:2].mean(0)).all()


def test_progress_is_told_every_few_epochs(trainer, make_task):
    told = []

    trainer.train_generation(make_task(epochs=12), lambda done, epochs: told.append((done, epochs)))

    assert told == [(5, 12), (10, 12), (12, 12)]


# Kinds of runs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recording", "blocks"),
    [
        pytest.param(
            {"external": 0, "held_out": 0, "forward_bins": 0},
            {"model": {"inferred_inputs": 0, "ic_segment_bins": 2}},
            id="no controller, segment, nothing held out",
        ),
        pytest.param(
            {"gaussian": True},
            {
                "model": {"output_distribution": "Gaussian", "input_prior": "Independent"},
                "training": {"sample_validation_rate": 0.25, "coordinated_dropout_pass_rate": 0.2},
            },
            id="Gaussian, sample validation, pass rate",
        ),
    ],
)
def test_other_models_train_too(make_trainer, make_recording, make_task, recording, blocks):
    data = make_recording(**recording)

    found = make_trainer(data, **blocks).train_generation(make_task((0,)))

    log = found.log
    assert np.isfinite(found.scores).all()
    assert np.isfinite(found.state.weights).all()
    assert np.isfinite([log.train_loss, log.train_nll, log.valid_nll, log.gradient_norm, log.l2]).all()
    held_out = data.held_out_neurons > 0
    assert np.isfinite(log.valid_nll_held_out).all() == held_out
    assert (log.kl_inferred_inputs == 0).all() == (blocks["model"].get("inferred_inputs") == 0)


def test_sample_validation_holds_out_a_fixed_share_of_the_spikes(make_trainer):
    masks = [
        make_trainer(
            training={"sample_validation_rate": 0.3}, population={"seed": seed}
        )._recording.sample_mask
        for seed in (3, 3, 4)
    ]

    np.testing.assert_array_equal(masks[0], masks[1])
    assert (masks[0].numpy() != masks[2].numpy()).any()
    assert masks[0].shape == (23, 5, 3)
    assert masks[0].numpy().mean() == pytest.approx(0.7, abs=4.5 * np.sqrt(0.21 / masks[0].numpy().size))


def test_sample_validation_weighs_the_data_only_part_like_the_rest(make_trainer, make_recording):
    data = make_recording()

    trainer = make_trainer(data, training={"sample_validation_rate": 0.3})

    factorial = -stats.poisson.logpmf(data.spikes, 1.0) - 1.0
    mask = trainer._recording.sample_mask.numpy().astype(bool)
    counted = np.ones(data.spikes.shape)
    counted[:, :5, :3] = mask / 0.7
    seen = np.zeros(data.spikes.shape, bool)
    seen[:, :5, :3] = mask
    constants = trainer._constants
    assert constants["train_nll"] == pytest.approx((counted * factorial)[data.train].mean(), rel=1e-6)
    assert constants["valid_nll"] == pytest.approx(factorial[data.valid][seen[data.valid]].mean(), rel=1e-6)
    unseen = factorial[data.valid][~seen[data.valid]].mean()
    assert constants["valid_nll_held_out"] == pytest.approx(unseen, rel=1e-6)


def test_l2_counts_kernels_whose_weight_is_searched_or_not_zero(make_trainer):
    def penalised(space, **training):
        population = {"search_space_preset": "None", "search_space": space}
        return make_trainer(training=training, population=population).model.settings.penalised

    searched = {"name": "l2CiEncoder", "distribution": "LogUniform", "min": 1e-4, "max": 1.0}
    assert penalised([], l2_generator=0.1, l2_controller=0.0) == {"l2_generator"}
    assert penalised([searched], l2_generator=0.0, l2_controller=0.0) == {"l2_ci_encoder"}


def test_readout_starts_at_the_mean_rate_of_the_training_trials(make_trainer, make_recording):
    data = make_recording()

    def bias(choice):
        trainer = make_trainer(model={"readout_bias": choice})
        return trainer.model.layout.split_row(trainer.initial_state((0,)).weights[0])["readout/bias"]

    np.testing.assert_allclose(np.exp(bias("MeanRate")), data.spikes[data.train].mean((0, 1)), rtol=1e-5)
    assert (bias("Zero") == 0).all()


def test_names_and_shapes_cover_a_members_row(trainer):
    names = trainer.parameter_names_and_shapes()

    sizes = [int(np.prod(shape)) for _, shape in names]
    assert sum(sizes) == trainer.initial_state((0,)).weights.shape[1]
    assert dict(names)["readout/kernel"] == (4, 4)


def test_threads_that_come_too_late_are_said_in_the_log(trained, make_spec, make_recording, caplog):
    with caplog.at_level(logging.WARNING):
        CohortTrainer(make_spec(), make_recording(), threads=3)

    assert "keeps its own number of threads instead of 3" in caplog.text
