"""Settings that need the recording to be judged."""

import numpy as np
import pytest

from autolfads_spec import SpecError, load_run
from lfads_worker.compatibility import require_fit
from lfads_worker.data.spikes import SpikeData

BINS = 10


def recording(held_in=4, encoded_bins=BINS):
    return SpikeData(
        spikes=np.zeros((5, BINS, 4), np.float32),
        train=np.arange(1, 5),
        valid=np.arange(1),
        held_in_neurons=held_in,
        encoded_bins=encoded_bins,
        bin_width_ms=10.0,
        external_inputs=np.zeros((5, BINS, 0), np.float32),
        true_rates=None,
        conditions=None,
        fingerprint="",
        source="",
    )


def spec(**blocks):
    extra = "\n".join(f"  {name}: {text}" for name, text in blocks.items())
    return load_run(
        "apiVersion: autolfads.dev/v1alpha1\nkind: AutoLFADSRun\nmetadata: {name: a}\n"
        f"spec:\n  data: {{uri: a.mat}}\n  output: {{uri: b}}\n{extra}\n"
    ).spec


@pytest.mark.parametrize(
    ("blocks", "sentence"),
    [
        pytest.param(
            {"model": "{icSegmentBins: 9}"},
            "spec.model.icSegmentBins: wanted at least 2 of the 10 encoded bins to be left after the "
            "segment, found a segment of 9; lower it",
            id="segment",
        ),
        pytest.param(
            {"model": "{ciLag: 10}"},
            "spec.model.ciLag: wanted less than the 10 bins that the controller reads, found 10; lower it",
            id="lag",
        ),
        pytest.param(
            {"model": "{ciLag: 7, icSegmentBins: 3}"},
            "wanted less than the 7 bins that the controller reads, found 7",
            id="lag-after-segment",
        ),
        pytest.param(
            {"population": "{metric: HeldOut}"},
            "spec.population.metric: wanted something that the encoders never see, since metric is HeldOut; "
            "found no held-out neurons, no forward bins and no sample validation",
            id="nothing-held-out",
        ),
    ],
)
def test_a_model_that_does_not_fit_the_recording_is_refused(blocks, sentence):
    with pytest.raises(SpecError) as error:
        require_fit(spec(**blocks), recording())

    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("blocks", "data"),
    [
        pytest.param({}, recording(), id="defaults"),
        pytest.param({"model": "{ciLag: 10, inferredInputs: 0}"}, recording(), id="lag-without-controller"),
        pytest.param({"population": "{metric: HeldOut}"}, recording(held_in=3), id="neurons"),
        pytest.param({"population": "{metric: HeldOut}"}, recording(encoded_bins=8), id="bins"),
        pytest.param(
            {"population": "{metric: HeldOut}", "training": "{sampleValidationRate: 0.1}"},
            recording(),
            id="samples",
        ),
    ],
)
def test_a_model_that_fits_passes(blocks, data):
    require_fit(spec(**blocks), data)


def test_every_problem_is_told_at_once():
    with pytest.raises(SpecError) as error:
        require_fit(spec(model="{icSegmentBins: 9}", population="{metric: HeldOut}"), recording())

    assert len(error.value.sentences) == 2
