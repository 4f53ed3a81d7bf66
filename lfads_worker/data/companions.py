"""What may lie beside the spikes: conditions, true rates, external inputs, bin width, trial numbers."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lfads_worker.data.containers import Array, Cell, Container, Value, one_number, sizes
from lfads_worker.data.orientation import Asked, Orientation
from lfads_worker.data.recording import (
    BIN_WIDTH_NAMES,
    Conditions,
    Split,
    conditions_of,
    missing_external_inputs,
    per_bin,
    whole_numbers,
)
from lfads_worker.data.stacking import three_axes
from lfads_worker.errors import DataError

CONDITION_NAMES = ("condition", "conditions")
RATES_NAMES = ("truth", "rates")


def conditions(neighbours: Container) -> tuple[Mapping[str, Conditions], list[str]]:
    """The trials' conditions under their name in the file (at most one entry), and what was left aside."""
    notes: list[str] = []
    for name in CONDITION_NAMES:
        if name not in neighbours:
            continue
        values = _one_per_trial(neighbours.read(name))
        if values is None or values.dtype.kind not in "USbiuf":
            notes.append(
                f"{name} is not one number or word per trial and was left aside; save a vector of numbers, "
                "or a cell array of words"
            )
        elif values.dtype.kind == "f" and not np.all(np.isfinite(values)):
            notes.append(f"{name} has NaN or infinite values and was left aside; give every trial a number")
        else:
            return {name: conditions_of(values)}, notes
    return {}, notes


def true_rates(
    neighbours: Container, shape: tuple[int, ...], orientation: Orientation, layout: Asked
) -> tuple[Array | None, list[str]]:
    """[trials, time, neurons] expected count per bin, and how it was found or why it was left aside.

    Args:
      neighbours: what lies beside the spikes.
      shape: the spikes' shape as the file has it.
      orientation: how to turn the rates.
      layout: `data.layout`.
    """
    for name in RATES_NAMES:
        if name not in neighbours:
            continue
        value = neighbours.read(name)
        if name == "rates" and isinstance(value, np.ndarray) and value.shape not in (shape, shape[::-1]):
            return None, [
                f"{name} has another shape than the spikes ({sizes(value.shape)}) and was left aside"
            ]
        rates = three_axes(name, value, layout)
        if rates.shape != shape:
            raise DataError(
                f"{name}: the shape of the spikes, {sizes(shape)}, is wanted, {sizes(rates.shape)} "
                f"was found; save {name} with the same axes and bins, or under another name"
            )
        return per_bin(name, orientation.turn(rates), neighbours.scalar("conversion_factor"))
    return None, []


def external_inputs(
    neighbours: Container, asked: str | None, orientation: Orientation, layout: Asked
) -> Array | None:
    """[trials, time, features] of the variable that `data.externalInputs` names."""
    if asked is None:
        return None
    if asked not in neighbours:
        raise missing_external_inputs(asked, neighbours)
    return orientation.turn(three_axes(asked, neighbours.read(asked), layout))


def bin_width(neighbours: Container) -> float | None:
    """Milliseconds, from a variable or an attribute."""
    for name in BIN_WIDTH_NAMES:
        value: object = neighbours.read(name) if name in neighbours else neighbours.attributes.get(name)
        if (
            isinstance(value, Cell) and value.items
        ):  # a column of a struct array: the first trial speaks for all
            value = value.items[0]
        if value is not None:
            return one_number(name, value)
    return None


def trial_numbers(neighbours: Container) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """`train_inds` and `valid_inds` where the file has both."""
    if "train_inds" not in neighbours or "valid_inds" not in neighbours:
        return None
    train, valid = (whole_numbers(key, neighbours.read(key)) for key in ("train_inds", "valid_inds"))
    return train, valid


def split(numbers: tuple[NDArray[np.int64], NDArray[np.int64]], trials: int) -> Split:
    """The file's own split; numbers may count from 0 or from 1, and must name every trial once."""
    together = np.sort(np.concatenate(numbers))
    for first in (0, 1):
        if np.array_equal(together, np.arange(first, first + trials)):
            train, valid = (np.sort(values) - first for values in numbers)
            return Split(train, valid, f"train_inds and valid_inds in the file, counted from {first}")
    raise DataError(
        f"train_inds, valid_inds: each of {trials} trials once is wanted (numbers from 0 or 1), "
        f"{len(together)} numbers from {together.min(initial=0)} to {together.max(initial=0)} were found; "
        "correct or remove them"
    )


def _one_per_trial(value: Value) -> Array | None:
    """One entry per trial as a vector; None when it is something else."""
    if isinstance(value, Cell):
        if all(isinstance(item, str) for item in value.items):
            return np.array([str(item) for item in value.items])
        if not all(isinstance(item, np.ndarray) and item.size == 1 for item in value.items):
            return None
        return np.array([np.asarray(item).reshape(())[()] for item in value.items])
    if not isinstance(value, np.ndarray) or value.size != max(value.shape, default=0):
        return None
    return value.reshape(-1)
