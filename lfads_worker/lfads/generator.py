"""The decoder: initial condition to generator, controller and factors, bin after bin.

On each bin: previous factors and encoded spikes drive the controller, which
infers an input; inferred and external input drive the generator; factors are
read out of the generator. Without a controller the generator runs by itself
and the factors are read out for all bins at once.

References:
  Pandarinath et al. 2018, Nature Methods 15, figure 1 and supplement; order
  of operations and places of dropout as in autolfads-tf2 and lfads-torch.
"""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from lfads_worker.lfads.architecture import Architecture
from lfads_worker.lfads.cells import split_recurrent_kernel
from lfads_worker.lfads.generator_gradient import differentiable_loop
from lfads_worker.lfads.generator_loop import LoopInputs, LoopWeights, run_loop
from lfads_worker.lfads.hyperparameters import Hyperparameters
from lfads_worker.lfads.initializers import constant, gru_bias, variance_scaling
from lfads_worker.lfads.noise import Masks, Noise, dropped
from lfads_worker.lfads.outputs import Decoded, Encoded
from lfads_worker.lfads.parameters import Parameter
from lfads_worker.lfads.posteriors import Gaussian
from lfads_worker.lfads.recurrence import gru_scan, time_linear

Tensor = Any


def generator_parameters(a: Architecture) -> list[Parameter]:
    """Weights of controller, generator and factors."""
    m = a.model
    parameters = []
    if a.has_controller:
        ci, co, units = a.controller_input_width, a.inferred_inputs, m.controller_units
        parameters += [
            Parameter(
                "controller/input_kernel", (ci + m.factors, 3 * units), variance_scaling(ci + m.factors)
            ),
            Parameter("controller/recurrent_kernel", (units, 3 * units), variance_scaling(units)),
            Parameter("controller/bias", (3 * units,), gru_bias(units)),
            Parameter("controller/initial_state", (units,), constant(0.0)),
            Parameter("inferred_inputs/kernel", (units, 2 * co), variance_scaling(units)),
            Parameter("inferred_inputs/bias", (2 * co,), constant(0.0)),
        ]
    units, width = m.generator_units, a.generator_input_width
    if width:
        parameters.append(Parameter("generator/input_kernel", (width, 3 * units), variance_scaling(width)))
    return [
        *parameters,
        Parameter("generator/recurrent_kernel", (units, 3 * units), variance_scaling(units)),
        Parameter("generator/bias", (3 * units,), gru_bias(units)),
        Parameter("initial_generator_state/kernel", (m.ic_dim, units), variance_scaling(m.ic_dim)),
        Parameter("initial_generator_state/bias", (units,), constant(0.0)),
        Parameter("factors/kernel", (units, m.factors), variance_scaling(units)),
    ]


def decode(
    weights: Mapping[str, Tensor],
    encoded: Encoded,
    external_inputs: Tensor,
    noise: Noise,
    hyperparameters: Hyperparameters,
    a: Architecture,
    keep_states: bool = False,
) -> Decoded:
    """Run the generator from a sample of the initial condition.

    Args:
      weights: named [members, ...] weights.
      encoded: posterior of the initial condition, and the controller's input.
      external_inputs: [decoded time, batch, external inputs].
      noise: dropout masks and posterior draws; without draws posterior means are used.
      hyperparameters: dropout rates.
      a: sizes.
      keep_states: also return controller and generator states and inferred
        inputs; such a pass cannot be differentiated when there is a controller.

    Returns:
      see `Decoded`.
    """
    rate = hyperparameters.dropout_rate
    condition = encoded.initial_condition.sample(noise.ic_draw)
    start = tf.matmul(condition, weights["initial_generator_state/kernel"])
    start += weights["initial_generator_state/bias"][:, None]
    external = dropped(tf.repeat(external_inputs[:, None], start.shape[0], 1), noise.external_keep, rate, 1)
    factors_kernel = normalised(weights["factors/kernel"])
    states = None
    if encoded.controller_inputs is None:
        generator_states = _autonomous(weights, start, external, a)
        factors = time_linear(dropped(generator_states, noise.generator_keep, rate, 1), factors_kernel)
    else:
        loop_weights, inputs = _prepare(weights, encoded, external, noise, rate, factors_kernel, a)
        carry = _first_carry(weights, start, noise, rate, factors_kernel)
        if keep_states:
            states = run_loop(loop_weights, inputs, carry, a)
            input_parameters, factors = states.input_parameters, states.factors
        else:
            input_parameters, factors = differentiable_loop(loop_weights, inputs, carry, a)
        generator_states = states.generator_state if states else None
    posterior = None
    if encoded.controller_inputs is not None:
        mean, log_variance = tf.split(input_parameters, 2, -1)
        posterior = Gaussian(mean, tf.exp(log_variance))
    readout = time_linear(factors, weights["readout/kernel"]) + weights["readout/bias"][:, None]
    return Decoded(
        initial_generator_state=start,
        generator_states=generator_states,
        controller_states=states.controller_state if states else None,
        input_posterior=posterior,
        inferred_inputs=states.inferred_inputs if states else None,
        factors=factors,
        output_parameters=readout,
    )


def normalised(factors_kernel: Tensor) -> Tensor:
    """[members, generator units, factors] with each factor's weights of unit length."""
    length = tf.sqrt(tf.reduce_sum(tf.square(factors_kernel), 1, keepdims=True))
    return factors_kernel / tf.maximum(length, 1e-12)


def _autonomous(weights: Mapping[str, Tensor], start: Tensor, external: Tensor, a: Architecture) -> Tensor:
    """Generator states without a controller, [time, members, batch, generator units]."""
    bias = weights["generator/bias"]
    no_input = tf.zeros((bias.shape[0], 0, bias.shape[1]), bias.dtype)
    return gru_scan(
        external,
        a.decoded_bins,
        weights.get("generator/input_kernel", no_input),
        bias,
        start,
        split_recurrent_kernel(weights["generator/recurrent_kernel"]),
        a.model.cell_clip,
    )


def _prepare(
    weights: Mapping[str, Tensor],
    encoded: Encoded,
    external: Tensor,
    noise: Noise,
    rate: Tensor,
    factors_kernel: Tensor,
    a: Architecture,
) -> tuple[LoopWeights, LoopInputs]:
    controller = split_recurrent_kernel(weights["controller/recurrent_kernel"])
    generator = split_recurrent_kernel(weights["generator/recurrent_kernel"])
    loop_weights = LoopWeights(
        weights["controller/input_kernel"],
        weights["controller/bias"][:, None],
        *controller,
        weights["inferred_inputs/kernel"],
        weights["inferred_inputs/bias"][:, None],
        weights["generator/input_kernel"],
        weights["generator/bias"][:, None],
        *generator,
        factors_kernel,
    )
    inputs = LoopInputs(
        encoded=dropped(encoded.controller_inputs, noise.controller_input_keep, rate, 1),
        external=external if a.external_inputs else None,
        factor_mask=None if noise.factor_keep is None else Masks(noise.factor_keep, rate),
        generator_mask=None if noise.generator_keep is None else Masks(noise.generator_keep, rate),
        input_draw=noise.input_draw,
    )
    return loop_weights, inputs


def _first_carry(
    weights: Mapping[str, Tensor], start: Tensor, noise: Noise, rate: Tensor, factors_kernel: Tensor
) -> list[Tensor]:
    """Generator state, controller state and factors before the first bin."""
    controller = weights["controller/initial_state"][:, None]
    controller = tf.broadcast_to(controller, (*start.shape[:2], controller.shape[-1]))
    factors = tf.matmul(dropped(start, noise.initial_generator_keep, rate, 0), factors_kernel)
    return [start, controller, factors]
