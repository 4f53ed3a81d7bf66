"""From what a file holds to what a model trains on: rebinned, split, held out, checked.

Decisions: counts and true rates are summed over a new bin, external inputs (and Gaussian observations) are
averaged, since they are levels and not amounts; bins that do not fill a last new bin are dropped, with a
note; a split that the file brings is used instead of `data.validation`.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lfads_worker.data.containers import Array
from lfads_worker.data.recording import Recording, Split
from lfads_worker.data.screening import screen_external_inputs, screen_rates, screen_spikes
from lfads_worker.data.spikes import SpikeData
from lfads_worker.errors import DataError

if TYPE_CHECKING:
    from autolfads_spec.data import DataSpec, ValidationSplit

FEWEST_BINS = 2  # the controller needs a bin before and a bin after
FEWEST_TRAINING_TRIALS = 2  # one trial has no variability between trials to learn
WHOLE_TOLERANCE = 1e-6  # of a bin; widths in milliseconds are rounded decimals


def prepare(recording: Recording, data: "DataSpec", output_distribution: str, fingerprint: str) -> SpikeData:
    """A recording to train on, as run.yaml wants it, or a refusal."""
    split = recording.split or split_trials(len(recording.spikes), data.validation)
    prepared = _prepare(recording, data, output_distribution, fingerprint, split)
    _require_trials(split)
    return prepared


def prepare_new_trials(
    recording: Recording, data: "DataSpec", output_distribution: str, fingerprint: str
) -> SpikeData:
    """Trials that nothing is trained on, however few; all count as validation unless the file says else."""
    numbers = np.arange(len(recording.spikes), dtype=np.int64)
    split = recording.split or Split(numbers[:0], numbers, "none: nothing was trained on these trials")
    return _prepare(recording, data, output_distribution, fingerprint, split)


def _prepare(
    recording: Recording, data: "DataSpec", output_distribution: str, fingerprint: str, split: Split
) -> SpikeData:
    counts = output_distribution == "Poisson"
    screen_spikes(recording.name, recording.spikes, counts)
    width, factor = bin_width(recording.bin_width_ms, data)
    notes = list(recording.notes)
    bins = recording.spikes.shape[1]
    if bins % factor:
        notes.append(
            f"the last {bins % factor} of {bins} bins do not fill a bin of {width:g} ms and were dropped"
        )
    spikes = rebin(recording.spikes, factor, mean=not counts)
    trials, time, neurons = spikes.shape
    if time < FEWEST_BINS:
        raise DataError(
            f"data: trials of {FEWEST_BINS} bins or more are wanted, {time} of {width:g} ms found, from "
            f"{bins} of {width / factor:g} ms in the file; check that width and the order of the axes, use "
            "longer trials, or a smaller data.rebinMs"
        )
    held_in = neurons - _held_out(recording, data, neurons)
    encoded = time - _forward(recording, data, time, factor)
    if encoded < FEWEST_BINS:
        raise DataError(
            f"data: trials of {FEWEST_BINS} encoded bins or more are wanted, {encoded} of {width:g} ms "
            "found; use longer trials, or a smaller data.rebinMs or data.forwardBins"
        )
    return SpikeData(
        spikes=spikes,
        train=split.train,
        valid=split.valid,
        held_in_neurons=held_in,
        encoded_bins=encoded,
        bin_width_ms=width,
        external_inputs=_external_inputs(recording, factor, trials, time),
        true_rates=_true_rates(recording, factor, counts),
        conditions=recording.conditions.numbers if recording.conditions else None,
        condition_names=recording.conditions.names if recording.conditions else None,
        fingerprint=fingerprint,
        source=data.uri,
        orientation=recording.orientation.reason,
        orientation_confirmed=recording.orientation.confirmed,
        split=split.sentence,
        notes=tuple(notes),
    )


def bin_width(in_file: float | None, data: "DataSpec") -> tuple[float, int]:
    """Width of the new bins in milliseconds, and how many of the file's bins make one.

    Raises:
      DataError: if the width is unknown, contradictory, or the new one no whole multiple of it.
    """
    width = data.bin_width_ms if data.bin_width_ms is not None else in_file
    if width is None:
        raise DataError(
            "data.binWidthMs: the width of a bin is wanted, "
            "the file does not say it (binWidthMs); set data.binWidthMs"
        )
    if in_file is not None and not 0 < in_file < np.inf:
        raise DataError(
            f"data.binWidthMs: a width above 0 ms is wanted, the file says {in_file:g}; correct it there"
        )
    if in_file is not None and not np.isclose(width, in_file, rtol=WHOLE_TOLERANCE):
        raise DataError(
            f"data.binWidthMs: {width:g} ms is given, the file says {in_file:g} ms; "
            "remove data.binWidthMs or correct it"
        )
    if data.rebin_ms is None:
        return float(width), 1
    factor = round(data.rebin_ms / width)
    if factor < 1 or abs(data.rebin_ms / width - factor) > WHOLE_TOLERANCE:
        nearest = max(1, factor) * width
        raise DataError(
            f"data.rebinMs: a whole multiple of the bins of {width:g} ms is wanted, "
            f"{data.rebin_ms:g} was found; set it to {nearest:g}, for example"
        )
    return factor * float(width), factor


def rebin(values: Array, factor: int, mean: bool = False) -> NDArray[np.float32]:
    """[trials, time // factor, features] sums (or means) over `factor` bins; leftover bins are dropped."""
    trials, bins, features = values.shape
    whole = bins // factor
    parts = values[:, : whole * factor].reshape(trials, whole, factor, features)
    # In float64 (counts: exact) and only then to float32; summing uint8 as it is would overflow.
    joined = parts.mean(axis=2, dtype=np.float64) if mean else parts.sum(axis=2, dtype=np.float64)
    result: NDArray[np.float32] = joined.astype(np.float32)
    return result


def split_trials(trials: int, validation: "ValidationSplit") -> Split:
    """Trials 0, n, 2n, … for validation, or a fraction of them drawn from the seed; the others train."""
    numbers = np.arange(trials, dtype=np.int64)
    if validation.fraction is None:
        nth = validation.every_nth or 5
        is_valid = numbers % nth == 0
        sentence = f"trials 0, {nth}, {2 * nth}, … for validation (data.validation.everyNth: {nth})"
    else:
        # At least one trial, and never all: a fraction of 0.01 of 40 trials would be none.
        count = min(max(1, round(validation.fraction * trials)), trials - 1)
        drawn = np.random.default_rng(validation.seed).permutation(trials)[:count]
        is_valid = np.isin(numbers, drawn)
        share = f"{validation.fraction:g} of the trials for validation"
        sentence = f"{share}, drawn from seed {validation.seed} (data.validation)"
    return Split(numbers[~is_valid], numbers[is_valid], sentence)


def _require_trials(split: Split) -> None:
    if len(split.train) < FEWEST_TRAINING_TRIALS or len(split.valid) < 1:
        raise DataError(
            f"data: at least {FEWEST_TRAINING_TRIALS} training trials and 1 for validation are wanted, "
            f"{len(split.train)} and {len(split.valid)} found; give more trials or change data.validation"
        )


def _held_out(recording: Recording, data: "DataSpec", neurons: int) -> int:
    held_out = _agree("data.heldOutNeurons", recording.held_out_neurons, data.held_out_neurons)
    if held_out >= neurons:
        raise DataError(
            f"data.heldOutNeurons: fewer than the {neurons} neurons are wanted, {held_out} were found; "
            "leave some for the encoders"
        )
    return held_out


def _forward(recording: Recording, data: "DataSpec", time: int, factor: int) -> int:
    in_file = recording.forward_bins
    if in_file:
        encoded = recording.spikes.shape[1] - in_file
        if encoded % factor:
            raise DataError(
                f"data.rebinMs: new bins that end where the file's forward bins begin are wanted, "
                f"{encoded} encoded bins do not divide by {factor}; choose another data.rebinMs"
            )
        in_file = time - encoded // factor
    forward = _agree("data.forwardBins", in_file, data.forward_bins)
    if forward >= time:
        raise DataError(
            f"data.forwardBins: fewer than the {time} bins of a trial are wanted, {forward} were found; "
            "leave some for the encoders"
        )
    return forward


def _agree(field: str, in_file: int | None, asked: int) -> int:
    """The file's own number, run.yaml's number, or the same from both; 0 in run.yaml is its default."""
    if in_file and asked and in_file != asked:
        raise DataError(
            f"{field}: {asked} is given, the shapes in the file say {in_file}; "
            f"remove {field} or export the file anew"
        )
    return in_file or asked


def _external_inputs(recording: Recording, factor: int, trials: int, time: int) -> NDArray[np.float32]:
    if recording.external_inputs is None:
        return np.zeros((trials, time, 0), np.float32)
    screen_external_inputs(recording.external_inputs, trials, recording.spikes.shape[1])
    return rebin(recording.external_inputs, factor, mean=True)


def _true_rates(recording: Recording, factor: int, counts: bool) -> NDArray[np.float32] | None:
    if recording.true_rates is None:
        return None
    if counts:
        screen_rates(recording.true_rates)
    return rebin(recording.true_rates, factor, mean=not counts)
