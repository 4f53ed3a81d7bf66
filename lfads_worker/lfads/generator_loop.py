"""The forward loop of controller, generator and factors: one bin, and all bins.

The values that go around are named here, for the backward loop as well.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from lfads_worker.lfads.architecture import Architecture
from lfads_worker.lfads.cells import RecurrentKernels, gru_step
from lfads_worker.lfads.recurrence import Stack, scan

Tensor = Any


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
    """Known before the loop starts; [members, batch, ...] in each bin, None where absent."""

    encoded: Stack  # what the controller sees of the encoded spikes
    external: Stack | None  # what the generator sees of the external inputs
    factor_mask: Stack | None  # scaled dropout masks
    generator_mask: Stack | None
    input_draw: Stack | None  # standard normal; None: posterior means

    def present(self) -> list[Stack]:
        return [x for x in self if x is not None]

    def at(self, values: list[Tensor]) -> "LoopInputs":
        """The same structure with one bin's values for the inputs that are present."""
        names = [name for name, x in self._asdict().items() if x is not None]
        return self._replace(**dict(zip(names, values, strict=True)))


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


def decoder_step(
    carry: list[Tensor], x: LoopInputs, w: LoopWeights, clip: float
) -> tuple[list[Tensor], LoopStates]:
    """One bin: controller, inferred input, generator, factors."""
    generator_before, controller_before, factors_before = carry
    controller, controller_gates, controller_candidate = gru_step(
        tf.matmul(controller_input(x, factors_before), w.controller_kernel) + w.controller_bias,
        controller_before,
        w.controller,
        clip,
    )
    parameters = tf.matmul(controller, w.inferred_kernel) + w.inferred_bias
    mean, log_variance = tf.split(parameters, 2, -1)
    inferred = mean if x.input_draw is None else mean + tf.exp(0.5 * log_variance) * x.input_draw
    projected = tf.matmul(generator_input(x, inferred), w.input_kernel) + w.generator_bias
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


def controller_input(x: LoopInputs, factors_before: Tensor) -> Tensor:
    """Encoded spikes and dropped factors side by side, [members, batch, features]."""
    seen_factors = factors_before if x.factor_mask is None else factors_before * x.factor_mask
    return tf.concat([x.encoded, seen_factors], -1)


def generator_input(x: LoopInputs, inferred: Tensor) -> Tensor:
    """Inferred and external inputs side by side, [members, batch, features]."""
    return inferred if x.external is None else tf.concat([inferred, x.external], -1)


def run_loop(w: LoopWeights, inputs: LoopInputs, carry: list[Tensor], a: Architecture) -> LoopStates:
    m, co = a.model, a.inferred_inputs
    g, c = m.generator_units, m.controller_units

    def step(carry: list[Tensor], x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        after, states = decoder_step(carry, inputs.at(x), w, m.cell_clip)
        return after, list(states)

    widths = [g, 2 * g, g, c, 2 * c, c, 2 * co, co, m.factors]
    _, stacked = scan(step, carry, inputs.present(), a.decoded_bins, widths)
    return LoopStates(*stacked)
