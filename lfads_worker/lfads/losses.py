"""The training loss of a cohort, term by term, one number a member.

loss = scale * (reconstruction + w_l2 * L2 + w_kl * (kappa_ic * KL_ic + kappa_u * KL_u))

Sums over axes are made one axis at a time: a single float32 reduction with
the members axis in the middle is biased by 1e-3 at full size, more than the
improvement at which population based training stops.

References:
  Pandarinath et al. 2018, Nature Methods 15 (objective); Keshtkaran and
  Pandarinath 2019, NeurIPS 32 (coordinated dropout, section 3; sample
  validation, section 2); normalised L2 as in autolfads-tf2.
"""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from lfads_worker.lfads.architecture import Architecture
from lfads_worker.lfads.hyperparameters import Hyperparameters
from lfads_worker.lfads.noise import Noise
from lfads_worker.lfads.outputs import Batch, Decoded
from lfads_worker.lfads.posteriors import AutoregressivePrior, Gaussian, IndependentPrior, gaussian_kl

Tensor = Any


def ramp(epoch: int, start: int, increase: int) -> float:
    """Weight of a ramped term at a 1-based epoch: clip((epoch - start)/(increase + 1), 0, 1).

    With increase 80 it is 1/81 in the first epoch and 1 from the 81st on; with
    increase 0 it steps from 0 to 1 after `start` epochs.
    """
    return min(max((epoch - start) / (increase + 1), 0.0), 1.0)


def mean_over_trials(x: Tensor, trial_weights: Tensor) -> Tensor:
    """[members, batch] to [members], padding left out."""
    return tf.reduce_sum(x * trial_weights, -1) / tf.reduce_sum(trial_weights)


def passes_gradient(noise: Noise, hyperparameters: Hyperparameters, a: Architecture) -> Tensor | None:
    """Which outputs may teach the model: those whose own spikes the encoders did not see.

    Returns:
      bool [decoded time, members, batch, neurons]; None when nothing is blocked.
      Held-out neurons and forward bins always pass: they are never seen.
      A member whose rate is 0 has coordinated dropout switched off.
    """
    if noise.coordinated_keep is None:
        return None
    passing = tf.logical_not(noise.coordinated_keep)
    if noise.coordinated_pass is not None:
        passing |= noise.coordinated_pass
    passing |= tf.reshape(hyperparameters.coordinated_dropout_rate <= 0, (1, -1, 1, 1))
    unseen_bins = a.decoded_bins - a.controller_input_bins
    unseen_neurons = a.neurons - a.held_in_neurons
    return tf.pad(passing, ((0, unseen_bins), (0, 0), (0, 0), (0, unseen_neurons)), constant_values=True)


def elementwise_loss(decoded: Decoded, spikes: Tensor, passing: Tensor | None, a: Architecture) -> Tensor:
    """Nats without the data-only part, [decoded time, members, batch, neurons].

    Blocking stops gradients; it leaves every value as it is.
    """
    parameters = decoded.output_parameters
    if passing is not None:
        mask = tf.concat([passing] * a.distribution.parameters_per_neuron, -1)
        parameters = tf.where(mask, parameters, tf.stop_gradient(parameters))
    return a.distribution.loss(parameters, spikes[:, None])


def sample_weights(sample_mask: Tensor, rate: float, a: Architecture) -> Tensor:
    """[decoded time, batch, neurons]: how much an element counts under sample validation.

    0 for what it holds out, 1/(1 - rate) for what it leaves in; 1 for neurons
    and bins that are never encoded, which it does not touch.
    """
    left_in = sample_mask[a.ic_segment_bins :] / (1.0 - rate)
    unseen_bins = a.decoded_bins - a.controller_input_bins
    return tf.pad(
        left_in, ((0, unseen_bins), (0, 0), (0, a.neurons - a.held_in_neurons)), constant_values=1.0
    )


def reconstruction(
    decoded: Decoded, batch: Batch, passing: Tensor | None, sample_validation_rate: float, a: Architecture
) -> Tensor:
    """[members] mean over trials, bins and neurons of the elementwise loss.

    The mean is over all elements, whatever coordinated dropout or sample
    validation leave out; see `sample_weights`.
    """
    loss = elementwise_loss(decoded, batch.spikes[a.ic_segment_bins :], passing, a)
    if batch.sample_mask is not None:
        loss *= sample_weights(batch.sample_mask, sample_validation_rate, a)[:, None]
    per_trial = tf.reduce_mean(tf.reduce_mean(loss, -1), 0)
    return mean_over_trials(per_trial, batch.trial_weights)


def split_reconstruction(decoded: Decoded, batch: Batch, a: Architecture) -> tuple[Tensor, Tensor]:
    """Loss of what the encoders saw, and of what they never saw, for validation.

    Returns:
      two [members] means over trials and elements. Seen: held-in neurons in
      encoded bins that sample validation left in. Unseen: everything else;
      NaN where there is nothing unseen.
    """
    loss = elementwise_loss(decoded, batch.spikes[a.ic_segment_bins :], None, a)
    bins, neurons = a.controller_input_bins, a.held_in_neurons
    seen = tf.ones((bins, batch.spikes.shape[1], neurons), loss.dtype)
    if batch.sample_mask is not None:
        seen = batch.sample_mask[a.ic_segment_bins :]
    seen = tf.pad(seen, ((0, a.decoded_bins - bins), (0, 0), (0, a.neurons - neurons)))
    seen *= batch.trial_weights[None, :, None]
    unseen = batch.trial_weights[None, :, None] - seen

    def mean(weights: Tensor) -> Tensor:
        total = tf.reduce_sum(tf.reduce_sum(tf.reduce_sum(loss * weights[:, None], -1), -1), 0)
        return total / tf.reduce_sum(tf.reduce_sum(tf.reduce_sum(weights, -1), -1), 0)

    return mean(seen), mean(unseen)


def kl_initial_condition(weights: Mapping[str, Tensor], posterior: Gaussian, a: Architecture) -> Tensor:
    """[members, batch] nats: Gaussian prior with trainable mean and fixed variance."""
    variance = tf.constant(a.model.ic_prior_variance, posterior.mean.dtype)
    return tf.reduce_sum(gaussian_kl(posterior, weights["ic_prior/mean"][:, None], variance), -1)


def kl_inferred_inputs(
    weights: Mapping[str, Tensor], posterior: Gaussian, noise: Noise, a: Architecture
) -> Tensor:
    """[members, batch] nats against the prior chosen in the spec; analytic unless `kl_draw` is given."""
    if a.model.input_prior == "Independent":
        return IndependentPrior(weights["input_prior/mean"], a.model.input_prior_noise_variance).kl(posterior)
    prior = AutoregressivePrior(weights["input_prior/log_tau"], weights["input_prior/log_noise_variance"])
    if noise.kl_draw is not None:
        return prior.kl_of_sample(posterior, noise.kl_draw)
    return prior.kl(posterior)


def recurrent_groups(a: Architecture) -> dict[str, tuple[list[str], int]]:
    """Hyperparameter of each L2 penalty to the recurrent kernels it weighs and their number of entries."""
    m = a.model
    groups = {
        "l2_ic_encoder": (["ic_encoder/forward", "ic_encoder/backward"], m.ic_encoder_units),
        "l2_generator": (["generator"], m.generator_units),
    }
    if a.has_controller:
        ci = ["ci_encoder/forward"] if m.causal else ["ci_encoder/forward", "ci_encoder/backward"]
        groups["l2_ci_encoder"] = (ci, m.ci_encoder_units)
        groups["l2_controller"] = (["controller"], m.controller_units)
    return {
        name: ([f"{cell}/recurrent_kernel" for cell in cells], len(cells) * 3 * units**2)
        for name, (cells, units) in groups.items()
    }


def l2_penalty(
    weights: Mapping[str, Tensor],
    hyperparameters: Hyperparameters,
    penalised: frozenset[str],
    a: Architecture,
) -> Tensor:
    """[members]: sum of lambda/2 * |U|² over recurrent kernels, divided by their number of entries.

    Args:
      weights: named [members, ...] weights.
      hyperparameters: the lambdas.
      penalised: names of the lambdas that are searched or not zero. The
        denominator counts their kernels and never changes during a run, so
        that the penalty stays linear in each lambda.
      a: sizes.
    """
    groups = {name: group for name, group in recurrent_groups(a).items() if name in penalised}
    if not groups:
        return tf.zeros_like(hyperparameters.learning_rate)
    entries = sum(count for _, count in groups.values())
    total = tf.zeros_like(hyperparameters.learning_rate)
    for name, (kernels, _) in groups.items():
        squares = [tf.reduce_sum(tf.reduce_sum(tf.square(weights[kernel]), -1), -1) for kernel in kernels]
        total += getattr(hyperparameters, name) * 0.5 * tf.add_n(squares)
    return total / entries
