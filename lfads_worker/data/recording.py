"""What a file says about one recording, before anything of run.yaml but names and axes is applied to it.

The readers (`single` for one array, `layouts` for files that bring their own split) produce a `Recording`;
`preparation` rebins, splits and checks it. Both sides know only this type.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lfads_worker.data.containers import Array, Container, Value, as_numbers, sizes
from lfads_worker.data.orientation import Evidence, Layout, Orientation
from lfads_worker.errors import DataError

BIN_WIDTH_NAMES = ("binWidthMs", "bin_width_ms", "binSizeMs", "bin_size_ms")


@dataclass(frozen=True)
class Split:
    """Trial numbers for training and validation as the file has them, and a sentence saying so."""

    train: NDArray[np.int64]
    valid: NDArray[np.int64]
    sentence: str


class Conditions(NamedTuple):
    """Which condition each trial belongs to.

    Attributes:
      numbers: [trials] a whole number per condition.
      names: what the file calls condition 0, 1 and so on; None where the numbers are its own.
    """

    numbers: NDArray[np.int64]
    names: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Recording:
    """The content of a file in one shape.

    Attributes:
      name: what the spikes are called in the file, for messages.
      spikes: [trials, time, neurons] in the file's bins and type.
      orientation: how the axes were recognised.
      true_rates: [trials, time, neurons] expected count per bin of the file.
      external_inputs: [trials, time, features].
      conditions: of the trials.
      bin_width_ms: what the file says of it.
      split: the file's own split.
      held_out_neurons: what the file's shapes say: so many of the last neurons are never encoded.
      forward_bins: likewise for the last bins, in bins of the file.
      notes: what was left aside, as sentences.
    """

    name: str
    spikes: Array
    orientation: Orientation
    true_rates: Array | None = None
    external_inputs: Array | None = None
    conditions: Conditions | None = None
    bin_width_ms: float | None = None
    split: Split | None = None
    held_out_neurons: int | None = None
    forward_bins: int | None = None
    notes: tuple[str, ...] = ()

    def with_note(self, *notes: str) -> "Recording":
        return replace(self, notes=(*self.notes, *notes))


def convention_of(container: Container) -> Layout:
    return "NeuronsTimeTrials" if container.matlab_axes else "TrialsTimeNeurons"


def stated_layout(container: Container) -> tuple[Evidence, ...]:
    """The layout that a file of ours states about itself."""
    stated = container.attributes.get("layout")
    fits = {"TrialsTimeNeurons": 0, "NeuronsTimeTrials": 2}.get(str(stated))
    return () if fits is None else (Evidence(f"the file says {stated}", frozenset({fits}), tells_time=True),)


def whole_numbers(name: str, values: Value) -> NDArray[np.int64]:
    """A list of whole numbers, such as trial numbers, from any type and either shape of vector."""
    array = as_numbers(name, values)
    if array.size != max(array.shape, default=1):
        raise DataError(
            f"{name}: a list of whole numbers is wanted, {sizes(array.shape)} was found; save a vector"
        )
    flat = array.reshape(-1)
    if not np.all(np.isfinite(flat)) or np.any(flat != np.floor(flat)):
        raise DataError(f"{name}: whole numbers are wanted, fractions or NaN were found; save whole numbers")
    return flat.astype(np.int64)


def conditions_of(values: Array) -> Conditions:
    """Whole numbers as they are; words or fractions (angles, say) as their place among the sorted ones.

    Args:
      values: [trials], none of them NaN or infinite.
    """
    fractions = values.dtype.kind == "f" and np.any(values != np.floor(values))
    if values.dtype.kind not in "US" and not fractions:
        return Conditions(values.astype(np.int64))
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    found, numbers = np.unique(values, return_inverse=True)
    names = tuple(f"{name:g}" for name in found) if fractions else tuple(found.tolist())
    return Conditions(numbers.astype(np.int64), names)


def per_bin(name: str, rates: Array, conversion_factor: float | None) -> tuple[Array, list[str]]:
    """Expected counts per bin from stored rates, and what the user should know about it."""
    if conversion_factor is None:
        return rates, [f"{name} is taken as the expected count per bin: the file has no conversion_factor"]
    if conversion_factor <= 0:
        raise DataError(
            f"conversion_factor: a number above 0 is wanted, {conversion_factor:g} was found; "
            f"save {name} divided by the expected count per bin"
        )
    if conversion_factor == 1:
        return rates, []
    return rates / conversion_factor, [f"{name} was divided by conversion_factor ({conversion_factor:g})"]


def require_variables(container: Container, layout: str, keys: tuple[str, ...]) -> None:
    """Refuse a file that lacks arrays of its layout."""
    missing = [key for key in keys if key not in container]
    if missing:
        raise DataError(
            f"data.format: the {layout} layout needs {', '.join(missing)}, {container.holds()}; "
            "add them, or name one array in data.variable"
        )


def missing_external_inputs(asked: str, container: Container) -> DataError:
    return DataError(
        f"data.externalInputs: {asked} is wanted, {container.holds()}; name one of these or remove it"
    )
