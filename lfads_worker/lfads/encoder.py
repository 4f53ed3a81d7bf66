"""The two bidirectional encoders: of the initial condition, and of the controller's input.

References:
  Pandarinath et al. 2018, Nature Methods 15, supplement; the lag and the
  delayed/advanced states as in autolfads-tf2 and lfads-torch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from lfads_worker.lfads.architecture import Architecture
from lfads_worker.lfads.cells import split_recurrent_kernel
from lfads_worker.lfads.hyperparameters import Hyperparameters
from lfads_worker.lfads.initializers import constant, gru_bias, variance_scaling
from lfads_worker.lfads.noise import Noise, dropped
from lfads_worker.lfads.outputs import Encoded
from lfads_worker.lfads.parameters import Parameter
from lfads_worker.lfads.posteriors import Gaussian
from lfads_worker.lfads.recurrence import Readings, gru_scan

Tensor = Any


def directions(prefix: str, causal: bool = False) -> list[str]:
    """Names of an encoder's GRUs; a causal one reads forward only."""
    return [f"{prefix}/forward"] if causal else [f"{prefix}/forward", f"{prefix}/backward"]


def encoder_parameters(a: Architecture) -> list[Parameter]:
    """Weights of both encoders and of the initial condition's posterior."""
    m = a.model
    gru_names = [(name, m.ic_encoder_units) for name in directions("ic_encoder")]
    if a.has_controller:
        gru_names += [(name, m.ci_encoder_units) for name in directions("ci_encoder", m.causal)]
    parameters = []
    for name, units in gru_names:
        # encoders scale input and recurrent kernels by input + hidden, unlike generator and controller
        scaled = variance_scaling(a.held_in_neurons + units)
        parameters += [
            Parameter(f"{name}/input_kernel", (a.held_in_neurons, 3 * units), scaled),
            Parameter(f"{name}/recurrent_kernel", (units, 3 * units), scaled),
            Parameter(f"{name}/bias", (3 * units,), gru_bias(units)),
            Parameter(f"{name}/initial_state", (units,), constant(0.0)),
        ]
    width = 2 * m.ic_encoder_units
    return [
        *parameters,
        Parameter("ic_posterior/kernel", (width, 2 * m.ic_dim), variance_scaling(width)),
        Parameter("ic_posterior/bias", (2 * m.ic_dim,), constant(0.0)),
    ]


def encode(
    weights: Mapping[str, Tensor], x: Tensor, noise: Noise, hyperparameters: Hyperparameters, a: Architecture
) -> Encoded:
    """Posterior of the initial condition, and what the controller reads in each bin.

    Args:
      weights: named [members, ...] weights.
      x: [encoded time, members, batch, held-in neurons] masked and scaled spikes.
      noise: dropout masks.
      hyperparameters: dropout rates.
      a: sizes.

    Returns:
      see `Encoded`. The controller's input at bin t holds forward states of
      bins <= t - lag and backward states of bins >= t + lag, zeros elsewhere.
    """
    m, segment = a.model, a.ic_segment_bins
    ic_names = directions("ic_encoder")
    ci_names = directions("ci_encoder", m.causal) if a.has_controller else []
    if segment == 0 and m.ic_encoder_units == m.ci_encoder_units:
        states = _run(ic_names + ci_names, weights, x, m.cell_clip)  # one loop for all of them
        ic_states, ci_states = states[:2], states[2:]
    else:
        ic_states = _run(ic_names, weights, x[:segment] if segment else x, m.cell_clip)
        ci_states = _run(ci_names, weights, x[segment:], m.cell_clip) if ci_names else []
    initial_condition = _initial_condition(weights, ic_states, noise, hyperparameters, a)
    return Encoded(initial_condition, _controller_inputs(ci_states, a) if ci_states else None)


def _run(names: Sequence[str], weights: Mapping[str, Tensor], x: Tensor, clip: float) -> list[Tensor]:
    """States [time, members, batch, units] of GRUs of one width, each in the order it read the bins."""
    length, members, batch, _ = x.shape
    readings = Readings(x, [name.endswith("backward") for name in names])

    def stacked(part: str) -> Tensor:
        return tf.concat([weights[f"{name}/{part}"] for name in names], 0)

    start = stacked("initial_state")[:, None]
    start = tf.broadcast_to(start, (len(names) * members, batch, start.shape[-1]))
    kernels = split_recurrent_kernel(stacked("recurrent_kernel"))
    states = gru_scan(readings, length, stacked("input_kernel"), stacked("bias"), start, kernels, clip)
    return list(tf.split(states, len(names), 1))


def _initial_condition(
    weights: Mapping[str, Tensor],
    states: Sequence[Tensor],
    noise: Noise,
    hyperparameters: Hyperparameters,
    a: Architecture,
) -> Gaussian:
    last = tf.concat([state[-1] for state in states], -1)  # forward at the last bin, backward at the first
    last = dropped(last, noise.ic_keep, hyperparameters.dropout_rate, 0)
    both = tf.matmul(last, weights["ic_posterior/kernel"]) + weights["ic_posterior/bias"][:, None]
    mean, log_variance = tf.split(both, 2, -1)
    return Gaussian(mean, tf.exp(log_variance) + a.model.ic_posterior_min_variance)


def _controller_inputs(states: Sequence[Tensor], a: Architecture) -> Tensor:
    forward = states[0]
    lag = min(a.model.ci_lag, forward.shape[0])
    nothing = tf.zeros_like(forward[:lag])
    parts = [tf.concat([nothing, forward[: forward.shape[0] - lag]], 0)]
    if not a.model.causal:
        backward = tf.reverse(states[1], [0])
        parts.append(tf.concat([backward[lag:], nothing], 0))
    inputs = tf.concat(parts, -1)
    missing = a.decoded_bins - a.controller_input_bins  # bins that are only predicted
    return tf.pad(inputs, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else inputs
