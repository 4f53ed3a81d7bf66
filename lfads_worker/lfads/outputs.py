"""The tensors that pass between the parts of the model, each with its shape.

time, members, batch stand for what the arrays of one step have; every array
is time-major because the recurrent loops are.
"""

from typing import Any, NamedTuple

from lfads_worker.lfads.posteriors import Gaussian

Tensor = Any


class Batch(NamedTuple):
    """Trials of one step, shared by all members."""

    spikes: Tensor  # [time, batch, neurons] counts per bin, or real values for a Gaussian output
    external_inputs: Tensor  # [time, batch, external inputs]
    trial_weights: Tensor  # [batch] 1 for a trial, 0 for padding
    # Sample validation, [encoded time, batch, held-in neurons]; 1: used, 0: held out.
    sample_mask: Tensor | None = None


class Encoded(NamedTuple):
    """What the encoders hand to the decoder."""

    initial_condition: Gaussian  # posterior, mean and variance [members, batch, ic dim]
    controller_inputs: Tensor | None  # [decoded time, members, batch, controller input width]


class Decoded(NamedTuple):
    """What the decoder computes; time is the decoded bins."""

    initial_generator_state: Tensor  # [members, batch, generator units], before the first bin
    generator_states: Tensor | None  # [time, members, batch, generator units]
    controller_states: Tensor | None  # [time, members, batch, controller units]
    input_posterior: Gaussian | None  # of the inferred inputs, [time, members, batch, inferred inputs]
    inferred_inputs: Tensor | None  # [time, members, batch, inferred inputs], the sample that was used
    factors: Tensor  # [time, members, batch, factors]
    output_parameters: Tensor  # [time, members, batch, neurons * parameters of the output distribution]


class LossTerms(NamedTuple):
    """One number a member, [members] each, averaged over trials."""

    total: Tensor  # what is minimised, loss scale included
    reconstruction: Tensor  # mean over trials, bins and neurons, nats, without the data-only part
    kl_initial_condition: Tensor  # nats a trial
    kl_inferred_inputs: Tensor  # nats a trial
    l2: Tensor  # weighted and normalised penalty
