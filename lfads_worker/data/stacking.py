"""Trials saved one by one (a MATLAB cell, or a column of a struct array) as one array with three axes."""

from collections.abc import Sequence

import numpy as np

from lfads_worker.data.containers import Array, Cell, Value, as_numbers, sizes
from lfads_worker.data.orientation import Asked, require_three_axes
from lfads_worker.errors import DataError


def three_axes(name: str, value: Value, layout: Asked) -> Array:
    """An array of a file that must have three axes, its trials stacked where they were saved one by one."""
    if isinstance(value, Cell):
        return stack(name, value.items, time_first=layout == "TrialsTimeNeurons")
    array = as_numbers(name, value)
    require_three_axes(name, array)
    return array


def stack(name: str, items: Sequence[Value], time_first: bool = False) -> Array:
    """Equally long trials as one array.

    Args:
      name: what they are called in the file.
      items: neurons x time each, or time x neurons where `time_first`.
      time_first: which of the two.

    Returns:
      neurons x time x trials, or trials x time x neurons where `time_first`: the layout that the file would
      have had as one array.
    """
    trials = [as_numbers(f"{name}, trial {i} (from 0)", item) for i, item in enumerate(items)]
    if not trials:
        raise DataError(
            f"{name}: a trial per cell is wanted, an empty cell array was found; save the trials in it"
        )
    for i, trial in enumerate(trials):
        if trial.ndim != 2:
            raise DataError(
                f"{name}, trial {i} (from 0): neurons x time is wanted, "
                f"{sizes(trial.shape)} was found; save a matrix"
            )
    neurons = {trial.shape[1 if time_first else 0] for trial in trials}
    bins = {trial.shape[0 if time_first else 1] for trial in trials}
    each = "time x neurons" if time_first else "neurons x time"
    values = [trial.size for trial in trials]
    if len(set(values)) > 1 and all(min(trial.shape) <= 1 for trial in trials):
        raise DataError(
            f"{name}: {each} in each trial is wanted, lists of {min(values)} to {max(values)} values were "
            "found; if they are spike times, count them in bins first (histcounts)"
        )
    if len(neurons) > 1:
        raise DataError(
            f"{name}: {each} with the same neurons in each trial is wanted, {min(neurons)} to {max(neurons)} "
            "neurons were found; if the other axis is neurons, set data.layout"
        )
    if len(bins) > 1:
        raise DataError(
            f"{name}: equally long trials are wanted, {min(bins)} to {max(bins)} bins were found; "
            "cut or align the trials to one length"
        )
    return np.stack(trials, axis=0 if time_first else 2)
