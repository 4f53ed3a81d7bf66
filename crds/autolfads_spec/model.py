"""`spec.model`: widths and switches of the LFADS network.

Names follow the papers (initial condition, controller, inferred inputs, generator, factors); the equations
are in `lfads_worker.lfads`. A preset sets all seven widths at once; a width written out overrides it.

References:
  Pandarinath et al. 2018, Nature Methods 15; Sussillo et al. 2016, arXiv 1608.06315.
"""

from typing import Any, Literal

from pydantic import Field, model_validator
from pydantic.alias_generators import to_camel

from autolfads_spec.block import DEFAULT_ELSEWHERE, Block

# The widths of published configurations: the AutoLFADS tutorial (Default), the Lorenz and MC_Maze runs of
# autolfads-tf2, and lfads-torch's MC_Maze run; Small is ours, for tests and small recordings.
MODEL_PRESETS: dict[str, dict[str, int]] = {
    name: dict(
        zip(
            (
                "ic_encoder_units",
                "ci_encoder_units",
                "controller_units",
                "inferred_inputs",
                "ic_dim",
                "generator_units",
                "factors",
            ),
            widths,
            strict=True,
        )
    )
    for name, widths in {
        "Default": (64, 64, 64, 4, 64, 64, 40),
        "Small": (32, 32, 32, 1, 32, 32, 16),
        "Lorenz": (100, 64, 64, 1, 100, 100, 40),
        "MCMaze": (100, 80, 80, 4, 100, 100, 40),
        "LFADSTorchMaze": (64, 64, 64, 4, 64, 200, 100),
    }.items()
}


class ModelSpec(Block):
    """Widths of the encoders, controller and generator, priors, and the distribution of the spikes."""

    preset: Literal["Default", "Small", "Lorenz", "MCMaze", "LFADSTorchMaze"] = Field(
        "Default", description="Sets all widths at once; a width that is written out overrides the preset's."
    )
    ic_encoder_units: int = Field(
        64,
        ge=1,
        le=4096,
        json_schema_extra=DEFAULT_ELSEWHERE,
        description="Units in each direction of the encoder of the initial condition; default from the "
        "preset.",
    )
    ci_encoder_units: int = Field(
        64,
        ge=0,
        le=4096,
        json_schema_extra=DEFAULT_ELSEWHERE,
        description="Units in each direction of the encoder of the controller's inputs, 0 for no controller; "
        "default from the preset.",
    )
    controller_units: int = Field(
        64,
        ge=0,
        le=4096,
        json_schema_extra=DEFAULT_ELSEWHERE,
        description="Units of the controller, which infers inputs to the generator, 0 for no controller; "
        "default from the preset.",
    )
    inferred_inputs: int = Field(
        4,
        ge=0,
        le=256,
        json_schema_extra=DEFAULT_ELSEWHERE,
        description="Number of inferred inputs (controller outputs), 0 for no controller; default from "
        "the preset.",
    )
    ic_dim: int = Field(
        64,
        ge=1,
        le=4096,
        json_schema_extra=DEFAULT_ELSEWHERE,
        description="Dimension of the initial condition's code; default from the preset.",
    )
    generator_units: int = Field(
        64,
        ge=1,
        le=4096,
        json_schema_extra=DEFAULT_ELSEWHERE,
        description="Units of the generator; default from the preset.",
    )
    factors: int = Field(
        40,
        ge=1,
        le=4096,
        json_schema_extra=DEFAULT_ELSEWHERE,
        description="Number of latent factors; default from the preset.",
    )
    ci_lag: int = Field(
        1,
        ge=0,
        le=1000,
        description="Bins by which the controller's view of the spikes is delayed (and advanced, looking "
        "backward).",
    )
    causal: bool = Field(
        False, description="The controller sees only spikes before the present bin, never those to come."
    )
    ic_segment_bins: int = Field(
        0,
        ge=0,
        le=100000,
        description="The first n bins are seen only by the encoder of the initial condition and are not "
        "modelled; "
        "0 lets it see the whole trial.",
    )
    cell_clip: float = Field(
        5.0,
        gt=0,
        le=1000,
        description="States of all recurrent cells are clipped to plus and minus this value.",
    )
    ic_prior_variance: float = Field(
        0.1,
        gt=0,
        le=1000,
        description="Variance of the prior of the initial condition's code; its mean is trained.",
    )
    ic_posterior_min_variance: float = Field(
        1e-4, gt=0, le=1000, description="Added to the posterior variance of the initial condition's code."
    )
    input_prior: Literal["Autoregressive", "Independent"] = Field(
        "Autoregressive",
        description="Prior of the inferred inputs: AR(1) over time, or independent from bin to bin.",
    )
    input_prior_tau: float = Field(
        10.0,
        gt=0,
        le=100000,
        description="Start value of the trained time constant of the autoregressive prior, in bins.",
    )
    input_prior_noise_variance: float = Field(
        0.1, gt=0, le=1000, description="Start value of the trained noise variance of the inputs' prior."
    )
    input_kl: Literal["Analytic", "MonteCarlo"] = Field(
        "Analytic",
        description="KL divergence of the inferred inputs: its exact expectation, or one posterior sample "
        "as earlier implementations take it.",
    )
    output_distribution: Literal["Poisson", "Gaussian"] = Field(
        "Poisson",
        description="Distribution of the observations given the rates: spike counts or real values.",
    )
    readout_bias: Literal["MeanRate", "Zero"] = Field(
        "MeanRate",
        description="Start value of the read-out bias: each neuron's mean, or zero (one spike per bin) "
        "as earlier implementations have it.",
    )

    @model_validator(mode="before")
    @classmethod
    def _widths_from_preset(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        preset = MODEL_PRESETS.get(str(value.get("preset", "Default")), {})
        return {to_camel(name): w for name, w in preset.items() if name not in value} | value

    @property
    def has_controller(self) -> bool:
        """The controller exists when its encoder, itself and its outputs all have a width above 0."""
        return min(self.ci_encoder_units, self.controller_units, self.inferred_inputs) > 0
