"""Inferred inputs: what the model says reached the recorded area from outside, trial by trial."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lfads_worker.report.examples import example_conditions
from lfads_worker.report.figures.style import (
    INFERRED,
    Drawn,
    condition_colours,
    condition_legend,
    new_figure,
    styled,
)
from lfads_worker.report.folder import FinishedRun
from lfads_worker.report.inferred import Inferred

SHOWN = 4


def draw(run: FinishedRun) -> Drawn | None:
    """A row an input: all trials as an image, and averages. None for a model without controller."""
    inferred = run.inferred
    total = inferred.inputs.shape[2]
    if total == 0:
        return None
    # The inputs that vary most; their numbers have no meaning of their own.
    shown = np.sort(np.argsort(-np.nanvar(inferred.inputs, axis=(0, 1)), kind="stable")[:SHOWN])
    order = _order(inferred)
    largest = float(np.nanquantile(np.abs(inferred.inputs[:, :, shown]), 0.99)) or 1.0
    with styled():
        figure = new_figure(0.9 + 1.9 * len(shown))
        axes = figure.subplots(len(shown), 2, squeeze=False, sharex=True, width_ratios=[1.15, 1])
        duration = inferred.spikes.shape[1] * inferred.bin_width_ms
        for (image_ax, line_ax), i in zip(axes, shown, strict=True):
            image = image_ax.imshow(
                inferred.inputs[order, :, i],
                aspect="auto",
                cmap="PuOr_r",
                vmin=-largest,
                vmax=largest,
                extent=(0, duration, inferred.trials, 0),
            )
            image_ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5, min_n_ticks=1))
            image_ax.set_ylabel(f"input {i + 1}\ntrial{_sorted(inferred)}")
            _averages(line_ax, inferred, inferred.inputs[:, :, i])
            line_ax.set_ylabel(f"input {i + 1} (a.u.)")
        for ax in axes[-1]:
            ax.set_xlabel("time (ms)")
        axes[0, 0].set_xlim(0, duration)
        figure.colorbar(image, ax=axes[:, 0], aspect=30, label="inferred input (a.u.)")
        condition_legend(figure, axes[0, 1])
    return Drawn(figure, _caption(inferred, len(shown)))


def _caption(inferred: Inferred, shown: int) -> str:
    total = inferred.inputs.shape[2]
    which = f"The {shown} inputs that vary most, of {total}" if shown < total else "All inferred inputs"
    averages = (
        "averages over the trials of a condition"
        if inferred.conditions is not None
        else "the average over all trials, with one standard deviation over trials"
    )
    sign = "Size and sign of an input are arbitrary: the network could flip or scale it and compensate."
    return f"{which}. Left: all trials{_sorted(inferred)}; right: {averages}. {sign}"


def _order(inferred: Inferred) -> NDArray[np.int64]:
    if inferred.conditions is None:
        return np.arange(inferred.trials)
    return np.argsort(inferred.conditions, kind="stable")


def _sorted(inferred: Inferred) -> str:
    return "" if inferred.conditions is None else ", sorted by condition"


def _averages(ax: Axes, inferred: Inferred, values: NDArray[np.float32]) -> None:
    ax.axhline(0, color="#bbbbbb", lw=0.8, zorder=0)
    if inferred.conditions is None:
        mean, spread = values.mean(0), values.std(0)
        ax.fill_between(inferred.time_ms, mean - spread, mean + spread, color=INFERRED, alpha=0.22, lw=0)
        ax.plot(inferred.time_ms, mean, color=INFERRED)
        return
    shown = example_conditions(inferred.conditions)
    for condition, colour in zip(shown, condition_colours(len(shown)), strict=True):
        average = values[inferred.conditions == condition].mean(0)
        ax.plot(inferred.time_ms, average, color=colour, label=inferred.condition_name(condition))
