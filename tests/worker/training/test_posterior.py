"""Averages over posterior samples against a loop that keeps every sample."""

import numpy as np
import pytest
import tensorflow as tf

from lfads_worker.lfads import random_bits
from lfads_worker.lfads.hyperparameters import Hyperparameters
from lfads_worker.lfads.noise import Noise, NoiseSource
from lfads_worker.lfads.outputs import Batch
from lfads_worker.training.minibatches import cut

_SAMPLES = 4
_NOTHING_DROPPED = Hyperparameters(*[tf.zeros(1)] * 9)


def _forward(trainer, data, weights, trials, noise):
    """One pass over some trials as the model alone makes it."""

    def time_first(x):
        return tf.constant(x[trials].transpose(1, 0, 2))

    batch = Batch(time_first(data.spikes), time_first(data.external_inputs), tf.ones(len(trials)))
    named = trainer.model.layout.split(tf.constant(weights[None]))
    return trainer.model.forward(named, batch, noise, _NOTHING_DROPPED, keep_states=True)


def _by_trial(x):
    return x.numpy()[:, 0].transpose(1, 0, 2)


def _loop(trainer, data, weights, member):
    """Each sample of rates, factors, ... for all trials: name to [samples, trials, time, width]."""
    seed, ids = tf.constant([3, 0], tf.uint32), tf.constant([member], tf.uint32)
    keys = random_bits.member_keys(seed, ids, tf.constant(2**32 - 1, tf.uint32))
    trials, used = cut(np.arange(data.trials), 8)
    samples = []
    for sample in range(_SAMPLES):
        parts = []
        for number, (chosen, real) in enumerate(zip(trials, used > 0, strict=True)):
            step = tf.constant(number * _SAMPLES + sample, tf.uint32)
            noise = NoiseSource(trainer.architecture, 1, len(chosen)).for_sampling(keys, step)
            _, decoded = _forward(trainer, data, weights, chosen, noise)
            part = {
                "rates": np.exp(_by_trial(decoded.output_parameters)),
                "factors": _by_trial(decoded.factors),
                "generator_states": _by_trial(decoded.generator_states),
                "inferred_inputs": _by_trial(decoded.inferred_inputs),
                "controller_states": _by_trial(decoded.controller_states),
                "co_means": _by_trial(decoded.input_posterior.mean),
                "co_stds": np.sqrt(_by_trial(decoded.input_posterior.variance)),
                "initial_states": decoded.initial_generator_state.numpy()[0],
            }
            parts.append({name: value[real] for name, value in part.items()})
        samples.append({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    return {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}


@pytest.fixture(scope="module")
def averages(trainer, trained):
    return trainer.posterior_averages(trained.state, 1, _SAMPLES)


@pytest.fixture(scope="module")
def samples(trainer, trained, make_recording):
    return _loop(trainer, make_recording(), trained.state.weights[1], member=1)


def test_means_and_standard_deviations_equal_those_of_the_samples(averages, samples):
    for name, values in samples.items():
        np.testing.assert_allclose(
            getattr(averages, name), values.mean(0), rtol=1e-4, atol=1e-6, err_msg=name
        )
    for name in ("rates", "factors", "generator_states", "inferred_inputs", "initial_states"):
        spread = samples[name].std(0, ddof=1)
        found = getattr(averages, f"{name}_std")
        np.testing.assert_allclose(found, spread, rtol=1e-3, atol=1e-5, err_msg=name)
        assert (found > 0).all(), name


def test_rates_are_averaged_and_not_log_rates(averages, samples):
    log_averaged = np.exp(np.log(samples["rates"]).mean(0))

    assert (averages.rates > log_averaged).mean() > 0.9


def test_every_trial_is_there_in_order(averages, trainer, make_recording, trained):
    data = make_recording()
    encoded, _ = _forward(trainer, data, trained.state.weights[1], np.arange(23), Noise())

    assert averages.rates.shape == (23, 6, 4)
    np.testing.assert_allclose(averages.ic_mean, encoded.initial_condition.mean[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(averages.ic_std, np.sqrt(encoded.initial_condition.variance[0]), rtol=1e-5)


def test_generator_inputs_are_the_inferred_then_the_external_ones(averages, make_recording):
    np.testing.assert_array_equal(averages.generator_inputs[..., :2], averages.inferred_inputs)
    np.testing.assert_array_equal(averages.generator_inputs[..., 2:], make_recording().external_inputs)


def test_no_samples_give_the_posterior_mean(trainer, trained, make_recording):
    found = trainer.posterior_averages(trained.state, 1, 0)

    _, decoded = _forward(trainer, make_recording(), trained.state.weights[1], np.arange(23), Noise())
    np.testing.assert_allclose(found.rates, np.exp(_by_trial(decoded.output_parameters)), rtol=1e-4)
    np.testing.assert_array_equal(found.inferred_inputs, found.co_means)
    assert (found.rates_std == 0).all()
    assert found.samples == 0


def test_progress_is_told_after_each_batch_of_trials(trainer, trained, make_recording):
    told = []

    trainer.posterior_averages(trained.state, 1, 2, lambda *steps: told.append(steps))

    batches = -(-make_recording().spikes.shape[0] // trainer._spec.training.batch_size)
    assert batches > 1
    assert told == [(number + 1, batches) for number in range(batches)]


def test_one_sample_has_no_spread(trainer, trained):
    found = trainer.posterior_averages(trained.state, 1, 1)

    assert (found.rates_std == 0).all()
    assert (found.inferred_inputs != found.co_means).all()


def test_averages_are_repeatable_and_belong_to_the_member(trainer, trained, averages):
    again = trainer.posterior_averages(trained.state, 1, _SAMPLES)
    alone = trainer.posterior_averages(trained.state.rows([1]), 0, _SAMPLES)

    for name, value in averages._asdict().items():
        np.testing.assert_array_equal(getattr(again, name), value, err_msg=name)
        np.testing.assert_array_equal(getattr(alone, name), value, err_msg=name)


def test_xla_averages_alike(xla_trainer, trained, averages):
    found = xla_trainer.posterior_averages(trained.state, 1, _SAMPLES)

    for name, value in averages._asdict().items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=1e-3, atol=1e-5, err_msg=name)


def test_bins_of_the_initial_condition_segment_are_nan(make_trainer):
    trainer = make_trainer(model={"ic_segment_bins": 2})

    found = trainer.posterior_averages(trainer.initial_state((0,)), 0, 2)

    for name, value in found._asdict().items():
        if name != "samples" and value.ndim == 3:
            assert value.shape[:2] == (23, 6), name
            assert np.isnan(value[:, :2]).all(), name
            assert np.isfinite(value[:, 2:]).all(), name


def test_a_model_without_controller_has_inputs_of_width_0(make_trainer):
    trainer = make_trainer(model={"controller_units": 0})

    found = trainer.posterior_averages(trainer.initial_state((0,)), 0, 2)

    for name in ("inferred_inputs", "controller_states", "co_means", "co_stds"):
        assert getattr(found, name).shape == (23, 6, 0), name
    assert found.generator_inputs.shape == (23, 6, 1)
    assert np.isfinite(found.rates).all()


def test_sample_validation_is_off_when_rates_are_inferred(make_trainer, trained, trainer):
    masked = make_trainer(training={"sample_validation_rate": 0.5})

    found = masked.posterior_averages(trained.state, 1, 0)

    np.testing.assert_allclose(found.rates, trainer.posterior_averages(trained.state, 1, 0).rates, rtol=1e-5)
