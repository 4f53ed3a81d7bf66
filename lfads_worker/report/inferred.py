"""What was recorded and what was inferred, read back from rates.h5, or from rates.mat if only that is there.

Rates come in the unit people read, spikes per second; those of a Gaussian output stay in the units of the
recording.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_NAMES = ("spikes", "rates", "rates_std", "true_rates", "factors", "inferred_inputs", "co_means", "co_stds")


@dataclass(frozen=True, eq=False)
class Inferred:
    """A recording and the best member's view of it.

    Attributes:
      spikes: [trials, time, neurons] counts per bin, or values of a Gaussian recording.
      rates, rates_std, true_rates: [trials, time, neurons] in `unit`; NaN in the bins of the
        initial-condition segment. True rates are None where they are not known.
      factors: [trials, time, factors].
      inputs: [trials, time, inputs] inferred inputs; the last axis is 0 without a controller.
      input_means, input_stds: [trials, time, inputs] parameters of their posterior.
      conditions: [trials], None where they are not known.
      condition_names: of condition 0, 1 and so on, where the recording has words for them.
      time_ms: [time] start of each bin.
      counts: whether spikes are counts (Poisson output) rather than values (Gaussian).
    """

    spikes: Array
    rates: Array
    rates_std: Array
    true_rates: Array | None
    factors: Array
    inputs: Array
    input_means: Array
    input_stds: Array
    conditions: NDArray[np.int64] | None
    condition_names: tuple[str, ...] | None
    train: NDArray[np.int64]
    valid: NDArray[np.int64]
    held_in_neurons: int
    encoded_bins: int
    bin_width_ms: float
    counts: bool

    @property
    def trials(self) -> int:
        return len(self.spikes)

    @property
    def neurons(self) -> int:
        return int(self.spikes.shape[2])

    @property
    def time_ms(self) -> NDArray[np.float64]:
        """[time] middle of each bin."""
        return np.asarray((np.arange(self.spikes.shape[1]) + 0.5) * self.bin_width_ms, np.float64)

    def condition_name(self, number: int) -> str:
        """As the recording calls it."""
        return str(number) if self.condition_names is None else self.condition_names[number]

    @property
    def unit(self) -> str:
        return "spikes/s" if self.counts else "recorded units"

    @property
    def observed(self) -> Array:
        """[trials, time, neurons] what was recorded, in `unit`."""
        return self.spikes * np.float32(self._per_second)

    @property
    def _per_second(self) -> float:
        return 1000.0 / self.bin_width_ms if self.counts else 1.0


def read_inferred(hdf5: Path, matlab: Path) -> Inferred:
    """From whichever of the two files is there; the first if both are."""
    return _inferred(*(_from_hdf5(hdf5) if hdf5.is_file() else _from_matlab(matlab)))


def _from_hdf5(path: Path) -> tuple[dict[str, Any], Mapping[str, Any]]:
    import h5py

    with h5py.File(path) as file:
        names = [name for name in (*_NAMES, "conditions") if name in file]
        arrays = {name: file[name][:] for name in names}
        arrays |= {"train": file["train_inds"][:], "valid": file["valid_inds"][:]}
        if "condition_names" in file:
            arrays["condition_names"] = file["condition_names"].asstr()[:]
        return arrays, dict(file.attrs)


def _from_matlab(path: Path) -> tuple[dict[str, Any], Mapping[str, Any]]:
    from scipy import io

    wanted = (*_NAMES, "conditions", "condition_names", "train_trials", "valid_trials", "bin_width_ms", "run")
    file = io.loadmat(path, variable_names=wanted)
    arrays = {name: _three_axes(file[name]).T for name in _NAMES if name in file}
    if "conditions" in file:
        arrays["conditions"] = file["conditions"].ravel()
    if "condition_names" in file:
        names = ["".join(name) for name in file["condition_names"].ravel()]
        arrays["condition_names"] = np.array(names, object)
    for split in ("train", "valid"):
        arrays[split] = file[f"{split}_trials"].ravel().astype(np.int64) - 1
    run = file["run"][0, 0]
    about = {name: run[name].item() for name in ("output_distribution", "held_in_neurons", "encoded_bins")}
    return arrays, {**about, "bin_width_ms": file["bin_width_ms"].item()}


def _three_axes(values: NDArray[Any]) -> NDArray[Any]:
    """MATLAB drops last axes of length 1."""
    return values.reshape(values.shape + (1,) * (3 - values.ndim))


def _inferred(arrays: Mapping[str, Any], about: Mapping[str, Any]) -> Inferred:
    counts = str(about["output_distribution"]) == "Poisson"
    width = float(about["bin_width_ms"])
    scale = np.float32(1000.0 / width if counts else 1.0)
    true_rates = arrays.get("true_rates")
    conditions, names = arrays.get("conditions"), arrays.get("condition_names")
    return Inferred(
        spikes=arrays["spikes"],
        rates=arrays["rates"] * scale,
        rates_std=arrays["rates_std"] * scale,
        true_rates=None if true_rates is None else true_rates * scale,
        factors=arrays["factors"],
        inputs=arrays["inferred_inputs"],
        input_means=arrays["co_means"],
        input_stds=arrays["co_stds"],
        conditions=None if conditions is None else np.asarray(conditions, np.int64).ravel(),
        condition_names=None if names is None else tuple(names),
        train=np.asarray(arrays["train"], np.int64),
        valid=np.asarray(arrays["valid"], np.int64),
        held_in_neurons=int(about["held_in_neurons"]),
        encoded_bins=int(about["encoded_bins"]),
        bin_width_ms=width,
        counts=counts,
    )
