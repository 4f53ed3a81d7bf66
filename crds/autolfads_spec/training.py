"""`spec.training`: minibatches, optimiser, regularisation and their ramps.

The nine hyperparameters that the population can search have here the value that is used when they are not
searched. Weights of loss terms are those of lfads-torch and autolfads-tf2: the reconstruction is a mean over
bins and neurons, so KL weights are small numbers.
"""

from typing import Literal

from pydantic import Field

from autolfads_spec.block import Block


class Ramp(Block):
    """A weight that grows from 0 to its full value."""

    start_epoch: int = Field(0, ge=0, le=100000, description="Epoch at which the ramp starts.")
    epochs: int = Field(
        80,
        ge=0,
        le=100000,
        description="Epochs over which the weight grows to its full value; 0 switches it on at once.",
    )

    @property
    def end_epoch(self) -> int:
        """The first epoch, from 1, with the full weight: clip((k - start) / (epochs + 1), 0, 1) is 1."""
        return self.start_epoch + self.epochs + 1


class TrainingSpec(Block):
    """Minibatches, optimiser, regularisation and ramps."""

    batch_size: int = Field(
        256, ge=1, le=100000, description="Trials in a minibatch; all of them when there are fewer."
    )
    learning_rate: float = Field(4e-3, gt=0, le=1, description="Adam's step size, when it is not searched.")
    dropout_rate: float = Field(
        0.05, ge=0, lt=1, description="Share of units dropped, when it is not searched."
    )
    coordinated_dropout_rate: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="Share of the spike counts hidden from the encoders, which alone are then scored, "
        "when it is not searched.",
    )
    coordinated_dropout_pass_rate: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the shown spike counts whose gradient is let through all the same.",
    )
    sample_validation_rate: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the spike counts, fixed for the run, that are never trained on but scored "
        "beside.",
    )
    l2_generator: float = Field(
        1e-4,
        ge=0,
        le=1e6,
        description="L2 weight of the generator's recurrent kernel, when it is not searched.",
    )
    l2_controller: float = Field(
        1e-4,
        ge=0,
        le=1e6,
        description="L2 weight of the controller's recurrent kernel, when it is not searched.",
    )
    l2_ic_encoder: float = Field(
        0.0,
        ge=0,
        le=1e6,
        description="L2 weight of the initial condition encoder's kernels, when it is not searched.",
    )
    l2_ci_encoder: float = Field(
        0.0,
        ge=0,
        le=1e6,
        description="L2 weight of the controller input encoder's kernels, when it is not searched.",
    )
    kl_initial_condition: float = Field(
        1e-5, ge=0, le=1e6, description="KL weight of the initial condition, when it is not searched."
    )
    kl_inferred_inputs: float = Field(
        1e-5, ge=0, le=1e6, description="KL weight of the inferred inputs, when it is not searched."
    )
    kl_ramp: Ramp = Field(default_factory=Ramp, description="How the KL weights grow over the first epochs.")
    l2_ramp: Ramp = Field(default_factory=Ramp, description="How the L2 weights grow over the first epochs.")
    adam_beta1: float = Field(0.9, ge=0, lt=1, description="Adam's decay of the mean gradient.")
    adam_beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the mean squared gradient.")
    adam_epsilon: float = Field(
        1e-8, gt=0, le=1, description="Adam's epsilon, for gradients of the loss times `lossScale`."
    )
    gradient_clip_norm: float = Field(
        200.0,
        gt=0,
        le=1e9,
        description="Largest global norm of a member's gradient, of the loss times `lossScale`.",
    )
    loss_scale: float = Field(
        1e4, gt=0, le=1e9, description="Factor of the whole loss before the gradient is taken."
    )
    log_factorial: Literal["Exact", "Stirling"] = Field(
        "Exact",
        description="The constant log k! of the Poisson likelihood: exact, or Stirling's formula to "
        "compare losses "
        "with autolfads-tf2 and lfads-torch.",
    )

    @property
    def ramp_epochs(self) -> int:
        """Epochs until both ramps are over; no member is selected before."""
        return max(self.kl_ramp.end_epoch, self.l2_ramp.end_epoch) - 1
