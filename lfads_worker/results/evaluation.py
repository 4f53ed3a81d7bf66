"""How good the inferred rates are: the numbers of `results.json`.

Three parts of a recording are judged apart, because they ask different things of a model: `held_in` (encoded
neurons and bins: how well it explains what it saw), `held_out` (neurons it never saw, in encoded bins:
co-smoothing) and `forward` (bins after the last it saw). Bins of the initial-condition segment have no rates
and are left out. When the true rates are known, so is the oracle: the bits per spike that they themselves
reach, which no model can exceed except by chance.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfads_worker.data.spikes import SpikeData
from lfads_worker.results.quantities import POISSON
from lfads_worker.training import metrics
from lfads_worker.training.averages import PosteriorAverages

# trials, bins, neurons
Part = tuple[NDArray[np.int64], slice, slice]


def evaluate(
    data: SpikeData, posterior: PosteriorAverages, output_distribution: str, first_bin: int
) -> dict[str, Any]:
    """Metrics of the posterior-averaged rates on train and validation trials.

    Args:
      data: the recording.
      posterior: what the best member infers.
      output_distribution: "Poisson" or "Gaussian"; only the first has bits per spike.
      first_bin: bins before it have no rates (`model.icSegmentBins`).

    Returns:
      `train` and `valid`, each with `held_in`, `held_out` and `forward` (None where the recording has no such
      part) and `true_rates` (None where they are not known).
    """
    return {
        split: {
            **{
                name: _judge(data, posterior, output_distribution, part)
                for name, part in _parts(data, trials, first_bin).items()
            },
            "true_rates": _compare_with_truth(data, posterior, trials, first_bin),
        }
        for split, trials in (("train", data.train), ("valid", data.valid))
    }


def _parts(data: SpikeData, trials: NDArray[np.int64], first_bin: int) -> dict[str, Part]:
    seen_bins = slice(first_bin, data.encoded_bins)
    return {
        "held_in": (trials, seen_bins, slice(0, data.held_in_neurons)),
        "held_out": (trials, seen_bins, slice(data.held_in_neurons, data.neurons)),
        "forward": (trials, slice(data.encoded_bins, data.time), slice(0, data.neurons)),
    }


def _judge(
    data: SpikeData, posterior: PosteriorAverages, output_distribution: str, part: Part
) -> dict[str, float | None] | None:
    spikes = _cut(data.spikes, part)
    if spikes.size == 0:
        return None
    rates = _cut(posterior.rates, part)
    if output_distribution != POISSON:
        return {"mean_squared_error": float(np.nanmean((rates - spikes) ** 2))}
    bits = metrics.bits_per_spike(rates, spikes)
    judged: dict[str, float | None] = {"nll": _mean_nll(rates, spikes), "bits_per_spike": bits}
    if data.true_rates is None:
        return judged
    oracle = metrics.bits_per_spike(_cut(data.true_rates, part), spikes)
    share = bits / oracle if oracle > 0 else None
    return {**judged, "oracle_bits_per_spike": oracle, "share_of_oracle": share}


def _compare_with_truth(
    data: SpikeData, posterior: PosteriorAverages, trials: NDArray[np.int64], first_bin: int
) -> dict[str, Any] | None:
    if data.true_rates is None or len(trials) == 0:
        return None
    part = (trials, slice(first_bin, data.time), slice(0, data.neurons))
    truth, inferred = _cut(data.true_rates, part), _cut(posterior.rates, part)
    per_neuron = metrics.r2_per_neuron(truth, inferred)
    return {
        "r2_mean": metrics.mean_r2(truth, inferred),
        "r2_per_neuron": per_neuron.tolist(),  # NaN: a neuron whose true rate never changes
        "pooled_squared_pearson": metrics.pooled_squared_pearson(truth, inferred),
    }


def _cut(values: NDArray[np.float32], part: Part) -> NDArray[np.float32]:
    trials, bins, neurons = part
    return values[trials, bins, neurons]


def _mean_nll(rates: NDArray[np.float32], spikes: NDArray[np.float32]) -> float:
    """Nats per bin and neuron, log-factorial included."""
    return float(np.nanmean(metrics.poisson_nll(rates, spikes)))
