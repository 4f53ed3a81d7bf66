"""The MATLAB file of rates: neurons × time × trials, as people in MATLAB keep their recordings.

The same merged quantities as in the HDF5 file, with the axes turned round and trial numbers from 1. Written
as version 7, which MATLAB and Octave open with `load`; that format holds at most 2 GiB a variable, so larger
ones are left out and named.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy import io

from lfads_worker.data.spikes import SpikeData
from lfads_worker.results.provenance import Provenance, package_version
from lfads_worker.results.quantities import Quantity

LARGEST_VARIABLE_BYTES = 2**31 - 1
# The format begins with 116 bytes of text, where scipy puts the time of writing.
HEADER = b"MATLAB 5.0 MAT-file, made by autolfads".ljust(116)


def write(
    path: Path,
    quantities: Mapping[str, Quantity],
    data: SpikeData,
    provenance: Provenance,
    samples: int,
) -> None:
    """Write every quantity that fits, and what is needed to read it.

    Args:
      path: a new file.
      quantities: everything of `all_quantities`; those named by `too_large` are left out.
      data: the recording, for the split and the bins.
      provenance: the run and member, for the struct `run`.
      samples: how many posterior samples were averaged.
    """
    left_out = too_large(quantities)
    written = {name: quantity for name, quantity in quantities.items() if name not in left_out}
    variables: dict[str, object] = {name: quantity.values.T for name, quantity in written.items()}
    variables |= {
        "train_trials": data.train + 1.0,
        "valid_trials": data.valid + 1.0,
        "time_ms": np.arange(data.time) * data.bin_width_ms,
        "bin_width_ms": float(data.bin_width_ms),
        "axes": {name: " x ".join(reversed(quantity.axes)) for name, quantity in written.items()},
        "units": {name: quantity.units for name, quantity in written.items()},
        "run": _run(data, provenance, samples),
    }
    if data.condition_names is not None:
        variables["condition_names"] = np.array(data.condition_names, object)  # a cell array
    with path.open("wb") as file:
        io.savemat(file, variables, do_compression=True, long_field_names=True, oned_as="column")
        file.seek(0)
        file.write(HEADER)  # the same rates give the same bytes


def too_large(quantities: Mapping[str, Quantity]) -> list[str]:
    """Names of the quantities that a MATLAB file of version 7 cannot hold."""
    return [name for name, quantity in quantities.items() if quantity.values.nbytes > LARGEST_VARIABLE_BYTES]


def _run(data: SpikeData, provenance: Provenance, samples: int) -> dict[str, object]:
    return {
        "name": provenance.run_name,
        "code_version": package_version("autolfads") or "unknown",
        "seed": float(provenance.seed),
        "data_source": provenance.source,
        "data_fingerprint": provenance.fingerprint,
        "output_distribution": provenance.output_distribution,
        "generation": float(provenance.generation),
        "member": float(provenance.member),
        "score": provenance.score,
        "posterior_samples": float(samples),
        "held_in_neurons": float(data.held_in_neurons),
        "encoded_bins": float(data.encoded_bins),
        "hyperparameters": dict(provenance.hyperparameters),
    }
