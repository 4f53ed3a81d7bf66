"""Spikes smoothed in time: what people look at before there is a model."""

import numpy as np
from numpy.typing import NDArray

SD_MS = 50.0  # customary for single trials of cortical recordings


def kernel_sd_ms(bins: int, bin_width_ms: float) -> float:
    """Standard deviation of the kernel: 50 ms, less on short trials, and a bin at least."""
    return max(bin_width_ms, min(SD_MS, bins * bin_width_ms / 8))


def smooth(values: NDArray[np.float32], sd_bins: float) -> NDArray[np.float32]:
    """[trials, time, neurons] Gaussian smoothing over time; at the edges the kernel is cut and rescaled."""
    bins = np.arange(values.shape[1])
    kernel = np.exp(-0.5 * ((bins[:, None] - bins[None]) / sd_bins) ** 2)
    kernel /= kernel.sum(1, keepdims=True)
    smoothed: NDArray[np.float32] = kernel.astype(np.float32) @ values
    return smoothed
