"""What the rest of the worker knows of a recording: counts, the split, and what is held out.

A `SpikeData` is ready to train on: turned to [trials, time, neurons], rebinned, checked, split.
It knows no file format. How the axes were recognised and where the split came from travel with it as
sentences, because a recording read the wrong way round trains happily and means nothing.
Imports numpy only, so that drivers and tests may use it for free.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class SpikeData:
    """A recording, ready to train on.

    Attributes:
      spikes: [trials, time, neurons] counts per bin (Poisson) or values (Gaussian), after rebinning;
        held-in neurons first.
      train: [trials used for training] trial numbers from 0, ascending.
      valid: [trials used for validation] trial numbers from 0, ascending.
      held_in_neurons: how many neurons, from the first, the encoders see; the others are only predicted.
      encoded_bins: how many bins, from the first, the encoders see; the others are only predicted.
      bin_width_ms: width of a bin, after rebinning.
      external_inputs: [trials, time, features] known inputs to the generator; features may be 0.
      true_rates: [trials, time, neurons] expected count per bin, where the recording is synthetic.
      conditions: [trials] a whole number per condition.
      fingerprint: sha256 of the file, in hex.
      source: where the recording came from, as the user wrote it.
      orientation: how the axes were recognised, as a sentence.
      orientation_confirmed: False when only the convention of the file's format decided.
      split: where train and valid come from, as a sentence.
      notes: what was dropped or left unused on the way, as sentences.
      condition_names: what the file calls condition 0, 1 and so on; None where the numbers are its own.
    """

    spikes: NDArray[np.float32]
    train: NDArray[np.int64]
    valid: NDArray[np.int64]
    held_in_neurons: int
    encoded_bins: int
    bin_width_ms: float
    external_inputs: NDArray[np.float32]
    true_rates: NDArray[np.float32] | None
    conditions: NDArray[np.int64] | None
    fingerprint: str
    source: str
    orientation: str = "made in this program as trials x time x neurons"
    orientation_confirmed: bool = True
    split: str = "given"
    notes: tuple[str, ...] = ()
    condition_names: tuple[str, ...] | None = None

    @property
    def trials(self) -> int:
        return int(self.spikes.shape[0])

    @property
    def time(self) -> int:
        return int(self.spikes.shape[1])

    @property
    def neurons(self) -> int:
        return int(self.spikes.shape[2])

    @property
    def n_features(self) -> int:
        return int(self.external_inputs.shape[2])

    @property
    def held_out_neurons(self) -> int:
        return self.neurons - self.held_in_neurons

    @property
    def forward_bins(self) -> int:
        return self.time - self.encoded_bins
