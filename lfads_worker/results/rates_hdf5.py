"""The HDF5 file of rates: opens in the scripts that people already have.

It holds each quantity three times: merged in trial order under the project's own names, and cut into
`train_…` and `valid_…` under the names of lfads-torch. The names of autolfads-tf2 are further names of those
same datasets (hard links), so they cost no space. `train_inds` and `valid_inds` are trial numbers from 0.
"""

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from lfads_worker.data.spikes import SpikeData
from lfads_worker.results.files import json_text
from lfads_worker.results.provenance import Provenance, package_version
from lfads_worker.results.quantities import NO_UNIT, Quantity

FORMAT = "autolfads rates 1"

# The project's name → the name that lfads-torch gives to the train and validation parts.
LFADS_TORCH_NAMES = {
    "rates": "output_params",
    "rates_std": "output_params_std",
    "rates_hz": "rates_hz",
    "rates_hz_std": "rates_hz_std",
    "factors": "factors",
    "factors_std": "factors_std",
    "ic_mean": "ic_mean",
    "ic_std": "ic_std",
    "co_means": "co_means",
    "co_stds": "co_stds",
    "generator_states": "gen_states",
    "generator_states_std": "gen_states_std",
    "initial_states": "gen_init",
    "initial_states_std": "gen_init_std",
    "generator_inputs": "gen_inputs",
    "inferred_inputs": "inferred_inputs",
    "inferred_inputs_std": "inferred_inputs_std",
    "controller_states": "con_states",
    "spikes": "recon_data",
    "external_inputs": "ext_input",
    "true_rates": "truth",
}

# lfads-torch's name → the name that autolfads-tf2 gives to the same array.
AUTOLFADS_TF2_ALIASES = {
    "output_params": "rates",
    "output_params_std": "rates_std",
    "ic_mean": "ic_post_mean",
}

CHUNK_BYTES = 2**20  # whole trials up to this size: a trial is what readers ask for
# Level 1: on float noise higher levels are slower and save less than one per cent.
COMPRESSION = {"compression": "gzip", "compression_opts": 1, "shuffle": True}


def write(
    path: Path,
    quantities: Mapping[str, Quantity],
    data: SpikeData,
    provenance: Provenance,
    samples: int,
) -> None:
    """Write the whole file.

    Args:
      path: a new file.
      quantities: everything of `all_quantities`.
      data: the recording, for the split and the bins.
      provenance: the run and member, for the file's attributes.
      samples: how many posterior samples were averaged.
    """
    with h5py.File(path, "w") as file:
        _write_attributes(file, quantities, data, provenance, samples)
        time_ms = np.arange(data.time, dtype=np.float64) * data.bin_width_ms
        _write_array(file, "time_ms", time_ms, ("time",), "ms, start of the bin")
        for quantity in quantities.values():
            _write_array(file, quantity.name, quantity.values, quantity.axes, quantity.units)
        if data.condition_names is not None:
            names = np.array(data.condition_names, h5py.string_dtype())
            _write_array(file, "condition_names", names, ("conditions",), NO_UNIT)
        _write_split(file, "train", data.train, quantities, data)
        _write_split(file, "valid", data.valid, quantities, data)


def _write_attributes(
    file: h5py.File,
    quantities: Mapping[str, Quantity],
    data: SpikeData,
    provenance: Provenance,
    samples: int,
) -> None:
    file.attrs.update(
        {
            "format": FORMAT,
            "code_version": package_version("autolfads") or "unknown",
            "run_name": provenance.run_name,
            "seed": provenance.seed,
            "data_source": provenance.source,
            "data_fingerprint": provenance.fingerprint,
            "output_distribution": provenance.output_distribution,
            "hyperparameters": json_text(provenance.hyperparameters),
            "generation": provenance.generation,
            "member": provenance.member,
            "score": provenance.score,
            "posterior_samples": samples,
            "bin_width_ms": data.bin_width_ms,
            "units": quantities["rates"].units,
            "held_in_neurons": data.held_in_neurons,
            "encoded_bins": data.encoded_bins,
        }
    )


def _write_split(
    file: h5py.File,
    split: str,
    trials: NDArray[np.int64],
    quantities: Mapping[str, Quantity],
    data: SpikeData,
) -> None:
    _write_array(file, f"{split}_inds", trials, ("trials",), "trial number, from 0")
    for name, short in LFADS_TORCH_NAMES.items():
        if name in quantities:
            quantity = quantities[name]
            _write_array(file, f"{split}_{short}", quantity.values[trials], quantity.axes, quantity.units)
    for short, alias in AUTOLFADS_TF2_ALIASES.items():
        file[f"{split}_{alias}"] = file[f"{split}_{short}"]
    ic = quantities["ic_std"]
    log_variance = 2 * np.log(np.asarray(ic.values[trials], dtype=np.float32))
    _write_array(file, f"{split}_ic_post_logvar", log_variance, ic.axes, NO_UNIT)
    spikes = quantities["spikes"]
    encoded = spikes.values[trials, : data.encoded_bins, : data.held_in_neurons]
    if encoded.shape == spikes.values[trials].shape:
        file[f"{split}_encod_data"] = file[f"{split}_recon_data"]
    else:
        _write_array(file, f"{split}_encod_data", encoded, spikes.axes, spikes.units)


def _write_array(
    file: h5py.File, name: str, values: NDArray[np.generic], axes: tuple[str, ...], units: str
) -> None:
    settings: dict[str, object] = {}
    if values.ndim > 1 and values.size > 0:
        trials = max(1, min(len(values), CHUNK_BYTES * len(values) // values.nbytes))
        settings = {**COMPRESSION, "chunks": (trials, *values.shape[1:])}
    # No times: the same rates give the same bytes.
    dataset = file.create_dataset(name, data=values, track_times=False, **settings)
    dataset.attrs["axes"] = list(axes)
    dataset.attrs["units"] = units
