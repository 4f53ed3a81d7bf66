"""Every searched hyperparameter over generations: all members' lines, and the line that led to the winner."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from numpy.typing import NDArray

from autolfads_spec.search_space import SearchDimension
from lfads_worker.report.figures.style import OTHERS, WINNER, Drawn, count_axis, new_figure, styled
from lfads_worker.report.folder import FinishedRun
from lfads_worker.report.tables import History
from lfads_worker.report.words import HYPERPARAMETERS

# What is longer than the axis it labels.
_LABELS = {
    "l2_ic_encoder": "L2 weight, encoder of the\ninitial condition",
    "l2_ci_encoder": "L2 weight, encoder of the\ncontroller's input",
}
_COLUMNS = 3


def draw(run: FinishedRun) -> Drawn | None:
    """A panel a searched hyperparameter; None where nothing was searched."""
    searched, history = run.run.spec.population.search_space, run.history
    if not searched:
        return None
    columns = min(_COLUMNS, len(searched))
    rows = math.ceil(len(searched) / columns)
    with styled():
        figure = new_figure(0.45 + 2.05 * rows)
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True)
        for ax, dimension in zip(axes.flat, searched, strict=False):
            _panel(ax, dimension, history)
        for ax in axes.flat[len(searched) :]:
            ax.set_visible(False)
        for i, ax in enumerate(axes.flat[: len(searched)]):
            if i + columns >= len(searched):
                count_axis(ax, "generation")
                ax.tick_params(labelbottom=True)
        figure.align_ylabels()
        handles, labels = axes.flat[0].get_legend_handles_labels()
        legend = figure.legend(handles, labels, loc="outside upper center", ncols=3, scatterpoints=1)
        dot = legend.legend_handles[0]
        if isinstance(dot, PathCollection):  # a single one must be seen, where many of them make the grey
            dot.set_alpha(1.0)
            dot.set_sizes([14.0])
    return Drawn(figure, _caption(run, {dimension.attribute for dimension in searched}))


def _caption(run: FinishedRun, searched: set[str]) -> str:
    generation, member = run.history.best
    fixed = [
        f"{HYPERPARAMETERS[name]} {values[generation, member]:g}"
        for name, values in run.history.values.items()
        if name not in searched
    ]
    rest = f" Not searched: {'; '.join(fixed)}." if fixed else ""
    unlimited = [
        HYPERPARAMETERS[d.attribute]
        for d in run.run.spec.population.search_space
        if d.min is not None and not d.enforce_limits
    ]
    free = f", which exploring may leave: {', '.join(unlimited)}" if unlimited else ""
    return (
        "Each grey line leads from a member to the member that went on with its weights in the next "
        "generation; where a line forks, a better member was copied and its values were changed. The "
        "coloured line is the winner's lineage: the schedule of values that the best model was trained with. "
        f"Dashed lines are the limits of the search{free}.{rest}"
    )


def _panel(ax: Axes, dimension: SearchDimension, history: History) -> None:
    values = history.values[dimension.attribute]
    logarithmic = dimension.distribution == "LogUniform"
    ax.set_yscale("log" if logarithmic else "linear")
    lines = _family_lines(values, history.parents)
    alpha = float(np.clip(90 / max(len(lines), 1), 0.3, 0.8))
    ax.add_collection(LineCollection(list(lines), colors=OTHERS, linewidths=0.8, alpha=alpha))
    dots = np.arange(history.generations).repeat(history.members)
    size = 9 if values.size <= 400 else 4
    ax.scatter(dots, values.ravel(), s=size, color=OTHERS, alpha=alpha, lw=0, label="a member")
    line = history.lineage
    winner = values[np.arange(len(line)), line]
    ax.plot(
        np.arange(len(line)),
        winner,
        color=WINNER,
        lw=2,
        marker="o",
        ms=3.5 if len(line) <= 25 else 0,
        label="the winner's lineage",
        zorder=4,
    )
    ax.plot(len(line) - 1, winner[-1], "*", ms=13, color=WINNER, mec="white", label="chosen", zorder=5)
    _limits(ax, dimension, values)
    ax.set_xlim(-0.4, history.generations - 0.6)
    ax.set_ylabel(_LABELS.get(dimension.attribute, HYPERPARAMETERS[dimension.attribute]))


def _family_lines(values: NDArray[np.float64], parents: NDArray[np.int64]) -> NDArray[np.float64]:
    """[steps, 2, (generation, value)] from each member's parent to itself."""
    generations, members = values.shape
    child = np.arange(1, generations).repeat(members)
    before = values[child - 1, parents[1:].ravel()]
    starts = np.column_stack([child - 1.0, before])
    ends = np.column_stack([child.astype(float), values[1:].ravel()])
    return np.stack([starts, ends], axis=1)


def _limits(ax: Axes, dimension: SearchDimension, values: NDArray[np.float64]) -> None:
    """The axis shows the whole range of the search, and values outside of it where they are allowed."""
    if dimension.min is None or dimension.max is None:
        ax.margins(y=0.1)
        return
    for limit in (dimension.min, dimension.max):
        ax.axhline(limit, color=OTHERS, lw=0.9, ls=(0, (4, 3)), zorder=0)
    low, high = min(dimension.min, values.min()), max(dimension.max, values.max())
    if dimension.distribution == "LogUniform":
        ax.set_ylim(low / (high / low) ** 0.06, high * (high / low) ** 0.06)
    else:
        ax.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
