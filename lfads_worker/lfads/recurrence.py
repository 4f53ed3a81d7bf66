"""Loops over time, compiled small: a while loop forward, a while loop back, weight gradients afterwards.

Letting TensorFlow differentiate a while loop is slower than the published
implementations; unrolling it takes XLA minutes to compile. So the backward
loop is written here by hand: it computes only the gradients of the
pre-activations, and the gradients of the weights follow from those for all
bins together. Automatic differentiation remains the oracle in the tests.

Arrays are time-major, [time, group, batch, features]; a group is members, or
members times encoder directions.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from lfads_worker.lfads.cells import RecurrentKernels, gru_step, gru_step_gradient

Tensor = Any
Step = Callable[[list[Tensor], list[Tensor]], tuple[list[Tensor], list[Tensor]]]


def scan(
    step: Step,
    carry: Sequence[Tensor],
    inputs: Sequence[Tensor],
    output_widths: Sequence[int],
    reverse: bool = False,
) -> tuple[list[Tensor], list[Tensor]]:
    """Run `step(carry, inputs at t) -> (carry, outputs at t)` over the first axis of the inputs.

    Args:
      step: one bin.
      carry: tensors handed from bin to bin; the first gives dtype, group and batch.
      inputs: [time, ...] tensors.
      output_widths: features of each output; outputs are [group, batch, width] a bin.
      reverse: run from the last bin to the first; outputs stay in the order of time.

    Returns:
      the last carry, and the outputs stacked to [time, group, batch, width].
    """
    length = inputs[0].shape[0]
    group, batch = carry[0].shape[:2]
    arrays = tuple(
        tf.TensorArray(carry[0].dtype, length, element_shape=(group, batch, width)) for width in output_widths
    )
    n_carry = len(carry)

    def body(i: Tensor, *state: Any) -> tuple[Any, ...]:
        t = length - 1 - i if reverse else i
        new_carry, outputs = step(list(state[:n_carry]), [x[t] for x in inputs])
        written = [array.write(t, value) for array, value in zip(state[n_carry:], outputs, strict=True)]
        return (i + 1, *new_carry, *written)

    out = tf.while_loop(
        lambda i, *_: i < length, body, (0, *carry, *arrays), maximum_iterations=length, parallel_iterations=1
    )
    return list(out[1 : 1 + n_carry]), [array.stack() for array in out[1 + n_carry :]]


def weight_gradient(x: Tensor, dy: Tensor) -> Tensor:
    """Gradient of w in y = x @ w: [time, group, batch, k] and [time, group, batch, l] to [group, k, l].

    Accumulated in a loop over time: no [time, group, k, l] intermediate and no
    transposes, the fastest form on a CPU.
    """
    _, group, _, k = x.shape
    zero = tf.zeros((group, k, dy.shape[-1]), x.dtype)
    length = x.shape[0]
    return tf.while_loop(
        lambda i, _: i < length,
        lambda i, total: (i + 1, total + tf.matmul(x[i], dy[i], transpose_a=True)),
        (0, zero),
        maximum_iterations=length,
        parallel_iterations=1,
    )[1]


def sum_over_time_and_batch(x: Tensor) -> Tensor:
    """[time, group, batch, features] to [group, features], axis by axis.

    One reduction over (0, 2) accumulates naively in float32 and is biased by 1e-3 at full size.
    """
    return tf.reduce_sum(tf.reduce_sum(x, 2), 0)


def time_linear(x: Tensor, weights: Tensor, differentiate_input: bool = True) -> Tensor:
    """Multiply x by w for all bins: [time, group, batch, k] with [group, k, l].

    With `differentiate_input` false the gradient with respect to x is not
    computed: it is data.
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def product(x: Tensor, weights: Tensor) -> Any:
        def gradient(dy: Tensor) -> tuple[Tensor, Tensor]:
            dx = tf.matmul(dy, weights, transpose_b=True) if differentiate_input else tf.zeros_like(x)
            return dx, weight_gradient(x, dy)

        return tf.matmul(x, weights), gradient

    return product(x, weights)


def gru_scan(projected: Tensor, initial_state: Tensor, kernels: RecurrentKernels, clip: float) -> Tensor:
    """A GRU over all bins.

    Args:
      projected: [time, group, batch, 3*units] input products plus bias.
      initial_state: [group, batch, units].
      kernels: recurrent weights of the group.
      clip: largest absolute value of a state.

    Returns:
      [time, group, batch, units] states after each bin.
    """
    units = initial_state.shape[-1]

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def run(projected: Tensor, initial_state: Tensor, gate_kernel: Tensor, candidate_kernel: Tensor) -> Any:
        weights = RecurrentKernels(gate_kernel, candidate_kernel)

        def forward(carry: list[Tensor], x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
            state, gates, candidate = gru_step(x[0], carry[0], weights, clip)
            return [state], [state, gates, candidate]

        _, (states, gates, candidates) = scan(
            forward, [initial_state], [projected], [units, 2 * units, units]
        )

        def gradient(d_states: Tensor) -> tuple[Tensor, ...]:
            before = tf.concat([initial_state[None], states[:-1]], 0)

            def backward(carry: list[Tensor], x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
                d_out, state, gate, candidate = x
                d_projected, d_state = gru_step_gradient(
                    carry[0] + d_out, state, gate, candidate, weights, clip
                )
                return [d_state], [d_projected]

            (d_initial,), (d_projected,) = scan(
                backward,
                [tf.zeros_like(initial_state)],
                [d_states, before, gates, candidates],
                [3 * units],
                reverse=True,
            )
            d_kernels = recurrent_gradients(before, gates, d_projected)
            return d_projected, d_initial, *d_kernels

        return states, gradient

    return run(projected, initial_state, kernels.gates, kernels.candidate)


def recurrent_gradients(before: Tensor, gates: Tensor, d_projected: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of a GRU's gate and candidate kernels from what its backward loop stacked."""
    units = before.shape[-1]
    d_gate_kernel = weight_gradient(before, d_projected[..., : 2 * units])
    d_candidate_kernel = weight_gradient(gates[..., units:] * before, d_projected[..., 2 * units :])
    return d_gate_kernel, d_candidate_kernel
