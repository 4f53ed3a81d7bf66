"""LFADS as one object: its weights' layout, its training loss and its gradient, its outputs.

Wires encoder, generator and losses; holds no weights and draws no noise.
Every array has a leading or second [members] axis and members never mix, so
the gradient of the sum of their losses is each one's own gradient.

References:
  Sussillo et al. 2016, arXiv 1608.06315; Pandarinath et al. 2018, Nature
  Methods 15.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lfads_worker.lfads import losses
from lfads_worker.lfads.architecture import Architecture
from lfads_worker.lfads.encoder import encode, encoder_parameters
from lfads_worker.lfads.generator import decode, generator_parameters
from lfads_worker.lfads.hyperparameters import Hyperparameters
from lfads_worker.lfads.initializers import constant, variance_scaling
from lfads_worker.lfads.noise import Noise, dropped
from lfads_worker.lfads.outputs import Batch, Decoded, Encoded, LossTerms
from lfads_worker.lfads.parameters import Parameter, ParameterLayout

Tensor = Any


@dataclass(frozen=True)
class LossSettings:
    """What the loss needs besides hyperparameters; constant over a run."""

    scale: float = 1e4
    sample_validation_rate: float = 0.0
    penalised: frozenset[str] = frozenset()  # names of L2 hyperparameters that are searched or not zero


class LFADS:
    """The model of one architecture; the read-out starts at `readout_bias`, [outputs]."""

    def __init__(
        self,
        architecture: Architecture,
        settings: LossSettings,
        readout_bias: NDArray[np.float64] | float = 0.0,
    ) -> None:
        self.architecture = architecture
        self.settings = settings
        self.layout = ParameterLayout(_parameters(architecture, readout_bias))

    def encode(
        self, weights: Mapping[str, Tensor], batch: Batch, noise: Noise, hyperparameters: Hyperparameters
    ) -> Encoded:
        """Posterior of the initial condition and the controller's input; see `encoder.encode`."""
        a = self.architecture
        members = next(iter(weights.values())).shape[0]
        seen = batch.spikes[: a.encoded_bins, :, : a.held_in_neurons]
        if batch.sample_mask is not None:
            seen = seen * batch.sample_mask / (1.0 - self.settings.sample_validation_rate)
        x = tf.repeat(seen[:, None], members, 1)
        if noise.coordinated_keep is not None:
            segment = a.ic_segment_bins  # not masked: these bins are not reconstructed
            later = dropped(x[segment:], noise.coordinated_keep, hyperparameters.coordinated_dropout_rate, 1)
            x = tf.concat([x[:segment], later], 0) if segment else later
        x = dropped(x, noise.input_keep, hyperparameters.dropout_rate, 1)
        return encode(weights, x, noise, hyperparameters, a)

    def forward(
        self,
        weights: Mapping[str, Tensor],
        batch: Batch,
        noise: Noise,
        hyperparameters: Hyperparameters,
        keep_states: bool = False,
    ) -> tuple[Encoded, Decoded]:
        """Encode and decode a batch."""
        encoded = self.encode(weights, batch, noise, hyperparameters)
        external = batch.external_inputs[self.architecture.ic_segment_bins :]
        return encoded, decode(
            weights, encoded, external, noise, hyperparameters, self.architecture, keep_states
        )

    def loss(
        self,
        weights: Mapping[str, Tensor],
        batch: Batch,
        noise: Noise,
        hyperparameters: Hyperparameters,
        kl_ramp: Tensor,
        l2_ramp: Tensor,
    ) -> LossTerms:
        """Terms of the training loss, [members] each.

        Args:
          weights: named [members, ...] weights.
          batch: trials.
          noise: of this step.
          hyperparameters: [members] each.
          kl_ramp: [] in [0, 1], weight of both KL terms in this epoch.
          l2_ramp: [] in [0, 1], weight of the L2 penalty in this epoch.
        """
        a, s = self.architecture, self.settings
        encoded, decoded = self.forward(weights, batch, noise, hyperparameters)
        passing = losses.passes_gradient(noise, hyperparameters, a)
        recon = losses.reconstruction(decoded, batch, passing, s.sample_validation_rate, a)
        kl_ic = losses.kl_initial_condition(weights, encoded.initial_condition, a)
        kl_ic = losses.mean_over_trials(kl_ic, batch.trial_weights)
        kl_u = tf.zeros_like(kl_ic)
        if decoded.input_posterior is not None:
            kl_u = losses.kl_inferred_inputs(weights, decoded.input_posterior, noise, a)
            kl_u = losses.mean_over_trials(kl_u, batch.trial_weights)
        l2 = losses.l2_penalty(weights, hyperparameters, s.penalised, a)
        h = hyperparameters
        kl = h.kl_initial_condition * kl_ic + h.kl_inferred_inputs * kl_u
        total = s.scale * (recon + l2_ramp * l2 + kl_ramp * kl)
        return LossTerms(total, recon, kl_ic, kl_u, l2)

    def loss_and_gradient(
        self,
        flat: Tensor,
        batch: Batch,
        noise: Noise,
        hyperparameters: Hyperparameters,
        kl_ramp: Tensor,
        l2_ramp: Tensor,
    ) -> tuple[LossTerms, Tensor]:
        """The loss terms and d(total)/d(weights) of each member, [members, parameters]."""
        weights = self.layout.split(flat)
        with tf.GradientTape() as tape:
            tape.watch(list(weights.values()))
            terms = self.loss(weights, batch, noise, hyperparameters, kl_ramp, l2_ramp)
            together = tf.reduce_sum(terms.total)
        gradients = tape.gradient(together, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return terms, self.layout.join(gradients)

    def validation(
        self, weights: Mapping[str, Tensor], batch: Batch, noise: Noise, hyperparameters: Hyperparameters
    ) -> tuple[Tensor, Tensor]:
        """Loss of what was seen and of what was not, [members] each, nothing dropped.

        See `losses.split_reconstruction`.
        """
        _, decoded = self.forward(weights, batch, noise, hyperparameters)
        return losses.split_reconstruction(decoded, batch, self.architecture)


def _parameters(a: Architecture, readout_bias: NDArray[np.float64] | float) -> list[Parameter]:
    m, outputs = a.model, a.neurons * a.distribution.parameters_per_neuron
    prior = [Parameter("ic_prior/mean", (m.ic_dim,), constant(0.0))]
    if a.has_controller and m.input_prior == "Autoregressive":
        inputs = (a.inferred_inputs,)
        prior += [
            Parameter("input_prior/log_tau", inputs, constant(math.log(m.input_prior_tau))),
            Parameter(
                "input_prior/log_noise_variance", inputs, constant(math.log(m.input_prior_noise_variance))
            ),
        ]
    elif a.has_controller:
        prior.append(Parameter("input_prior/mean", (a.inferred_inputs,), constant(0.0)))
    return [
        *encoder_parameters(a),
        *generator_parameters(a),
        Parameter("readout/kernel", (m.factors, outputs), variance_scaling(m.factors)),
        Parameter("readout/bias", (outputs,), constant(readout_bias)),
        *prior,
    ]
