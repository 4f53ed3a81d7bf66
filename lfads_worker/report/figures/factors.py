"""Factor trajectories: where the population's state goes during a trial, along its principal components."""

from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lfads_worker.report import examples
from lfads_worker.report.components import Components, principal_components
from lfads_worker.report.examples import example_conditions, example_trials
from lfads_worker.report.figures.style import (
    INK,
    Drawn,
    condition_colours,
    condition_legend,
    new_figure,
    styled,
)
from lfads_worker.report.folder import FinishedRun
from lfads_worker.report.inferred import Inferred
from lfads_worker.report.words import counted, part_of

Array = NDArray[np.float64]

# Fewer conditions than elsewhere: trajectories cross each other.
CONDITIONS = 5
TRIALS_OF_A_CONDITION = 5
TRIALS_WITHOUT_CONDITIONS = 12


def draw(run: FinishedRun) -> Drawn:
    """Trajectories in the plane of the first components, and each component over time."""
    inferred = run.inferred
    components = principal_components(inferred.factors)
    count = components.projected.shape[2]
    planes = [(0, other) for other in range(1, count)]
    with styled():
        figure = new_figure(3.9)
        grid = figure.add_gridspec(count, len(planes) + 1, width_ratios=[*[1.0] * len(planes), 1.05])
        over_time = [figure.add_subplot(grid[0, -1])]
        over_time += [figure.add_subplot(grid[i, -1], sharex=over_time[0]) for i in range(1, count)]
        flat = [figure.add_subplot(grid[:, column]) for column in range(len(planes))]
        if inferred.conditions is not None:
            caption = _by_condition(figure, flat, over_time, planes, components, inferred)
        else:
            caption = _by_time(figure, flat, over_time, planes, components, inferred)
        for ax, (first, second) in zip(flat, planes, strict=True):
            ax.set_xlabel(_name(components, first))
            ax.set_ylabel(_name(components, second))
        for i, ax in enumerate(over_time):
            ax.set_ylabel(f"component {i + 1}\n(a.u.)")
            ax.set_xlim(0, inferred.spikes.shape[1] * inferred.bin_width_ms)
            ax.tick_params(labelbottom=i == count - 1)
        over_time[-1].set_xlabel("time (ms)")
    whole = float(components.shares.sum())
    return Drawn(
        figure,
        f"{caption} Components are the principal components of the "
        f"{counted(inferred.factors.shape[2], 'factor')}, in arbitrary units; those shown hold "
        f"{100 * whole:.0f} % of the variance." + (" Dots are where trials begin." if planes else ""),
    )


def _by_condition(
    figure: Figure,
    flat: list[Axes],
    over_time: list[Axes],
    planes: list[tuple[int, int]],
    components: Components,
    inferred: Inferred,
) -> str:
    assert inferred.conditions is not None
    total = len(np.unique(inferred.conditions))
    shown = example_conditions(inferred.conditions, total if total <= examples.CONDITIONS else CONDITIONS)
    colours = condition_colours(len(shown))
    for condition, colour in zip(shown, colours, strict=True):
        trials = components.projected[inferred.conditions == condition]
        average = trials.mean(0)
        for ax, (first, second) in zip(flat, planes, strict=True):
            for single in trials[:TRIALS_OF_A_CONDITION]:
                ax.plot(single[:, first], single[:, second], color=colour, lw=0.6, alpha=0.45)
            ax.plot(average[:, first], average[:, second], color=colour, lw=1.7)
            _start(ax, average, first, second, colour)
        for i, ax in enumerate(over_time):
            ax.plot(inferred.time_ms, average[:, i], color=colour, label=inferred.condition_name(condition))
    condition_legend(figure, over_time[0])
    return (
        f"Averages over the trials of {part_of(len(shown), total, 'condition')} (thick) and up to "
        f"{TRIALS_OF_A_CONDITION} single trials of each (thin)."
    )


def _by_time(
    figure: Figure,
    flat: list[Axes],
    over_time: list[Axes],
    planes: list[tuple[int, int]],
    components: Components,
    inferred: Inferred,
) -> str:
    trials = components.projected[example_trials(inferred, TRIALS_WITHOUT_CONDITIONS)]
    scale = Normalize(0, inferred.spikes.shape[1] * inferred.bin_width_ms)
    for ax, (first, second) in zip(flat, planes, strict=True):
        for trial in trials:
            points = trial[:, [first, second]]
            lines = LineCollection(list(_steps(points)), cmap="viridis", norm=scale, linewidths=1.1)
            lines.set_array(inferred.time_ms[1:])
            ax.add_collection(lines)
            _start(ax, trial, first, second, mpl.colormaps["viridis"](0.0))
        ax.autoscale_view()
    for i, ax in enumerate(over_time):
        ax.plot(inferred.time_ms, trials[:, :, i].T, color="#8f8f8f", lw=0.7)
        ax.plot(inferred.time_ms, components.projected[:, :, i].mean(0), color=INK, lw=2)
    if flat:
        mappable = mpl.cm.ScalarMappable(scale, "viridis")
        figure.colorbar(
            mappable, ax=flat, location="top", shrink=0.5, aspect=40, label="time in the trial (ms)"
        )
    return (
        f"{len(trials)} single validation trials, evenly spaced, coloured by time; on the right they are "
        "grey and the average over all trials is black."
    )


def _steps(points: Array) -> Iterator[Array]:
    """The pieces of a trajectory, one a bin."""
    for i in range(len(points) - 1):
        yield points[i : i + 2]


def _start(ax: Axes, trajectory: Array, first: int, second: int, colour: object) -> None:
    known = np.flatnonzero(np.isfinite(trajectory[:, first]))
    if known.size:
        x, y = trajectory[known[0], first], trajectory[known[0], second]
        ax.scatter([x], [y], s=22, color=[colour], edgecolor="white", lw=0.6, zorder=4)


def _name(components: Components, i: int) -> str:
    return f"component {i + 1} ({100 * components.shares[i]:.0f} % of variance)"
