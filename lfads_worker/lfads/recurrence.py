"""Loops over time, compiled small: one while loop forward and one while loop back.

Letting TensorFlow differentiate a while loop is slower than the published
implementations; unrolling it takes XLA minutes to compile. So the backward
loop is written here by hand. It carries the gradients of the weights along
and adds each bin's share while that bin's numbers are in the cache; stacking
pre-activation gradients and multiplying them afterwards moves several times
the memory. Automatic differentiation remains the oracle in the tests.

Arrays are time-major, [time, group, batch, features]; a group is members, or
members times encoder directions.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import tensorflow as tf

from lfads_worker.lfads.cells import RecurrentKernels, gru_step, gru_step_gradient

Tensor = Any
Step = Callable[[list[Tensor], list[Tensor]], tuple[list[Tensor], list[Tensor]]]


class Stack(Protocol):
    """Anything that gives a bin's tensor for its number: a [time, ...] tensor, and what stands for one."""

    def __getitem__(self, t: Tensor, /) -> Tensor: ...


class Before:
    """A stacked state as it was before each bin, read without making a shifted copy.

    Args:
      first: [group, batch, features] before the first bin.
      after: [time, group, batch, features] after each bin.
    """

    def __init__(self, first: Tensor, after: Tensor) -> None:
        self._first, self._after = first, after

    def __getitem__(self, t: Tensor) -> Tensor:
        return tf.where(tf.equal(t, 0), self._first, self._after[tf.maximum(t - 1, 0)])


class Readings:
    """One input as several readers see it, some from its last bin on, without making reversed copies.

    Args:
      x: [time, members, batch, features].
      backward: for each reader, whether it reads backward. A step sees [readers * members, batch, features].
    """

    def __init__(self, x: Tensor, backward: Sequence[bool]) -> None:
        self._x, self._backward = x, backward

    def __getitem__(self, t: Tensor) -> Tensor:
        mirrored = self._x.shape[0] - 1 - t
        return tf.concat([self._x[mirrored if back else t] for back in self._backward], 0)


def scan(
    step: Step,
    carry: Sequence[Tensor],
    inputs: Sequence[Stack],
    length: int,
    output_widths: Sequence[int],
    reverse: bool = False,
) -> tuple[list[Tensor], list[Tensor]]:
    """Run `step(carry, inputs at t) -> (carry, outputs at t)` over `length` bins.

    Args:
      step: one bin.
      carry: tensors handed from bin to bin; the first gives dtype, group and batch.
      inputs: read at each bin.
      length: number of bins.
      output_widths: features of each output; outputs are [group, batch, width] a bin.
      reverse: run from the last bin to the first; outputs stay in the order of time.

    Returns:
      the last carry, and the outputs stacked to [time, group, batch, width].
    """
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


def time_linear(x: Tensor, weights: Tensor) -> Tensor:
    """Multiply x by w for all bins: [time, group, batch, k] with [group, k, l]."""

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def product(x: Tensor, weights: Tensor) -> Any:
        def gradient(dy: Tensor) -> tuple[Tensor, Tensor]:
            return tf.matmul(dy, weights, transpose_b=True), weight_gradient(x, dy)

        return tf.matmul(x, weights), gradient

    return product(x, weights)


def gru_scan(
    x: Stack,
    length: int,
    input_kernel: Tensor,
    bias: Tensor,
    initial_state: Tensor,
    kernels: RecurrentKernels,
    clip: float,
) -> Tensor:
    """A group of GRUs over all bins. The gradient with respect to x is not computed: it is data.

    Args:
      x: [group, batch, features] in each bin.
      length: number of bins.
      input_kernel: [group, features, 3*units].
      bias: [group, 3*units].
      initial_state: [group, batch, units].
      kernels: recurrent weights of the group.
      clip: largest absolute value of a state.

    Returns:
      [time, group, batch, units] states after each bin.
    """
    units = initial_state.shape[-1]

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def run(
        input_kernel: Tensor,
        bias: Tensor,
        initial_state: Tensor,
        gates_kernel: Tensor,
        candidate_kernel: Tensor,
    ) -> Any:
        weights = RecurrentKernels(gates_kernel, candidate_kernel)

        def forward(carry: list[Tensor], now: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
            projected = tf.matmul(now[0], input_kernel) + bias[:, None]
            state, gates, candidate = gru_step(projected, carry[0], weights, clip)
            return [state], [state, gates, candidate]

        _, (states, gates, candidates) = scan(
            forward, [initial_state], [x], length, [units, 2 * units, units]
        )

        def gradient(d_states: Tensor) -> tuple[Tensor, ...]:
            def backward(carry: list[Tensor], now: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
                d_state, *totals = carry
                x, d_out, before, gate, candidate = now
                d_projected, d_before = gru_step_gradient(
                    d_state + d_out, before, gate, candidate, weights, clip
                )
                shares = [
                    tf.matmul(x, d_projected, transpose_a=True),
                    tf.reduce_sum(d_projected, 1),
                    *recurrent_gradients(before, gate, d_projected),
                ]
                return [d_before, *map(tf.add, totals, shares)], []

            start = [initial_state, input_kernel, bias, gates_kernel, candidate_kernel]
            (d_initial, *d_weights), _ = scan(
                backward,
                [tf.zeros_like(t) for t in start],
                [x, d_states, Before(initial_state, states), gates, candidates],
                length,
                [],
                reverse=True,
            )
            return *d_weights[:2], d_initial, *d_weights[2:]

        return states, gradient

    return run(input_kernel, bias, initial_state, kernels.gates, kernels.candidate)


def recurrent_gradients(before: Tensor, gates: Tensor, d_projected: Tensor) -> RecurrentKernels:
    """One bin's share in the gradients of a GRU's recurrent kernels.

    Args:
      before: [group, batch, units] state before the bin.
      gates: [group, batch, 2*units] as `gru_step` returned them.
      d_projected: [group, batch, 3*units] from `gru_step_gradient`.
    """
    units = before.shape[-1]
    reset_state = gates[..., units:] * before
    return RecurrentKernels(
        tf.matmul(before, d_projected[..., : 2 * units], transpose_a=True),
        tf.matmul(reset_state, d_projected[..., 2 * units :], transpose_a=True),
    )
