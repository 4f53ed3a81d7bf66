"""The sizes of one LFADS model: what its graph is compiled for, the same for every member of a population.

Knows the spec's `model` block and the shape of a recording; knows no
hyperparameter that population based training may change.
"""

from dataclasses import dataclass

from autolfads_spec.errors import SpecError
from autolfads_spec.model import ModelSpec
from lfads_worker.lfads.distributions import OutputDistribution, output_distribution


@dataclass(frozen=True)
class Architecture:
    """Sizes and switches of the model. Counts of neurons, bins, units; never values of weights."""

    neurons: int
    held_in_neurons: int  # the first ones; only these are encoded
    bins: int
    encoded_bins: int  # the first ones; later bins are only predicted
    external_inputs: int
    model: ModelSpec

    def __post_init__(self) -> None:
        if self.ic_segment_bins >= self.encoded_bins:
            raise SpecError(
                f"model.icSegmentBins: fewer than the {self.encoded_bins} encoded bins of a trial wanted, "
                f"found {self.ic_segment_bins}; lower it, or record longer trials"
            )

    @property
    def has_controller(self) -> bool:
        m = self.model
        return m.ci_encoder_units > 0 and m.controller_units > 0 and m.inferred_inputs > 0

    @property
    def inferred_inputs(self) -> int:
        return self.model.inferred_inputs if self.has_controller else 0

    @property
    def ic_segment_bins(self) -> int:
        return self.model.ic_segment_bins

    @property
    def decoded_bins(self) -> int:
        """Bins that the generator runs over: those after the initial-condition segment."""
        return self.bins - self.model.ic_segment_bins

    @property
    def controller_input_bins(self) -> int:
        """Encoded bins that the controller's encoder reads."""
        return self.encoded_bins - self.model.ic_segment_bins

    @property
    def controller_input_width(self) -> int:
        return self.model.ci_encoder_units * (1 if self.model.causal else 2)

    @property
    def generator_input_width(self) -> int:
        return self.inferred_inputs + self.external_inputs

    @property
    def distribution(self) -> OutputDistribution:
        return output_distribution(self.model.output_distribution)
