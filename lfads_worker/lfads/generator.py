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
from typing import Any, NamedTuple

import tensorflow as tf

from lfads_worker.lfads.architecture import Architecture
from lfads_worker.lfads.cells import RecurrentKernels, gru_step, gru_step_gradient, split_recurrent_kernel
from lfads_worker.lfads.hyperparameters import Hyperparameters
from lfads_worker.lfads.initializers import constant, gru_bias, variance_scaling
from lfads_worker.lfads.noise import Noise, dropped
from lfads_worker.lfads.outputs import Decoded, Encoded
from lfads_worker.lfads.parameters import Parameter
from lfads_worker.lfads.posteriors import Gaussian
from lfads_worker.lfads.recurrence import (
    gru_scan,
    recurrent_gradients,
    scan,
    sum_over_time_and_batch,
    time_linear,
    weight_gradient,
)

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


class LoopWeights(NamedTuple):
    """Weights used inside of the loop over bins, [members, ...]; biases as [members, 1, width]."""

    factors_to_controller: Tensor
    controller_gates: Tensor
    controller_candidate: Tensor
    inferred_kernel: Tensor
    inferred_bias: Tensor
    input_kernel: Tensor  # inferred inputs to generator
    generator_bias: Tensor
    generator_gates: Tensor
    generator_candidate: Tensor
    factors_kernel: Tensor  # columns normalised

    @property
    def controller(self) -> RecurrentKernels:
        return RecurrentKernels(self.controller_gates, self.controller_candidate)

    @property
    def generator(self) -> RecurrentKernels:
        return RecurrentKernels(self.generator_gates, self.generator_candidate)


class LoopInputs(NamedTuple):
    """Known before the loop starts; [time, members, batch, ...], None where absent."""

    controller: Tensor  # encoded spikes projected to the controller's gates, bias included
    external: Tensor | None  # external inputs projected to the generator's gates
    factor_mask: Tensor | None  # scaled dropout masks
    generator_mask: Tensor | None
    input_draw: Tensor | None  # standard normal; None: posterior means

    def present(self) -> list[Tensor]:
        return [x for x in self if x is not None]

    def at(self, values: list[Tensor]) -> "LoopInputs":
        """The same structure with one bin's values for the inputs that are present."""
        rest = iter(values)
        return LoopInputs(*(None if x is None else next(rest) for x in self))


class LoopStates(NamedTuple):
    """What one bin computes, and what the backward loop needs of it."""

    generator_state: Tensor
    generator_gates: Tensor
    generator_candidate: Tensor
    controller_state: Tensor
    controller_gates: Tensor
    controller_candidate: Tensor
    input_parameters: Tensor  # mean and log variance of the inferred inputs
    inferred_inputs: Tensor
    factors: Tensor


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
    external = _external(weights, external_inputs, noise, rate, a)
    factors_kernel = normalised(weights["factors/kernel"])
    states = None
    if encoded.controller_inputs is None:
        generator_states = _autonomous(weights, start, external, a)
        factors = time_linear(dropped(generator_states, noise.generator_keep, rate, 1), factors_kernel)
    else:
        loop_weights, inputs = _prepare(weights, encoded, external, noise, rate, factors_kernel, a)
        carry = _first_carry(weights, start, noise, rate, factors_kernel)
        if keep_states:
            states = _run_loop(loop_weights, inputs, carry, a)
            input_parameters, factors = states.input_parameters, states.factors
        else:
            input_parameters, factors = _differentiable_loop(loop_weights, inputs, carry, a)
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


def _external(
    weights: Mapping[str, Tensor], external_inputs: Tensor, noise: Noise, rate: Tensor, a: Architecture
) -> Tensor | None:
    """External inputs projected to the generator's gates, [time, members, batch, 3*units]."""
    if a.external_inputs == 0:
        return None
    kernel = weights["generator/input_kernel"][:, a.inferred_inputs :]
    x = tf.repeat(external_inputs[:, None], kernel.shape[0], 1)
    return time_linear(dropped(x, noise.external_keep, rate, 1), kernel, differentiate_input=False)


def _autonomous(
    weights: Mapping[str, Tensor], start: Tensor, external: Tensor | None, a: Architecture
) -> Tensor:
    bias = weights["generator/bias"][:, None]
    members, batch, units = start.shape
    if external is None:
        projected = tf.broadcast_to(bias, (a.decoded_bins, members, batch, 3 * units))
    else:
        projected = external + bias
    kernels = split_recurrent_kernel(weights["generator/recurrent_kernel"])
    return gru_scan(projected, start, kernels, a.model.cell_clip)


def _prepare(
    weights: Mapping[str, Tensor],
    encoded: Encoded,
    external: Tensor | None,
    noise: Noise,
    rate: Tensor,
    factors_kernel: Tensor,
    a: Architecture,
) -> tuple[LoopWeights, LoopInputs]:
    from_encoder, from_factors = tf.split(
        weights["controller/input_kernel"], [a.controller_input_width, a.model.factors], 1
    )
    seen = dropped(encoded.controller_inputs, noise.controller_input_keep, rate, 1)
    controller = split_recurrent_kernel(weights["controller/recurrent_kernel"])
    generator = split_recurrent_kernel(weights["generator/recurrent_kernel"])
    one = tf.ones((1, 1, 1, 1), factors_kernel.dtype)
    loop_weights = LoopWeights(
        from_factors,
        *controller,
        weights["inferred_inputs/kernel"],
        weights["inferred_inputs/bias"][:, None],
        weights["generator/input_kernel"][:, : a.inferred_inputs],
        weights["generator/bias"][:, None],
        *generator,
        factors_kernel,
    )
    inputs = LoopInputs(
        controller=time_linear(seen, from_encoder) + weights["controller/bias"][:, None],
        external=external,
        factor_mask=None if noise.factor_keep is None else dropped(one, noise.factor_keep, rate, 1),
        generator_mask=None if noise.generator_keep is None else dropped(one, noise.generator_keep, rate, 1),
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


def _step(carry: list[Tensor], x: LoopInputs, w: LoopWeights, clip: float) -> tuple[list[Tensor], LoopStates]:
    """One bin: controller, inferred input, generator, factors."""
    generator_before, controller_before, factors_before = carry
    seen_factors = factors_before if x.factor_mask is None else factors_before * x.factor_mask
    controller, controller_gates, controller_candidate = gru_step(
        x.controller + tf.matmul(seen_factors, w.factors_to_controller), controller_before, w.controller, clip
    )
    parameters = tf.matmul(controller, w.inferred_kernel) + w.inferred_bias
    mean, log_variance = tf.split(parameters, 2, -1)
    inferred = mean if x.input_draw is None else mean + tf.exp(0.5 * log_variance) * x.input_draw
    projected = tf.matmul(inferred, w.input_kernel) + w.generator_bias
    if x.external is not None:
        projected += x.external
    generator, generator_gates, generator_candidate = gru_step(projected, generator_before, w.generator, clip)
    read = generator if x.generator_mask is None else generator * x.generator_mask
    factors = tf.matmul(read, w.factors_kernel)
    states = LoopStates(
        generator,
        generator_gates,
        generator_candidate,
        controller,
        controller_gates,
        controller_candidate,
        parameters,
        inferred,
        factors,
    )
    return [generator, controller, factors], states


def _run_loop(w: LoopWeights, inputs: LoopInputs, carry: list[Tensor], a: Architecture) -> LoopStates:
    m, co = a.model, a.inferred_inputs
    g, c = m.generator_units, m.controller_units

    def step(carry: list[Tensor], x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        after, states = _step(carry, inputs.at(x), w, m.cell_clip)
        return after, list(states)

    widths = [g, 2 * g, g, c, 2 * c, c, 2 * co, co, m.factors]
    _, stacked = scan(step, carry, inputs.present(), widths)
    return LoopStates(*stacked)


def _differentiable_loop(
    w: LoopWeights, inputs: LoopInputs, carry: list[Tensor], a: Architecture
) -> tuple[Tensor, Tensor]:
    """Parameters of the inferred inputs and factors, with the hand-written backward loop."""

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def run(*tensors: Tensor) -> Any:
        n = len(inputs.present())
        known = inputs.at(list(tensors[:n]))
        start, loop_weights = list(tensors[n : n + 3]), LoopWeights(*tensors[n + 3 :])
        states = _run_loop(loop_weights, known, start, a)

        def gradient(d_parameters: Tensor, d_factors: Tensor) -> tuple[Tensor, ...]:
            d_known, d_start, d_weights = _loop_gradient(
                d_parameters, d_factors, states, known, start, loop_weights, a
            )
            return (*d_known, *d_start, *d_weights)

        return (states.input_parameters, states.factors), gradient

    parameters, factors = run(*inputs.present(), *carry, *w)
    return parameters, factors


def _loop_gradient(
    d_parameters: Tensor,
    d_factors: Tensor,
    s: LoopStates,
    x: LoopInputs,
    start: list[Tensor],
    w: LoopWeights,
    a: Architecture,
) -> tuple[list[Tensor], list[Tensor], LoopWeights]:
    """Backpropagation through time of `_run_loop`: of its known inputs, its start and its weights."""
    m, clip = a.model, a.model.cell_clip
    generator_start, controller_start, factors_start = start
    generator_before = tf.concat([generator_start[None], s.generator_state[:-1]], 0)
    controller_before = tf.concat([controller_start[None], s.controller_state[:-1]], 0)
    n = len(x.present())

    def backward(carry: list[Tensor], values: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        d_generator, d_controller, d_factors_after = carry
        now = x.at(values[:n])
        d_factors_out, d_parameters_out, g_before, g_gates, g_candidate = values[n : n + 5]
        c_before, c_gates, c_candidate, parameters = values[n + 5 :]
        d_read = d_factors_after + d_factors_out
        d_generator_out = tf.matmul(d_read, w.factors_kernel, transpose_b=True)
        if now.generator_mask is not None:
            d_generator_out *= now.generator_mask
        d_generator_in, d_generator = gru_step_gradient(
            d_generator + d_generator_out, g_before, g_gates, g_candidate, w.generator, clip
        )
        d_inferred = tf.matmul(d_generator_in, w.input_kernel, transpose_b=True)
        d_log_variance = tf.zeros_like(d_inferred)
        if now.input_draw is not None:
            log_variance = tf.split(parameters, 2, -1)[1]
            d_log_variance = d_inferred * now.input_draw * 0.5 * tf.exp(0.5 * log_variance)
        d_all_parameters = d_parameters_out + tf.concat([d_inferred, d_log_variance], -1)
        d_controller += tf.matmul(d_all_parameters, w.inferred_kernel, transpose_b=True)
        d_controller_in, d_controller = gru_step_gradient(
            d_controller, c_before, c_gates, c_candidate, w.controller, clip
        )
        d_factors_before = tf.matmul(d_controller_in, w.factors_to_controller, transpose_b=True)
        if now.factor_mask is not None:
            d_factors_before *= now.factor_mask
        stacked = [d_read, d_generator_in, d_all_parameters, d_controller_in]
        return [d_generator, d_controller, d_factors_before], stacked

    stacks = [
        d_factors,
        d_parameters,
        generator_before,
        s.generator_gates,
        s.generator_candidate,
        controller_before,
        s.controller_gates,
        s.controller_candidate,
        s.input_parameters,
    ]
    widths = [m.factors, 3 * m.generator_units, 2 * a.inferred_inputs, 3 * m.controller_units]
    d_start, (d_read, d_generator_in, d_all_parameters, d_controller_in) = scan(
        backward, [tf.zeros_like(t) for t in start], [*x.present(), *stacks], widths, reverse=True
    )
    seen_factors = tf.concat([factors_start[None], s.factors[:-1]], 0)
    if x.factor_mask is not None:
        seen_factors *= x.factor_mask
    read = s.generator_state if x.generator_mask is None else s.generator_state * x.generator_mask
    d_weights = LoopWeights(
        weight_gradient(seen_factors, d_controller_in),
        *recurrent_gradients(controller_before, s.controller_gates, d_controller_in),
        weight_gradient(s.controller_state, d_all_parameters),
        sum_over_time_and_batch(d_all_parameters)[:, None],
        weight_gradient(s.inferred_inputs, d_generator_in),
        sum_over_time_and_batch(d_generator_in)[:, None],
        *recurrent_gradients(generator_before, s.generator_gates, d_generator_in),
        weight_gradient(read, d_read),
    )
    d_inputs = LoopInputs(
        controller=d_controller_in,
        external=None if x.external is None else d_generator_in,
        factor_mask=None if x.factor_mask is None else tf.zeros_like(x.factor_mask),
        generator_mask=None if x.generator_mask is None else tf.zeros_like(x.generator_mask),
        input_draw=None if x.input_draw is None else tf.zeros_like(x.input_draw),
    )
    return d_inputs.present(), d_start, d_weights
