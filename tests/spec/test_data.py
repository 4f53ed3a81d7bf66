import pytest

from autolfads_spec.data import DataSpec, ValidationSplit


def test_every_fifth_trial_validates_by_default():
    assert ValidationSplit() == ValidationSplit(every_nth=5)
    assert DataSpec(uri="a").validation.every_nth == 5


def test_a_fraction_replaces_every_nth():
    split = ValidationSplit(fraction=0.2, seed=3)

    assert (split.every_nth, split.fraction, split.seed) == (None, 0.2, 3)


@pytest.mark.parametrize(("bin_width", "rebin"), [(1, 10), (0.1, 0.3), (5, 5), (1 / 3, 1), (2.5, 10)])
def test_whole_multiples_are_accepted_whatever_their_binary_form(bin_width, rebin):
    assert DataSpec(uri="a", bin_width_ms=bin_width, rebin_ms=rebin).final_bin_width_ms() == rebin


def test_the_final_bin_width_is_the_files_when_nothing_is_rebinned():
    assert DataSpec(uri="a", bin_width_ms=5).final_bin_width_ms() == 5
    assert DataSpec(uri="a").final_bin_width_ms() is None


@pytest.mark.parametrize("uri", ["gs://my-lab/a.mat", "/data/a.mat", "a b/ä.mat", "C:/data/a.mat", "../a.h5"])
def test_cloud_storage_and_paths_are_addresses(uri):
    assert DataSpec(uri=uri).local() == (not uri.startswith("gs://"))
