"""The clipped GRU cell of LFADS: one step forward, and its hand-written gradient.

The reset gate acts before the recurrent product (not cuDNN's form), and the
new state is clipped elementwise. Columns of every kernel are in the order
update z, reset r, candidate n. The input product is made outside of the time
loop for all bins at once, so a step receives it ready.

References:
  Cho et al. 2014, EMNLP (the unit); Pandarinath et al. 2018, Nature Methods
  15, supplement (the clip); lfads-torch and autolfads-tf2 compute the same.
"""

from typing import Any, NamedTuple

import tensorflow as tf

Tensor = Any


class RecurrentKernels(NamedTuple):
    """Recurrent weights of a group of cells."""

    gates: Tensor  # [group, units, 2*units]
    candidate: Tensor  # [group, units, units]


def split_recurrent_kernel(kernel: Tensor) -> RecurrentKernels:
    """[group, units, 3*units] to the part used by the gates and the part used by the candidate."""
    units = kernel.shape[-2]
    return RecurrentKernels(kernel[..., : 2 * units], kernel[..., 2 * units :])


def gru_step(
    projected: Tensor, state: Tensor, kernels: RecurrentKernels, clip: float
) -> tuple[Tensor, Tensor, Tensor]:
    """One bin of a GRU: h' = clip(z*h + (1-z)*n, ±clip).

    Args:
      projected: [group, batch, 3*units] input product plus bias.
      state: [group, batch, units] the state h before this bin.
      kernels: recurrent weights.
      clip: largest absolute value of a state.

    Returns:
      state after the bin, gates [group, batch, 2*units] (z then r), candidate n.
    """
    units = state.shape[-1]
    gates = tf.sigmoid(projected[..., : 2 * units] + tf.matmul(state, kernels.gates))
    update, reset = gates[..., :units], gates[..., units:]
    candidate = tf.tanh(projected[..., 2 * units :] + tf.matmul(reset * state, kernels.candidate))
    return tf.clip_by_value(candidate + update * (state - candidate), -clip, clip), gates, candidate


def gru_step_gradient(
    d_next: Tensor, state: Tensor, gates: Tensor, candidate: Tensor, kernels: RecurrentKernels, clip: float
) -> tuple[Tensor, Tensor]:
    """Gradient of `gru_step` with respect to its projected input and its state.

    Args:
      d_next: [group, batch, units] gradient arriving at the state after the bin.
      state: [group, batch, units] as `gru_step` took it.
      gates: [group, batch, 2*units] as it returned them.
      candidate: [group, batch, units] as it returned it.
      kernels: recurrent weights.
      clip: largest absolute value of a state.

    Returns:
      [group, batch, 3*units] gradient of the projected input, [group, batch, units] of the state before.
      Weight gradients follow from the first, for all bins at once.
    """
    units = state.shape[-1]
    update, reset = gates[..., :units], gates[..., units:]
    unclipped = candidate + update * (state - candidate)
    d = tf.where(tf.abs(unclipped) <= clip, d_next, tf.zeros_like(d_next))
    d_candidate = d * (1 - update) * (1 - candidate * candidate)
    d_reset_state = tf.matmul(d_candidate, kernels.candidate, transpose_b=True)
    d_gates = tf.concat(
        [d * (state - candidate) * update * (1 - update), d_reset_state * state * reset * (1 - reset)], -1
    )
    d_state = d * update + d_reset_state * reset + tf.matmul(d_gates, kernels.gates, transpose_b=True)
    return tf.concat([d_gates, d_candidate], -1), d_state
