"""Which axis of a three-dimensional array is trials and which is neurons.

Time is the middle axis in both layouts, so the question is only whether the array has to be turned round
(all axes reversed). A recording read the wrong way round trains without complaint and means nothing,
therefore nothing is guessed silently. In this order:

1. `data.layout`, where the user set it; a length in the file that cannot be then is an error.
2. The convention: MATLAB files hold neurons x time x trials, Python's hold trials x time x neurons.
3. Hard evidence against the convention (something with one entry per trial fits only the other axis) refuses.
4. Where nothing in the file says which axis is which, the counts themselves are asked: neurons differ in
   rate several-fold, trials and bins much less. Where another axis varies far more than the one the
   convention calls neurons, it refuses. Evidence for trials leaves time and neurons to be told apart so.
5. Else the convention stands, and the sentence says what confirmed it, or that nothing did.

Pure: arrays and sentences in, a decision or a refusal out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from lfads_worker.data.containers import Array, sizes
from lfads_worker.errors import DataError

Layout = Literal["NeuronsTimeTrials", "TrialsTimeNeurons"]
Asked = Literal["Auto", "NeuronsTimeTrials", "TrialsTimeNeurons"]

TRIALS_AXIS: dict[Layout, int] = {"NeuronsTimeTrials": 2, "TrialsTimeNeurons": 0}
IN_WORDS: dict[Layout, str] = {
    "NeuronsTimeTrials": "neurons x time x trials",
    "TrialsTimeNeurons": "trials x time x neurons",
}
ORDINALS = ("first", "middle", "last")

# How much more an axis must vary than the neurons' one to be taken for neurons itself. Relative variances:
# neurons are near 0.3 to 1.5 in cortex, trials 0.01 to 0.05, bins around a movement up to 0.2.
SUSPICIOUS_RATIO = 4.0
SUSPICIOUS_FLOOR = 0.1
# How rarely chance alone may look like a spread: five standard deviations, one-sided.
CHANCE = 3e-7
# Counts in a slice, on average, from which the dispersion index follows its chi-square law well enough.
FEWEST_COUNTS = 10


@dataclass(frozen=True)
class Evidence:
    """What speaks for an axis being trials.

    Attributes:
      sentence: what it is.
      fits: the outer axes (0, 2) that could be trials.
      tells_time: it says also which of the other axes is time.
    """

    sentence: str
    fits: frozenset[int]
    tells_time: bool = False


@dataclass(frozen=True)
class Orientation:
    """A decision, why, and whether anything but the convention speaks for it."""

    layout: Layout
    reason: str
    confirmed: bool

    def turn(self, array: Array) -> Array:
        """[trials, time, neurons or features] from an array of the file."""
        return array.transpose(2, 1, 0) if self.layout == "NeuronsTimeTrials" else array


def length_evidence(name: str, length: int, shape: tuple[int, ...]) -> Evidence:
    """What a list with one entry per trial says about an array's axes."""
    return Evidence(f"{name} has {length} values", frozenset(a for a in (0, 2) if shape[a] == length))


def pair_evidence(
    first: str, a: Array, second: str, b: Array, differ_in: Literal["trials", "neurons"] = "trials"
) -> Evidence:
    """What two parts of one recording say, which may differ in size along one axis only.

    Args:
      first: name of the first part.
      a: the first part.
      second: name of the second part.
      b: the second part.
      differ_in: the axis that may differ: other trials of the same neurons, or other neurons.

    Raises:
      DataError: if they differ along more than one outer axis, or in time.
    """
    for name, array in ((first, a), (second, b)):
        require_three_axes(name, array)
    same = tuple(i for i in range(3) if a.shape[i] == b.shape[i])
    unequal = frozenset(axis for axis in (0, 2) if set(same) >= {0, 1, 2} - {axis})
    fits = unequal if differ_in == "trials" else frozenset(2 - axis for axis in unequal)
    sentence = f"{first} is {sizes(a.shape)} and {second} is {sizes(b.shape)}"
    alike = "the same bins and neurons" if differ_in == "trials" else "the same trials and bins"
    if not fits:
        raise DataError(f"{second}: {alike} as in {first} are wanted, {sentence}; cut both alike")
    return Evidence(sentence, fits)


def require_three_axes(name: str, array: Array) -> None:
    if array.ndim == 3:
        return
    alone = "; a single trial has an axis of length 1 too, in MATLAB a cell: spikes = {spikes}"
    raise DataError(
        f"{name}: three axes are wanted (data.layout NeuronsTimeTrials or TrialsTimeNeurons), "
        f"{sizes(array.shape)} was found; cut the recording into equally long trials and stack them"
        + (alone if array.ndim == 2 else "")
    )


def decide(
    name: str,
    array: Array,
    asked: Asked,
    convention: Layout,
    kind: str,
    evidence: Sequence[Evidence] = (),
) -> Orientation:
    """The layout of `array`, by the rules at the top of this module.

    Args:
      name: the array's name in the file.
      array: three axes, as the file's convention shows them.
      asked: `data.layout`.
      convention: the layout that this kind of file usually has.
      kind: the kind of file, for the sentence.
      evidence: what else in the file has one entry per trial.

    Raises:
      DataError: when the axes stay open or the evidence speaks against the layout.
    """
    require_three_axes(name, array)
    found = f"{name} is {sizes(array.shape)}"
    for item in evidence:
        if not item.fits:
            raise DataError(
                f"{name}: one entry per trial is wanted, {item.sentence} and {found}; "
                "save both for the same trials, or rename the one that means something else"
            )
    if asked != "Auto":
        return _as_asked(name, found, asked, evidence)
    axis = TRIALS_AXIS[convention]
    against = [item.sentence for item in evidence if axis not in item.fits]
    if against:
        raise DataError(
            f"{name}: {IN_WORDS[convention]} is wanted in {kind}, {found} but {against[0]}, "
            f"which makes the {ORDINALS[2 - axis]} axis trials; set data.layout to say which it is"
        )
    by_convention = f"{IN_WORDS[convention]}, the convention of {kind}"
    decisive = [item for item in evidence if item.fits == {axis}]
    confirmed = f"{by_convention}; confirmed: "
    if any(item.tells_time for item in decisive):
        return Orientation(convention, confirmed + decisive[0].sentence, True)
    plain, certain = spreads(array)
    neurons_axis = 2 - axis
    suspect = max([1] if decisive else [1, axis], key=lambda other: certain[other])
    if certain[suspect] > SUSPICIOUS_RATIO * plain[neurons_axis] + SUSPICIOUS_FLOOR:
        raise _refused(name, array, convention, kind, suspect)
    if decisive:
        return Orientation(convention, confirmed + decisive[0].sentence, True)
    if certain[neurons_axis] > SUSPICIOUS_RATIO * max(plain[1], plain[axis]) + SUSPICIOUS_FLOOR:
        return Orientation(convention, confirmed + "only that axis varies in rate like neurons do", True)
    return Orientation(convention, f"{by_convention}; nothing in the file confirms it", False)


def _as_asked(name: str, found: str, asked: Layout, evidence: Sequence[Evidence]) -> Orientation:
    for item in evidence:
        if TRIALS_AXIS[asked] not in item.fits:
            raise DataError(
                f"data.layout: {asked} is wanted, {found} but {item.sentence}, which makes the "
                f"{ORDINALS[2 - TRIALS_AXIS[asked]]} axis of {name} trials; correct data.layout or the file"
            )
    return Orientation(asked, f"{IN_WORDS[asked]}, as data.layout says", True)


def _refused(name: str, array: Array, convention: Layout, kind: str, suspect: int) -> DataError:
    advice = (
        "bring time to the middle axis, or set data.layout if it is there"
        if suspect == 1
        else "set data.layout to say which it is"
    )
    return DataError(
        f"{name}: {IN_WORDS[convention]} is wanted in {kind}, {name} is {sizes(array.shape)} and its "
        f"{ORDINALS[suspect]} axis varies in rate like neurons do, the "
        f"{ORDINALS[2 - TRIALS_AXIS[convention]]} hardly; {advice}"
    )


def spreads(counts: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How much the summed counts differ along each axis, beyond Poisson noise.

    Returns:
      [axes] relative variance, and [axes] the part of it that chance alone hardly makes (the dispersion
      index of a homogeneous Poisson process follows a chi-square law). Both 0 where the array is empty,
      silent or has negative values, the second also where there are too few counts to tell.
    """
    plain, certain = np.zeros(3), np.zeros(3)
    for axis in range(3):
        totals = _totals(counts, axis)
        mean = totals.mean() if totals.size > 1 else 0.0
        if not np.isfinite(mean) or mean <= 0 or totals.min() < 0:
            continue
        variance = totals.var(ddof=1)
        freedom = totals.size - 1
        chance = chdtri(freedom, CHANCE) / freedom
        plain[axis] = max(0.0, variance - mean) / mean**2
        if mean >= FEWEST_COUNTS:
            certain[axis] = max(0.0, variance - chance * mean) / mean**2
    return plain, certain


def _totals(counts: Array, axis: int) -> NDArray[np.float64]:
    others: tuple[Any, ...] = tuple(i for i in range(3) if i != axis)
    with np.errstate(invalid="ignore"):  # infinite values are refused later, in a better sentence
        totals: NDArray[np.float64] = counts.sum(axis=others, dtype=np.float64)
    return totals
