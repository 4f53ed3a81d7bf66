"""What was inferred, as named arrays with axes and units, in trial order.

One list for both file formats: the HDF5 file and the MATLAB file write these same quantities, the one as they
are, the other with the axes turned round. The words are the project's; the names of other LFADS programs are
aliases that `rates_hdf5` adds.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lfads_worker.data.spikes import SpikeData
from lfads_worker.training.averages import PosteriorAverages

POISSON = "Poisson"
PER_BIN = "spikes per bin"
PER_SECOND = "spikes per second"
RECORDED = "units of the recording (mean of a Gaussian)"
NO_UNIT = "1"


class Quantity(NamedTuple):
    """An array that explains itself; axis 0 is always `trials`."""

    name: str
    values: NDArray[np.generic]
    axes: tuple[str, ...]
    units: str


def all_quantities(
    data: SpikeData, posterior: PosteriorAverages, output_distribution: str
) -> dict[str, Quantity]:
    """Everything known about each trial: inferred first, then what was recorded.

    Rates come twice, in spikes per bin and, with `_hz`, in spikes per second. A Gaussian output has no
    spikes: its rates are in the units of the recording and there is no `_hz` form.
    """
    listed = (
        *_rates(data, posterior, output_distribution),
        *_latents(posterior),
        *_recorded(data, output_distribution),
    )
    return {quantity.name: quantity for quantity in listed}


def _rates(data: SpikeData, posterior: PosteriorAverages, output_distribution: str) -> Iterator[Quantity]:
    axes = ("trials", "time", "neurons")
    units = PER_BIN if output_distribution == POISSON else RECORDED
    yield Quantity("rates", posterior.rates, axes, units)
    yield Quantity("rates_std", posterior.rates_std, axes, units)
    if output_distribution == POISSON:
        yield Quantity("rates_hz", _per_second(posterior.rates, data.bin_width_ms), axes, PER_SECOND)
        yield Quantity("rates_hz_std", _per_second(posterior.rates_std, data.bin_width_ms), axes, PER_SECOND)


def _latents(posterior: PosteriorAverages) -> Iterator[Quantity]:
    last_axis = {
        "factors": "factors",
        "factors_std": "factors",
        "generator_states": "generator_units",
        "generator_states_std": "generator_units",
        "inferred_inputs": "inputs",
        "inferred_inputs_std": "inputs",
        "generator_inputs": "inputs",
        "controller_states": "controller_units",
        "co_means": "inputs",
        "co_stds": "inputs",
        "ic_mean": "ic_dims",
        "ic_std": "ic_dims",
        "initial_states": "generator_units",
        "initial_states_std": "generator_units",
    }
    for name, axis in last_axis.items():
        values = getattr(posterior, name)
        axes = ("trials", "time", axis) if values.ndim == 3 else ("trials", axis)
        yield Quantity(name, values, axes, NO_UNIT)


def _recorded(data: SpikeData, output_distribution: str) -> Iterator[Quantity]:
    axes = ("trials", "time", "neurons")
    units = PER_BIN if output_distribution == POISSON else RECORDED
    yield Quantity("spikes", data.spikes, axes, units)
    if data.external_inputs.shape[-1] > 0:
        yield Quantity("external_inputs", data.external_inputs, ("trials", "time", "features"), NO_UNIT)
    if data.true_rates is not None:
        yield Quantity("true_rates", data.true_rates, axes, units)
        if output_distribution == POISSON:
            yield Quantity("true_rates_hz", _per_second(data.true_rates, data.bin_width_ms), axes, PER_SECOND)
    if data.conditions is not None:
        yield Quantity("conditions", data.conditions, ("trials",), NO_UNIT)


def _per_second(per_bin: NDArray[np.float32], bin_width_ms: float) -> NDArray[np.float32]:
    return per_bin * np.float32(1000.0 / bin_width_ms)
