"""A look at a recording before anything is trained: numbers to recognise it by, and what to worry about.

`load_spikes` has already refused what cannot be trained on. This module describes what was accepted and warns
of what usually spoils a result. Neurons and trials are numbered from 0 here, as in the result files.
Imports numpy only.
"""

from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfads_worker.data.spikes import SpikeData

MANY_BINS = 100  # beyond, published implementations ran out of memory and learn slowly
FEW_TRAINING_TRIALS = 50
LOW_RATE = 0.5  # spikes/s: one spike in two seconds says little about a bin
HIGH_RATE = 500.0  # spikes/s: no neuron keeps this up; the bin width is probably wrong
HIGH_MEAN_RATE = 100.0  # spikes/s: nor does a population this
RATES_RATIO = 1.5  # true rates and counts should agree on average
SHOWN = 10  # neurons named in a sentence


@dataclass(frozen=True)
class DataReport:
    """What a recording looks like; plain values only, so that it goes into JSON as it is.

    Attributes:
      mean_rate: spikes/s of a neuron on average (values per bin for Gaussian observations).
      lowest_rate, highest_rate: the same of the quietest and the busiest neuron.
      silent_neurons: numbers from 0 of neurons without any spike.
      duplicate_neurons: groups of neurons with identical spike trains.
      memory_bytes: estimate for training; None where it was not asked for.
    """

    source: str
    fingerprint: str
    trials: int
    training_trials: int
    validation_trials: int
    bins: int
    encoded_bins: int
    bin_width_ms: float
    trial_ms: float
    neurons: int
    held_in_neurons: int
    external_inputs: int
    conditions: int
    has_true_rates: bool
    total_spikes: float
    mean_rate: float
    lowest_rate: float
    highest_rate: float
    maximum_count: float
    silent_neurons: list[int]
    duplicate_neurons: list[list[int]]
    orientation: str
    orientation_confirmed: bool
    split: str
    memory_bytes: int | None
    output_distribution: str
    notes: list[str]
    warnings: list[str]

    def rows(self) -> list[tuple[str, str]]:
        """The report as a short table of two columns."""
        counts = self.output_distribution == "Poisson"
        rate = f"{self.mean_rate:.2f} ({self.lowest_rate:.2f} to {self.highest_rate:.2f})"
        held_out, forward = self.neurons - self.held_in_neurons, self.bins - self.encoded_bins
        rows = [
            ("recording", self.source),
            ("axes", self.orientation),
            (
                "trials",
                f"{self.trials} ({self.training_trials} training, {self.validation_trials} validation)",
            ),
            ("split", self.split),
            ("bins", f"{self.bins} of {self.bin_width_ms:g} ms = {self.trial_ms:g} ms a trial"),
            ("forward bins", str(forward)),
            ("neurons", f"{self.neurons} ({self.held_in_neurons} held in, {held_out} held out)"),
            ("mean rate" if counts else "mean value", f"{rate} spikes/s" if counts else rate),
            ("silent neurons", _listed(self.silent_neurons)),
            ("duplicate neurons", _grouped(self.duplicate_neurons)),
            ("maximum count" if counts else "maximum value", f"{self.maximum_count:g} in a bin"),
            ("conditions", str(self.conditions) if self.conditions else "not in the file"),
            ("external inputs", str(self.external_inputs) if self.external_inputs else "none"),
            ("true rates", "in the file" if self.has_true_rates else "not in the file"),
        ]
        if self.memory_bytes is not None:
            rows.append(("memory", f"about {readable_bytes(self.memory_bytes)}"))
        return rows

    def to_json(self) -> dict[str, Any]:
        """Names and plain values, ready for `json.dump`."""
        return asdict(self)


def check(
    data: SpikeData,
    output_distribution: str = "Poisson",
    memory_bytes: int | None = None,
    available_bytes: int | None = None,
    cure: str = "lower training.batchSize",
) -> DataReport:
    """Describe a recording and warn of what may spoil the result.

    Args:
      data: a recording as `load_spikes` returns it.
      output_distribution: Poisson (counts) or Gaussian (values).
      memory_bytes: what training will need, from `memory.training_bytes` or `memory.of_run`.
      available_bytes: memory that there is; a warning when less than needed.
      cure: what helps then.
    """
    counts = output_distribution == "Poisson"
    per_neuron = data.spikes.mean(axis=(0, 1), dtype=np.float64)
    rates = per_neuron * 1000 / data.bin_width_ms if counts else per_neuron
    silent = [int(i) for i in np.flatnonzero(~data.spikes.any(axis=(0, 1)))]
    duplicates = duplicate_neurons(data.spikes)
    return DataReport(
        source=data.source,
        fingerprint=data.fingerprint,
        trials=data.trials,
        training_trials=len(data.train),
        validation_trials=len(data.valid),
        bins=data.time,
        encoded_bins=data.encoded_bins,
        bin_width_ms=data.bin_width_ms,
        trial_ms=data.time * data.bin_width_ms,
        neurons=data.neurons,
        held_in_neurons=data.held_in_neurons,
        external_inputs=data.n_features,
        conditions=0 if data.conditions is None else len(np.unique(data.conditions)),
        has_true_rates=data.true_rates is not None,
        total_spikes=float(data.spikes.sum(dtype=np.float64)),
        mean_rate=float(rates.mean()),
        lowest_rate=float(rates.min()),
        highest_rate=float(rates.max()),
        maximum_count=float(data.spikes.max()),
        silent_neurons=silent,
        duplicate_neurons=duplicates,
        orientation=data.orientation,
        orientation_confirmed=data.orientation_confirmed,
        split=data.split,
        memory_bytes=memory_bytes,
        output_distribution=output_distribution,
        notes=list(data.notes),
        warnings=[
            *_warn_of_neurons(rates, silent, duplicates, counts),
            *_warn_of_shape(data),
            *_warn_of_rates(data, counts),
            *_warn_of_memory(memory_bytes, available_bytes, cure),
        ],
    )


def duplicate_neurons(spikes: NDArray[np.float32]) -> list[list[int]]:
    """Groups of neurons whose spike trains are identical in every trial; silent ones do not count.

    Args:
      spikes: [trials, time, neurons].
    """
    groups: dict[bytes, list[int]] = defaultdict(list)
    for neuron in range(spikes.shape[2]):
        train = np.ascontiguousarray(spikes[:, :, neuron])
        if train.any():
            groups[train.tobytes()].append(neuron)
    return [group for group in groups.values() if len(group) > 1]


def readable_bytes(size: int) -> str:
    """Bytes as people say them: MB below a gigabyte, GB above."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _warn_of_neurons(
    rates: NDArray[np.float64], silent: list[int], duplicates: list[list[int]], counts: bool
) -> list[str]:
    warnings = []
    if silent:
        warnings.append(f"no spike at all from {_these(silent)}; remove silent neurons from the recording")
    if duplicates:
        warnings.append(
            f"identical spike trains: {_grouped(duplicates)}; keep one of each, or the model learns to copy"
        )
    quiet = [int(i) for i in np.flatnonzero((rates > 0) & (rates < LOW_RATE))]
    if counts and quiet:
        cure = (
            "check data.binWidthMs"
            if 2 * len(quiet) > len(rates)
            else "consider leaving out what is so quiet"
        )
        warnings.append(f"less than {LOW_RATE:g} spikes/s from {_these(quiet)}; {cure}")
    if counts and rates.max() > HIGH_RATE:
        warnings.append(f"a neuron fires {rates.max():.0f} spikes/s on average; check data.binWidthMs")
    elif counts and rates.mean() > HIGH_MEAN_RATE:
        warnings.append(f"neurons fire {rates.mean():.0f} spikes/s on average; check data.binWidthMs")
    return warnings


def _warn_of_shape(data: SpikeData) -> list[str]:
    warnings = []
    if not data.orientation_confirmed:
        warnings.append(
            f"the axes were taken as {data.orientation}; "
            "if that is wrong the result means nothing: set data.layout"
        )
    if data.time > MANY_BINS:
        warnings.append(
            f"{data.time} bins a trial: memory and time grow with bins and learning gets "
            f"harder beyond {MANY_BINS}; consider a larger data.rebinMs or shorter trials"
        )
    if len(data.train) < FEW_TRAINING_TRIALS:
        warnings.append(
            f"{len(data.train)} training trials are few (under {FEW_TRAINING_TRIALS}); expect overfitting, "
            "and look at the validation score"
        )
    return warnings


def _warn_of_rates(data: SpikeData, counts: bool) -> list[str]:
    if data.true_rates is None or not counts:
        return []
    truth, found = float(data.true_rates.mean(dtype=np.float64)), float(data.spikes.mean(dtype=np.float64))
    if truth <= 0 or not 1 / RATES_RATIO < truth / found < RATES_RATIO:
        return [
            f"true rates average {truth:.4g} a bin and counts {found:.4g}; if the rates are per second, "
            "save conversion_factor, or the scores against them mean nothing"
        ]
    return []


def _warn_of_memory(needed: int | None, available: int | None, cure: str) -> list[str]:
    if needed is None or available is None or needed <= available:
        return []
    return [f"training needs about {readable_bytes(needed)}, found {readable_bytes(available)} here; {cure}"]


def _these(neurons: list[int]) -> str:
    return f"{len(neurons)} neurons ({_numbers(neurons)})" if len(neurons) > 1 else f"neuron {neurons[0]}"


def _numbers(neurons: list[int]) -> str:
    more = f" and {len(neurons) - SHOWN} more" if len(neurons) > SHOWN else ""
    return ", ".join(str(neuron) for neuron in neurons[:SHOWN]) + more


def _listed(neurons: list[int]) -> str:
    return f"{len(neurons)}: {_numbers(neurons)}" if neurons else "none"


def _grouped(groups: list[list[int]]) -> str:
    shown = "; ".join(" = ".join(str(neuron) for neuron in group) for group in groups[:SHOWN])
    return (shown + (f" and {len(groups) - SHOWN} more" if len(groups) > SHOWN else "")) or "none"
