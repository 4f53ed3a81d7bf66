"""Single trials of single neurons: spikes, smoothed spikes, inferred rates, and true rates where known."""

from collections.abc import Iterator

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from lfads_worker.report.examples import example_neurons, example_trials
from lfads_worker.report.figures.style import (
    HELD_OUT,
    INFERRED,
    INK,
    OBSERVED,
    TRUTH,
    Drawn,
    new_figure,
    styled,
)
from lfads_worker.report.folder import FinishedRun
from lfads_worker.report.inferred import Array, Inferred
from lfads_worker.report.smoothing import kernel_sd_ms, smooth


def draw(run: FinishedRun) -> Drawn:
    """A row a neuron, a column a validation trial."""
    inferred = run.inferred
    neurons, trials = example_neurons(inferred), example_trials(inferred)
    sd_ms = kernel_sd_ms(inferred.spikes.shape[1], inferred.bin_width_ms)
    observed = inferred.observed[np.ix_(trials, range(inferred.spikes.shape[1]), neurons)]
    smoothed = smooth(observed, sd_ms / inferred.bin_width_ms)
    with styled():
        figure = new_figure(0.7 + 1.45 * len(neurons))
        axes = figure.subplots(len(neurons), len(trials), squeeze=False, sharex=True, sharey="row")
        for row, neuron in enumerate(neurons):
            top = _top(inferred, neuron, trials, smoothed[:, :, row])
            for column, trial in enumerate(trials):
                ax = axes[row, column]
                _panel(ax, inferred, trial, neuron, smoothed[column, :, row])
                _recorded(ax, inferred, trial, neuron, top)
            axes[row, 0].set_ylabel(f"neuron {neuron}{_kind(inferred, neuron)}\n({inferred.unit})")
        for ax, trial in zip(axes[0], trials, strict=True):
            ax.annotate(f"trial {trial}", (0.5, 1.02), xycoords="axes fraction", ha="center", va="bottom")
        for ax in axes[-1]:
            ax.set_xlabel("time (ms)")
        legend = dict(entry for ax in axes[:, 0] for entry in _legend(ax))
        figure.legend(legend.values(), legend.keys(), loc="outside upper center", ncols=len(legend))
    return Drawn(figure, _caption(inferred, sd_ms))


def _caption(inferred: Inferred, sd_ms: float) -> str:
    held_out = inferred.held_in_neurons < inferred.neurons
    sentences = {
        "Validation trials, which no member was trained on.": True,
        "The neurons are spread evenly from the most strongly modulated to the median one"
        f"{', half of them held out' if held_out else ''}.": inferred.neurons > 1,
        "The band is one standard deviation over samples of the posterior.": _has_band(inferred),
        f"Smoothed: a Gaussian of {sd_ms:g} ms standard deviation.": True,
        "Ticks below are the spikes, taller where a bin has more of them.": inferred.counts,
        "Held-out neurons were never shown to the model's encoders: their rates are predicted from the "
        "others.": held_out,
        "The first bins have no rates: the state at the start of a trial is inferred from them.": bool(
            np.isnan(inferred.rates[:, 0]).all()
        ),
        "Bins right of the dotted line were never shown either: they are forecast.": inferred.encoded_bins
        < inferred.spikes.shape[1],
    }
    return " ".join(sentence for sentence, applies in sentences.items() if applies)


def _has_band(inferred: Inferred) -> bool:
    return bool(np.nanmax(inferred.rates_std) > 0)


def _panel(ax: Axes, inferred: Inferred, trial: int, neuron: int, smoothed: Array) -> None:
    time, rates = inferred.time_ms, inferred.rates[trial, :, neuron]
    spread = inferred.rates_std[trial, :, neuron]
    held_out = neuron >= inferred.held_in_neurons
    colour, label = (HELD_OUT, "predicted rate, held out") if held_out else (INFERRED, "inferred rate")
    ax.plot(
        time, smoothed, color=OBSERVED, lw=1.3, label="smoothed spikes" if inferred.counts else "smoothed"
    )
    ax.fill_between(time, rates - spread, rates + spread, color=colour, alpha=0.22, lw=0)
    ax.plot(time, rates, color=colour, lw=1.8, label=label)
    if inferred.true_rates is not None:
        truth = inferred.true_rates[trial, :, neuron]
        ax.plot(time, truth, color=TRUTH, lw=1.2, ls=(0, (3, 1.5)), label="true rate")
    if inferred.encoded_bins < len(time):
        ax.axvline(inferred.encoded_bins * inferred.bin_width_ms, color=INK, lw=0.9, ls=":")
    ax.set_xlim(0, len(time) * inferred.bin_width_ms)


def _recorded(ax: Axes, inferred: Inferred, trial: int, neuron: int, top: float) -> None:
    """Spikes as ticks in a strip below zero; values of a Gaussian recording as dots where they are."""
    values = inferred.spikes[trial, :, neuron]
    if not inferred.counts:
        ax.plot(inferred.time_ms, values, ".", color=INK, ms=2.5, alpha=0.5, label="recorded")
        return
    largest = max(1.0, float(inferred.spikes[:, :, neuron].max()))
    strip = 0.2 * top
    fired = values > 0
    # A single spike stays visible beside a bin of many.
    heights = strip * (0.35 + 0.65 * values[fired] / largest)
    ax.vlines(inferred.time_ms[fired], -1.15 * strip, -1.15 * strip + heights, color=INK, lw=0.9)
    ax.plot([], [], "|", color=INK, ms=8, label="spikes")
    ax.set_ylim(-1.25 * strip, 1.05 * top)
    ax.set_yticks([tick for tick in ax.get_yticks() if 0 <= tick <= 1.05 * top])


def _top(inferred: Inferred, neuron: int, trials: list[int], smoothed: Array) -> float:
    shown = [smoothed, (inferred.rates + inferred.rates_std)[trials, :, neuron]]
    if inferred.true_rates is not None:
        shown.append(inferred.true_rates[trials, :, neuron])
    return max(float(np.nanmax(values)) for values in shown) or 1.0


def _legend(ax: Axes) -> Iterator[tuple[str, Artist]]:
    for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
        yield label, handle


def _kind(inferred: Inferred, neuron: int) -> str:
    return ", held out" if neuron >= inferred.held_in_neurons else ""
