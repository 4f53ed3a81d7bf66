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
from lfads_worker.lfads.recurrence import Before, gru_scan, recurrent_gradients, scan, time_linear

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

    controller_kernel: Tensor  # encoded spikes and factors to controller
    controller_bias: Tensor
    controller_gates: Tensor
    controller_candidate: Tensor
    inferred_kernel: Tensor
    inferred_bias: Tensor
    input_kernel: Tensor  # inferred and external inputs to generator
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

    encoded: Tensor  # what the controller sees of the encoded spikes
    external: Tensor | None  # what the generator sees of the external inputs
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
    one = tf.ones((1, 1, 1, 1), factors_kernel.dtype)
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
    controller, controller_gates, controller_candidate = gru_step(
        tf.matmul(_controller_input(x, factors_before), w.controller_kernel) + w.controller_bias,
        controller_before,
        w.controller,
        clip,
    )
    parameters = tf.matmul(controller, w.inferred_kernel) + w.inferred_bias
    mean, log_variance = tf.split(parameters, 2, -1)
    inferred = mean if x.input_draw is None else mean + tf.exp(0.5 * log_variance) * x.input_draw
    projected = tf.matmul(_generator_input(x, inferred), w.input_kernel) + w.generator_bias
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


def _controller_input(x: LoopInputs, factors_before: Tensor) -> Tensor:
    """Encoded spikes and dropped factors side by side, [members, batch, features]."""
    seen_factors = factors_before if x.factor_mask is None else factors_before * x.factor_mask
    return tf.concat([x.encoded, seen_factors], -1)


def _generator_input(x: LoopInputs, inferred: Tensor) -> Tensor:
    """Inferred and external inputs side by side, [members, batch, features]."""
    return inferred if x.external is None else tf.concat([inferred, x.external], -1)


def _run_loop(w: LoopWeights, inputs: LoopInputs, carry: list[Tensor], a: Architecture) -> LoopStates:
    m, co = a.model, a.inferred_inputs
    g, c = m.generator_units, m.controller_units

    def step(carry: list[Tensor], x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        after, states = _step(carry, inputs.at(x), w, m.cell_clip)
        return after, list(states)

    widths = [g, 2 * g, g, c, 2 * c, c, 2 * co, co, m.factors]
    _, stacked = scan(step, carry, inputs.present(), a.decoded_bins, widths)
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
    """Backpropagation through time of `_run_loop`: to its known inputs, its start and its weights."""
    n = len(x.present())

    def backward(carry: list[Tensor], values: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        now, after, before = x.at(values[:n]), LoopStates(*values[n : n + len(s)]), values[n + len(s) : -2]
        d_before, d_encoded, shares = _step_gradient(carry[:3], values[-2:], now, before, after, w, a)
        return [*d_before, *map(tf.add, carry[3:], shares)], [d_encoded]

    before = map(Before, start, (s.generator_state, s.controller_state, s.factors))
    d_carry, (d_encoded,) = scan(
        backward,
        [tf.zeros_like(t) for t in (*start, *w)],
        [*x.present(), *s, *before, d_parameters, d_factors],
        a.decoded_bins,
        [a.controller_input_width],
        reverse=True,
    )
    d_inputs = LoopInputs(
        encoded=d_encoded,
        external=None if x.external is None else tf.zeros_like(x.external),  # data
        factor_mask=None if x.factor_mask is None else tf.zeros_like(x.factor_mask),
        generator_mask=None if x.generator_mask is None else tf.zeros_like(x.generator_mask),
        input_draw=None if x.input_draw is None else tf.zeros_like(x.input_draw),
    )
    return d_inputs.present(), d_carry[:3], LoopWeights(*d_carry[3:])


def _step_gradient(
    d_after: list[Tensor],
    d_outputs: list[Tensor],
    x: LoopInputs,
    before: list[Tensor],
    s: LoopStates,
    w: LoopWeights,
    a: Architecture,
) -> tuple[list[Tensor], Tensor, LoopWeights]:
    """Backpropagation through `_step`.

    Args:
      d_after: gradient arriving at generator state, controller state and factors from the next bin.
      d_outputs: and from outside of the loop at the parameters of the inferred inputs and the factors.
      x: the bin's inputs.
      before: generator state, controller state and factors before the bin.
      s: what the bin computed.
      w: weights.
      a: sizes.

    Returns:
      gradients of `before` and of the encoded spikes, and the bin's share in those of the weights.
    """
    d_generator, d_controller, d_factors = d_after
    d_parameters, d_read = d_outputs[0], d_outputs[1] + d_factors
    generator_before, controller_before, factors_before = before
    clip = a.model.cell_clip
    d_generator_out, read = tf.matmul(d_read, w.factors_kernel, transpose_b=True), s.generator_state
    if x.generator_mask is not None:
        d_generator_out, read = d_generator_out * x.generator_mask, read * x.generator_mask
    d_generator_in, d_generator = gru_step_gradient(
        d_generator + d_generator_out,
        generator_before,
        s.generator_gates,
        s.generator_candidate,
        w.generator,
        clip,
    )
    d_inferred = tf.matmul(d_generator_in, w.input_kernel[:, : a.inferred_inputs], transpose_b=True)
    d_log_variance = tf.zeros_like(d_inferred)
    if x.input_draw is not None:
        log_variance = tf.split(s.input_parameters, 2, -1)[1]
        d_log_variance = d_inferred * x.input_draw * 0.5 * tf.exp(0.5 * log_variance)
    d_parameters += tf.concat([d_inferred, d_log_variance], -1)
    d_controller += tf.matmul(d_parameters, w.inferred_kernel, transpose_b=True)
    d_controller_in, d_controller = gru_step_gradient(
        d_controller, controller_before, s.controller_gates, s.controller_candidate, w.controller, clip
    )
    d_seen = tf.matmul(d_controller_in, w.controller_kernel, transpose_b=True)
    d_encoded, d_factors = tf.split(d_seen, [a.controller_input_width, a.model.factors], -1)
    if x.factor_mask is not None:
        d_factors *= x.factor_mask
    shares = LoopWeights(
        tf.matmul(_controller_input(x, factors_before), d_controller_in, transpose_a=True),
        tf.reduce_sum(d_controller_in, 1, keepdims=True),
        *recurrent_gradients(controller_before, s.controller_gates, d_controller_in),
        tf.matmul(s.controller_state, d_parameters, transpose_a=True),
        tf.reduce_sum(d_parameters, 1, keepdims=True),
        tf.matmul(_generator_input(x, s.inferred_inputs), d_generator_in, transpose_a=True),
        tf.reduce_sum(d_generator_in, 1, keepdims=True),
        *recurrent_gradients(generator_before, s.generator_gates, d_generator_in),
        tf.matmul(read, d_read, transpose_a=True),
    )
    return [d_generator, d_controller, d_factors], d_encoded, shares
