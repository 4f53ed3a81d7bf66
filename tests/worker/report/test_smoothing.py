import numpy as np
import pytest

from lfads_worker.report.smoothing import kernel_sd_ms, smooth


def test_smoothing_is_a_weighted_mean_over_the_bins_of_the_trial():
    values = np.random.default_rng(0).poisson(1.0, (3, 9, 2)).astype(np.float32)

    smoothed = smooth(values, 1.5)

    for trial in range(3):
        for bin_ in range(9):
            weights = np.exp(-0.5 * ((np.arange(9) - bin_) / 1.5) ** 2)
            np.testing.assert_allclose(
                smoothed[trial, bin_], np.average(values[trial], axis=0, weights=weights), rtol=1e-5
            )


def test_a_constant_rate_stays_the_same_up_to_the_edges():
    np.testing.assert_allclose(smooth(np.full((1, 20, 1), 3.0, np.float32), 4.0), 3.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("bins", "width", "sd"),
    [
        pytest.param(50, 20.0, 50.0, id="the customary 50 ms"),
        pytest.param(20, 10.0, 25.0, id="an eighth of a short trial"),
        pytest.param(4, 100.0, 100.0, id="a bin at least"),
    ],
)
def test_the_kernel_fits_the_trial(bins, width, sd):
    assert kernel_sd_ms(bins, width) == sd
