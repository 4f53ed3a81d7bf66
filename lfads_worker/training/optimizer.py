"""Adam with a gradient clip, one for each member of a cohort.

A member's clip sees only its own gradient, so one that diverges fills its own
row with NaN and touches nobody else's.

References:
  Kingma and Ba 2015, ICLR (Adam, algorithm 1); Pascanu, Mikolov and Bengio
  2013, ICML (clip by global norm).
"""

from typing import Any, NamedTuple

import tensorflow as tf

Tensor = Any


class AdamState(NamedTuple):
    """Rows belong to members."""

    weights: Tensor  # [members, parameters]
    mean: Tensor  # [members, parameters] running mean of gradients
    variance: Tensor  # [members, parameters] running mean of squared gradients
    steps: Tensor  # [members] int32, steps taken


class AdamSettings(NamedTuple):
    """Constants of a run."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    clip_norm: float = 200.0


def global_norm(gradient: Tensor) -> Tensor:
    """[members, parameters] to the Euclidean norm of each row, [members, 1]."""
    return tf.sqrt(tf.reduce_sum(tf.square(gradient), 1, keepdims=True))


def adam_step(
    state: AdamState, gradient: Tensor, learning_rate: Tensor, settings: AdamSettings
) -> tuple[AdamState, Tensor]:
    """One step of every member.

    Args:
      state: before the step.
      gradient: [members, parameters], of the scaled loss.
      learning_rate: [members].
      settings: constants.

    Returns:
      state after the step, and the norm of each gradient before the clip, [members].
    """
    s, dtype = settings, gradient.dtype
    norm = global_norm(gradient)
    # 1e-6 as in PyTorch's clip: no division by zero for an all-zero gradient
    gradient = gradient * tf.minimum(tf.constant(1.0, dtype), s.clip_norm / (norm + 1e-6))
    steps = state.steps + 1
    t = tf.cast(steps, dtype)[:, None]
    mean = s.beta1 * state.mean + (1.0 - s.beta1) * gradient
    variance = s.beta2 * state.variance + (1.0 - s.beta2) * tf.square(gradient)
    mean_hat = mean / (1.0 - tf.pow(tf.constant(s.beta1, dtype), t))
    variance_hat = variance / (1.0 - tf.pow(tf.constant(s.beta2, dtype), t))
    weights = state.weights - learning_rate[:, None] * mean_hat / (tf.sqrt(variance_hat) + s.epsilon)
    return AdamState(weights, mean, variance, steps), norm[:, 0]
