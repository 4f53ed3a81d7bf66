"""What no recording may be: the arrays are looked at once, before rebinning can hide anything.

Everything here either passes in silence or raises a sentence with the number of trials concerned.
What is merely unwise (silent neurons, very long trials) is `check`'s.
"""

import numpy as np

from lfads_worker.data.containers import Array, sizes
from lfads_worker.errors import DataError


def screen_spikes(name: str, spikes: Array, counts: bool) -> None:
    """Refuse what cannot be trained on.

    Args:
      name: what the array is called in the file.
      spikes: [trials, time, neurons] as read.
      counts: True where Poisson observations are modelled, so that values must be whole and not negative.
    """
    trials, bins, neurons = spikes.shape
    if spikes.size == 0:
        raise DataError(
            f"{name}: spikes are wanted, an empty array ({trials} trials x {bins} "
            f"bins x {neurons} neurons) was found; export the recording once more"
        )
    screen_finite(name, spikes)
    if not counts:
        return
    _refuse(
        name,
        spikes < 0,
        "have negative counts",
        "give whole counts >= 0, or model.outputDistribution: Gaussian",
    )
    if spikes.dtype.kind == "f":
        _refuse(
            name,
            spikes != np.floor(spikes),
            "have fractional counts",
            "give whole counts (not smoothed or converted to rates), or model.outputDistribution: Gaussian",
        )
    if not spikes.any():
        raise DataError(
            f"{name}: spikes are wanted, all {trials} trials are silent; check the variable and the export"
        )


def screen_finite(name: str, values: Array) -> None:
    """Refuse NaN and infinite values; the first axis is trials."""
    if values.dtype.kind == "f":
        _refuse(
            name,
            ~np.isfinite(values),
            "have NaN or infinite values",
            "remove these trials, or cut all to one length",
        )


def screen_external_inputs(inputs: Array, trials: int, bins: int) -> None:
    """Refuse external inputs that do not go with the spikes."""
    if inputs.ndim != 3 or inputs.shape[:2] != (trials, bins):
        raise DataError(
            f"data.externalInputs: {trials} trials x {bins} bins x features is wanted, "
            f"{sizes(inputs.shape)} was found; "
            "save the inputs in the bins and with the axes of the spikes"
        )
    screen_finite("data.externalInputs", inputs)


def screen_rates(rates: Array) -> None:
    """Refuse true rates that are none."""
    screen_finite("true rates", rates)
    _refuse(
        "true rates", rates < 0, "have negative rates", "give the expected count per bin, or leave them out"
    )


def _refuse(name: str, wrong: Array, what: str, advice: str) -> None:
    trials = np.flatnonzero(wrong.any(axis=(1, 2)))
    if trials.size:
        raise DataError(
            f"{name}: {trials.size} of {len(wrong)} trials {what} (the first is number {trials[0]}, from 0); "
            f"{advice}"
        )
