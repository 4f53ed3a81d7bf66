"""The backward loop of controller, generator and factors, written by hand.

It carries the gradients of the weights along, as all backward loops here do;
see `recurrence`. What the forward loop was given besides the encoded spikes
is data and noise, which has no gradient.
"""

from typing import Any

import tensorflow as tf

from lfads_worker.lfads.architecture import Architecture
from lfads_worker.lfads.cells import gru_step_gradient
from lfads_worker.lfads.generator_loop import (
    LoopInputs,
    LoopStates,
    LoopWeights,
    controller_input,
    generator_input,
    run_loop,
)
from lfads_worker.lfads.recurrence import Before, recurrent_gradients, scan

Tensor = Any


def differentiable_loop(
    w: LoopWeights, inputs: LoopInputs, carry: list[Tensor], a: Architecture
) -> tuple[Tensor, Tensor]:
    """Parameters of the inferred inputs and factors, with the hand-written backward loop."""

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def run(encoded: Tensor, *tensors: Tensor) -> Any:
        known = inputs._replace(encoded=encoded)
        start, weights = list(tensors[:3]), LoopWeights(*tensors[3:])
        states = run_loop(weights, known, start, a)

        def gradient(d_parameters: Tensor, d_factors: Tensor) -> tuple[Tensor, ...]:
            d_encoded, d_start, d_weights = _loop_gradient(
                d_parameters, d_factors, states, known, start, weights, a
            )
            return (d_encoded, *d_start, *d_weights)

        return (states.input_parameters, states.factors), gradient

    parameters, factors = run(inputs.encoded, *carry, *w)
    return parameters, factors


def _loop_gradient(
    d_parameters: Tensor,
    d_factors: Tensor,
    s: LoopStates,
    x: LoopInputs,
    start: list[Tensor],
    w: LoopWeights,
    a: Architecture,
) -> tuple[Tensor, list[Tensor], LoopWeights]:
    """Backpropagation through time of `run_loop`: to the encoded spikes, its start and its weights."""
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
    return d_encoded, d_carry[:3], LoopWeights(*d_carry[3:])


def _step_gradient(
    d_after: list[Tensor],
    d_outputs: list[Tensor],
    x: LoopInputs,
    before: list[Tensor],
    s: LoopStates,
    w: LoopWeights,
    a: Architecture,
) -> tuple[list[Tensor], Tensor, LoopWeights]:
    """Backpropagation through `decoder_step`.

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
        tf.matmul(controller_input(x, factors_before), d_controller_in, transpose_a=True),
        tf.reduce_sum(d_controller_in, 1, keepdims=True),
        *recurrent_gradients(controller_before, s.controller_gates, d_controller_in),
        tf.matmul(s.controller_state, d_parameters, transpose_a=True),
        tf.reduce_sum(d_parameters, 1, keepdims=True),
        tf.matmul(generator_input(x, s.inferred_inputs), d_generator_in, transpose_a=True),
        tf.reduce_sum(d_generator_in, 1, keepdims=True),
        *recurrent_gradients(generator_before, s.generator_gates, d_generator_in),
        tf.matmul(read, d_read, transpose_a=True),
    )
    return [d_generator, d_controller, d_factors], d_encoded, shares
