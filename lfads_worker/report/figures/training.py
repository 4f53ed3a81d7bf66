"""How the population learned: score of every generation, likelihoods and loss terms of every epoch."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.legend import Legend
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lfads_worker.report.figures.style import (
    HELD_OUT,
    INFERRED,
    INK,
    OBSERVED,
    OTHERS,
    WINNER,
    Drawn,
    count_axis,
    new_figure,
    robust_limits,
    styled,
    thin_lines,
)
from lfads_worker.report.folder import FinishedRun
from lfads_worker.report.tables import History

Array = NDArray[np.float64]

NLL = "negative log likelihood\n(nats per bin and neuron)"


def draw(run: FinishedRun) -> Drawn:
    """Four panels: score, likelihoods, loss, and the two information terms."""
    history = run.history
    with styled():
        figure = new_figure(6.4, between_rows=0.05)
        axes = figure.subplots(2, 2)
        _scores(axes[0, 0], history)
        _likelihoods(axes[0, 1], history)
        _loss(axes[1, 0], history)
        _information(axes[1, 1], history)
        for ax in axes.flat[1:]:
            _shade_ramps(ax, history)
            _mark_generations(ax, history)
    return Drawn(figure, _caption(history))


def _caption(history: History) -> str:
    diverged = int(np.isnan(history.scores).sum())
    crosses = " A cross is a member that diverged." if diverged else ""
    return (
        "Lower is better for score, likelihood and loss. Top left, the score that selects members: each dot "
        "is one member at the end of a generation; a triangle is one that lies above those shown."
        f"{crosses} The other panels follow the best member, and the members it descends from, through all "
        "epochs, with a mark above where each generation begins; grey lines are all members, and a jump in "
        "one is where it copied a better member. The shaded epochs are those in which the weights of the "
        "information and L2 terms are raised to their full value. Training likelihood and loss are measured "
        "with dropout switched on: they can lie above validation, and they jump where a new generation "
        "begins with other dropout rates or weights of the loss terms."
    )


def _scores(ax: Axes, history: History) -> None:
    generations = np.arange(history.generations)
    best_of_each = _best_of_each(history.scores)
    # The first generation lies high and would leave no room, all but its best, which may be the best of all.
    crowd = history.scores[1:] if history.generations > 2 else history.scores
    low, high = robust_limits([crowd, best_of_each], 0.95) or (0.0, 1.0)
    high = max(high, float(np.nanmax(best_of_each[np.isfinite(best_of_each)], initial=low)))
    _dots(ax, history.scores, high)
    ax.plot(generations, best_of_each, color=INFERRED, marker="o", ms=3, label="best of the generation")
    generation, member = history.best
    ax.plot(
        generation,
        history.scores[generation, member],
        marker="*",
        ms=13,
        color=WINNER,
        mec="white",
        ls="none",
        label=f"chosen: member {member}, generation {generation}",
        zorder=5,
    )
    room = 0.04 * (high - low)  # for half a star
    ax.set_ylim(low - room, high + room)
    ax.set_xlim(-0.5, history.generations - 0.5)
    count_axis(ax, "generation")
    ax.set_ylabel("score: smoothed validation\n" + NLL)
    legend = _legend_above(ax)
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1.0)  # a single dot, where many of them make the grey


def _dots(ax: Axes, scores: Array, high: float) -> None:
    """All members; those above the axis sit on its upper edge as triangles, the diverged as crosses."""
    generations, members = scores.shape
    x = np.repeat(np.arange(generations), members).astype(float)
    # Members side by side, so that equal scores do not hide each other.
    x += np.tile(np.linspace(-0.22, 0.22, members) if members > 1 else [0.0], generations)
    y = scores.ravel()
    size, alpha = (14, 0.75) if scores.size <= 200 else (7, 0.5)
    inside, above, gone = y <= high, y > high, np.isnan(y)
    ax.scatter(x[inside], y[inside], s=size, color=OTHERS, alpha=alpha, lw=0, label="a member")
    ax.scatter(x[above], np.full(above.sum(), high), s=size, marker="^", color=OTHERS, alpha=alpha, lw=0)
    if gone.any():
        ax.scatter(x[gone], np.full(gone.sum(), high), s=22, marker="x", color=WINNER, lw=1, label="diverged")


def _likelihoods(ax: Axes, history: History) -> None:
    x = history.epoch.astype(float)
    train, valid = history.along_lineage("train_nll"), history.along_lineage("valid_nll")
    unseen = history.along_lineage("valid_nll_held_out")
    thin_lines(ax, history.curves["valid_nll"], x)
    ax.plot(x[: len(train)], train, color=OBSERVED, lw=_width(x), label="training")
    ax.plot(x[: len(valid)], valid, color=INFERRED, lw=_width(x), label="validation")
    if np.isfinite(unseen).any():
        ax.plot(x[: len(unseen)], unseen, color=HELD_OUT, lw=_width(x), label="validation, held out")
    _chosen(ax, x, valid)
    _epochs(ax, history, [train, valid, unseen])
    ax.set_ylabel(NLL)
    if np.isfinite(unseen).any():
        _legend_above(ax)  # that curve usually lies highest
    else:
        ax.legend(loc="upper right")


def _loss(ax: Axes, history: History) -> None:
    x = history.epoch.astype(float)
    loss = history.along_lineage("train_loss")
    thin_lines(ax, history.curves["train_loss"], x)
    ax.plot(x[: len(loss)], loss, color=WINNER, lw=_width(x), label="the winner's lineage")
    _chosen(ax, x, loss)
    _epochs(ax, history, [loss])
    ax.set_ylabel("training loss, all terms\n(scaled as in run.yaml)")
    ax.legend(loc="upper right")


def _information(ax: Axes, history: History) -> None:
    x = history.epoch.astype(float)
    terms = {
        "initial condition": ("kl_initial_condition_nats", INFERRED, "-"),
        "inferred inputs": ("kl_inferred_inputs_nats", OBSERVED, "--"),
    }
    shown = []
    for label, (column, colour, line_style) in terms.items():
        curve = history.along_lineage(column)
        if label == "inferred inputs" and not np.nan_to_num(curve).any():
            continue  # a model without controller has none
        ax.plot(x[: len(curve)], curve, color=colour, ls=line_style, label=label)
        shown.append(curve)
    _epochs(ax, history, shown)
    ax.set_ylim(bottom=0)
    ax.set_ylabel("information about a trial: KL\ndivergence to the prior (nats)")
    if np.isfinite(shown[0]).any():
        _legend_above(ax)
    else:
        ax.set_yticks([])
        words = "not written by the version of\nautolfads that trained this run"
        ax.text(0.5, 0.5, words, transform=ax.transAxes, ha="center", va="center", color=INK)


def _epochs(ax: Axes, history: History, curves: list[Array]) -> None:
    ax.set_xlim(0, history.epoch[-1] + 0.5)
    # The first epochs fall so steeply that they would leave no room for what follows.
    limits = robust_limits(curves, 0.92)
    if limits:
        ax.set_ylim(*limits)
    count_axis(ax, "epoch")


def _width(x: Array) -> float:
    """Of a line that changes from epoch to epoch: thinner where many lie side by side."""
    return 1.4 if len(x) <= 400 else 0.9


def _chosen(ax: Axes, x: Array, curve: Array) -> None:
    ax.plot(x[len(curve) - 1], curve[-1], "*", ms=12, color=WINNER, mec="white", zorder=5, clip_on=False)


def _legend_above(ax: Axes) -> Legend:
    """A legend at the top that hides nothing, for the axis goes on that far."""
    legend = ax.legend(loc="upper right")
    low, high = ax.get_ylim()
    share = 0.09 * len(legend.get_texts())  # of the axis; a line of type takes about 0.085
    ax.set_ylim(low, low + (high - low) / (1 - share))
    return legend


def _shade_ramps(ax: Axes, history: History) -> None:
    ramps = np.minimum(history.curves["kl_ramp"][:, 0], history.curves["l2_ramp"][:, 0])
    rising = history.epoch[ramps < 1]
    if rising.size:
        ax.axvspan(0, float(rising[-1]) + 0.5, color=INK, alpha=0.06, lw=0, zorder=0)


def _mark_generations(ax: Axes, history: History) -> None:
    """A second axis, on top: where each generation begins, with as many numbers as there is room for."""
    begins = history.epoch[np.flatnonzero(np.diff(history.generation, prepend=-1))] - 0.5
    numbers = MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]).tick_values(0, len(begins) - 1)
    numbered = [int(number) for number in numbers if number in range(len(begins))]
    top = ax.secondary_xaxis("top")
    top.set_xticks(begins[numbered], [str(number) for number in numbered])
    top.set_xticks(begins, minor=True)
    top.set_xlabel("generation")


def _best_of_each(scores: Array) -> Array:
    """[generations]; NaN where all members diverged."""
    known = np.where(np.isnan(scores), np.inf, scores).min(1)
    return np.where(np.isfinite(known), known, np.nan)
