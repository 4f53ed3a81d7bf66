"""Whether the model asked for fits the recording: rules that need both, checked before anything is trained.

Each broken rule is one sentence; all of them are told at once.
"""

from collections.abc import Iterator

from autolfads_spec import RunSpec, SpecError
from lfads_worker.data.spikes import SpikeData


def require_fit(spec: RunSpec, data: SpikeData) -> None:
    """Raises one SpecError with every way in which the run's settings do not fit its recording.

    Raises:
      SpecError: if there is any.
    """
    problems = list(_problems(spec, data))
    if problems:
        raise SpecError(*problems)


def _problems(spec: RunSpec, data: SpikeData) -> Iterator[str]:
    model, bins = spec.model, data.encoded_bins
    if model.ic_segment_bins >= bins - 1:
        yield (
            f"spec.model.icSegmentBins: wanted at least 2 of the {bins} encoded bins to be left after the "
            f"segment, found a segment of {model.ic_segment_bins}; lower it"
        )
    elif model.has_controller and model.ci_lag >= bins - model.ic_segment_bins:
        yield (
            f"spec.model.ciLag: wanted less than the {bins - model.ic_segment_bins} bins that the controller "
            f"reads, found {model.ci_lag}; lower it, or the controller sees nothing"
        )
    unseen = data.held_in_neurons < data.neurons or bins < data.time or spec.training.sample_validation_rate
    if spec.population.metric == "HeldOut" and not unseen:
        yield (
            "spec.population.metric: wanted something that the encoders never see, since metric is HeldOut; "
            "found no held-out neurons, no forward bins and no sample validation; set data.heldOutNeurons, "
            "data.forwardBins or training.sampleValidationRate, or use metric HeldIn"
        )
