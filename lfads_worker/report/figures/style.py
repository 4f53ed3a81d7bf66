"""How all figures look: one width, one type size, and colours that colour-blind readers tell apart.

Figures are made without pyplot: no window, no global state, nothing left open.

References:
  Okabe and Ito 2008, Color Universal Design (palette).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

WIDTH = 9.2  # inches: the page shows it at 960 pixels, so that type is as large as that of the text
DPI = 170
CHARACTERS = 150  # of a legend, side by side
LONGEST_NAME = 30

INFERRED = "#0072B2"  # blue
OBSERVED = "#E69F00"  # orange
HELD_OUT = "#009E73"  # green
WINNER = "#D55E00"  # vermilion
TRUTH = "#000000"
OTHERS = "#8f8f8f"
INK = "#262626"

_STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.labelsize": 9.0,
    "axes.titlesize": 9.0,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.linewidth": 0.8,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-4, 5),
    "lines.linewidth": 1.4,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
}


class Drawn(NamedTuple):
    """A figure with the sentences that say what is in it."""

    figure: Figure
    caption: str


@contextmanager
def styled() -> Iterator[None]:
    """Inside, whatever is drawn looks like the rest of the report, whatever the user's own settings."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def new_figure(height: float, between_rows: float = 0.02) -> Figure:
    """An empty figure of the report's width; its layout keeps labels apart, and rows by a share of theirs."""
    figure = Figure(figsize=(WIDTH, height), layout=ConstrainedLayoutEngine(hspace=between_rows))
    FigureCanvasAgg(figure)
    return figure


def condition_colours(count: int) -> NDArray[np.float64]:
    """[count, 4] colours in the order of the conditions, dark to light; also told apart in grey."""
    return np.asarray(mpl.colormaps["viridis"](np.linspace(0.0, 0.9, count)))


def condition_legend(figure: Figure, ax: Axes) -> None:
    """Above the figure, the conditions whose curves `ax` has; in as few lines as their names allow."""
    handles, labels = ax.get_legend_handles_labels()
    if not labels:
        return
    shown = [label if len(label) <= LONGEST_NAME else f"{label[: LONGEST_NAME - 1]}…" for label in labels]
    columns = CHARACTERS // (max(len(label) for label in shown) + 8)  # a line and its gaps take about 8
    figure.legend(
        handles,
        shown,
        loc="outside upper center",
        ncols=min(len(shown), columns),
        title="condition",
        handlelength=1.5,
    )


def count_axis(ax: Axes, label: str) -> None:
    """The horizontal axis counts generations or epochs: whole numbers only."""
    ax.set_xlabel(label)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1, steps=[1, 2, 5, 10]))


def robust_limits(values: Sequence[NDArray[np.float64]], share: float = 0.97) -> tuple[float, float] | None:
    """Limits that show nearly all of some curves; the few largest values (first epochs) may be cut off.

    Returns:
      None where there is nothing finite.
    """
    joined = np.concatenate([np.ravel(v) for v in values])
    finite = joined[np.isfinite(joined)]
    if finite.size == 0:
        return None
    low, high = float(finite.min()), float(np.quantile(finite, share))
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def thin_lines(ax: Axes, curves: NDArray[np.float64], x: NDArray[np.float64]) -> None:
    """[points, members] one faint line a member; paler the more there are."""
    segments = [np.column_stack([x, curve]) for curve in curves.T]
    alpha = float(np.clip(3.0 / len(segments), 0.18, 0.6))
    ax.add_collection(LineCollection(segments, colors=OTHERS, linewidths=0.7, alpha=alpha, zorder=1))
