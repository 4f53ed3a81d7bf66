"""All randomness of one step of a cohort, drawn before the model runs and handed to it.

The model itself is deterministic: given the same noise it gives the same
bits, which is how it is checked against NumPy. Arrays are time-major and a
member's numbers do not depend on its neighbours.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from lfads_worker.lfads import random_bits
from lfads_worker.lfads.architecture import Architecture
from lfads_worker.lfads.hyperparameters import Hyperparameters

Tensor = Any

# The purpose of each draw: its stream number. Never renumber: it would change every published run.
_PURPOSES = {
    name: number
    for number, name in enumerate(
        (
            "coordinated_keep",
            "coordinated_pass",
            "input_keep",
            "ic_keep",
            "initial_generator_keep",
            "controller_input_keep",
            "factor_keep",
            "external_keep",
            "generator_keep",
            "ic_draw",
            "input_draw",
            "kl_draw",
        )
    )
}


class Noise(NamedTuple):
    """Masks (True: kept) and standard normal draws of one step; None switches the thing off.

    time is the encoded bins for `input_keep`, those of them after the
    initial-condition segment for both coordinated masks, and the decoded bins
    for everything else.
    """

    coordinated_keep: Tensor | None = None  # [time, members, batch, held-in neurons] seen by the encoders
    coordinated_pass: Tensor | None = None  # same; True: the gradient passes although the bin was seen
    input_keep: Tensor | None = None  # [time, members, batch, held-in neurons]
    ic_keep: Tensor | None = None  # [members, batch, 2 * ic encoder units]
    initial_generator_keep: Tensor | None = None  # [members, batch, generator units]
    controller_input_keep: Tensor | None = None  # [time, members, batch, controller input width]
    factor_keep: Tensor | None = None  # [time, members, batch, factors] on their way to the controller
    external_keep: Tensor | None = None  # [time, members, batch, external inputs]
    generator_keep: Tensor | None = None  # [time, members, batch, generator units] on their way to factors
    ic_draw: Tensor | None = None  # [members, batch, ic dim]
    input_draw: Tensor | None = None  # [time, members, batch, inferred inputs]
    kl_draw: Tensor | None = None  # same; the Monte Carlo KL's own sample


class NoiseSource:
    """Draws the noise of a step from its keys."""

    def __init__(self, architecture: Architecture, members: int, batch: int, dtype: Any = tf.float32) -> None:
        self._architecture, self._members, self._dtype = architecture, members, dtype
        self.batch = batch

    def resized(self, batch: int) -> "NoiseSource":
        """The same source for minibatches of another size."""
        return NoiseSource(self._architecture, self._members, batch, self._dtype)

    def for_training(
        self, keys: tuple[Tensor, Tensor], step: Tensor, hyperparameters: Hyperparameters, pass_rate: float
    ) -> Noise:
        """Every mask and draw of a training step.

        Args:
          keys: the members' keys for this generation.
          step: [] uint32, step within the generation.
          hyperparameters: dropout and coordinated-dropout rates.
          pass_rate: share of seen bins whose gradient passes all the same.
        """
        a, m = self._architecture, self._architecture.model
        dropout, coordinated = hyperparameters.dropout_rate, hyperparameters.coordinated_dropout_rate

        def keep(name: str, width: int, rate: Tensor, bins: int | None) -> Tensor:
            stream = random_bits.step_keys(keys, step, _PURPOSES[name])
            return random_bits.bernoulli_keep(stream, *self._place(width, bins), rate)

        decoded, held_in = a.decoded_bins, a.held_in_neurons
        passing = None
        if pass_rate > 0:
            blocked = tf.fill((self._members,), tf.constant(pass_rate, self._dtype))
            passing = tf.logical_not(keep("coordinated_pass", held_in, blocked, a.controller_input_bins))
        with_controller: dict[str, Tensor] = {}
        if a.has_controller:
            with_controller = {
                "controller_input_keep": keep(
                    "controller_input_keep", a.controller_input_width, dropout, decoded
                ),
                "factor_keep": keep("factor_keep", m.factors, dropout, decoded),
            }
            if m.input_kl == "MonteCarlo":
                with_controller["kl_draw"] = self._draw(keys, step, "kl_draw", a.inferred_inputs, decoded)
        if a.external_inputs:
            with_controller["external_keep"] = keep("external_keep", a.external_inputs, dropout, decoded)
        return self.for_sampling(keys, step)._replace(
            coordinated_keep=keep("coordinated_keep", held_in, coordinated, a.controller_input_bins),
            coordinated_pass=passing,
            input_keep=keep("input_keep", held_in, dropout, a.encoded_bins),
            ic_keep=keep("ic_keep", 2 * m.ic_encoder_units, dropout, None),
            initial_generator_keep=keep("initial_generator_keep", m.generator_units, dropout, None),
            generator_keep=keep("generator_keep", m.generator_units, dropout, decoded),
            **with_controller,
        )

    def for_sampling(self, keys: tuple[Tensor, Tensor], step: Tensor) -> Noise:
        """Only the posterior draws: nothing is dropped."""
        a = self._architecture
        inputs = None
        if a.has_controller:
            inputs = self._draw(keys, step, "input_draw", a.inferred_inputs, a.decoded_bins)
        return Noise(ic_draw=self._draw(keys, step, "ic_draw", a.model.ic_dim, None), input_draw=inputs)

    def _draw(
        self, keys: tuple[Tensor, Tensor], step: Tensor, name: str, width: int, bins: int | None
    ) -> Tensor:
        stream = random_bits.step_keys(keys, step, _PURPOSES[name])
        return random_bits.standard_normal(stream, *self._place(width, bins), self._dtype)

    def _place(self, width: int, bins: int | None) -> tuple[tuple[int, ...], int, int]:
        """Shape, members axis and packed axis of one step's numbers; without bins there is no time axis."""
        if bins is None:
            return (self._members, self.batch, width), 0, 1
        return (bins, self._members, self.batch, width), 1, 0


class Masks:
    """Dropout masks of every bin, one byte a number, scaled by 1/(1 - rate) of each member when read.

    Args:
      keep: [time, members, batch, features].
      rate: [members].
    """

    def __init__(self, keep: Tensor, rate: Tensor) -> None:
        self._keep, self._rate = keep, rate

    def __getitem__(self, t: Tensor) -> Tensor:
        scale = tf.reshape(1.0 / (1.0 - self._rate), (-1, 1, 1))
        return tf.cast(self._keep[t], scale.dtype) * scale


def dropped(x: Tensor, keep: Tensor | None, rate: Tensor, members_axis: int) -> Tensor:
    """Multiply x by its mask and by 1/(1 - rate) of each member; without a mask it stays as it is."""
    if keep is None:
        return x
    view = [1] * len(keep.shape)
    view[members_axis] = -1
    return x * tf.cast(keep, x.dtype) * tf.reshape(1.0 / (1.0 - rate), view)
