import pytest

from autolfads_spec import ModelSpec, SpecError
from lfads_worker.lfads.architecture import Architecture


def _architecture(bins=20, forward_bins=0, external=0, **model):
    return Architecture(30, 25, bins, bins - forward_bins, external, ModelSpec.model_validate(model))


@pytest.mark.parametrize("width", ["ci_encoder_units", "controller_units", "inferred_inputs"])
def test_a_controller_wants_all_three_widths(width):
    assert _architecture().has_controller
    assert not _architecture(**{width: 0}).has_controller


def test_without_controller_only_external_inputs_drive_the_generator():
    assert _architecture(inferred_inputs=3, external=2).generator_input_width == 5
    assert _architecture(controller_units=0, inferred_inputs=3, external=2).generator_input_width == 2


def test_bins_of_each_part():
    a = _architecture(bins=20, forward_bins=4, ic_segment_bins=5)

    assert (a.decoded_bins, a.controller_input_bins) == (15, 11)


def test_a_causal_encoder_is_half_as_wide():
    assert _architecture(ci_encoder_units=7).controller_input_width == 14
    assert _architecture(ci_encoder_units=7, causal=True).controller_input_width == 7


def test_a_segment_that_leaves_no_encoded_bin_is_refused():
    with pytest.raises(
        SpecError, match=r"model\.icSegmentBins: fewer than the 16 encoded bins .* found 16; lower it"
    ):
        _architecture(bins=20, forward_bins=4, ic_segment_bins=16)
