"""Rates averaged over the trials of a condition: what the recording shows, and what the model found."""

from collections.abc import Mapping

import numpy as np

from lfads_worker.report.examples import example_conditions, example_neurons
from lfads_worker.report.figures.style import Drawn, condition_colours, condition_legend, new_figure, styled
from lfads_worker.report.folder import FinishedRun
from lfads_worker.report.inferred import Array
from lfads_worker.report.smoothing import kernel_sd_ms, smooth
from lfads_worker.report.words import part_of


def draw(run: FinishedRun) -> Drawn | None:
    """A row a neuron; columns: smoothed spikes, inferred, true. None where conditions are not known."""
    inferred = run.inferred
    if inferred.conditions is None:
        return None
    neurons, shown = example_neurons(inferred), example_conditions(inferred.conditions)
    sd_ms = kernel_sd_ms(inferred.spikes.shape[1], inferred.bin_width_ms)
    kinds: dict[str, Array] = {
        "smoothed spikes" if inferred.counts else "smoothed recording": smooth(
            inferred.observed[:, :, neurons], sd_ms / inferred.bin_width_ms
        ),
        "inferred rates": inferred.rates[:, :, neurons],
    }
    if inferred.true_rates is not None:
        kinds["true rates"] = inferred.true_rates[:, :, neurons]
    averages = {
        kind: [values[inferred.conditions == condition].mean(0) for condition in shown]
        for kind, values in kinds.items()
    }
    with styled():
        figure = new_figure(0.8 + 1.45 * len(neurons))
        axes = figure.subplots(len(neurons), len(kinds), squeeze=False, sharex=True, sharey="row")
        colours = condition_colours(len(shown))
        for column, (kind, curves) in enumerate(averages.items()):
            for row in range(len(neurons)):
                for condition, curve, colour in zip(shown, curves, colours, strict=True):
                    axes[row, column].plot(
                        inferred.time_ms,
                        curve[:, row],
                        color=colour,
                        label=inferred.condition_name(condition),
                    )
            axes[0, column].annotate(kind, (0.5, 1.03), xycoords="axes fraction", ha="center", va="bottom")
            axes[-1, column].set_xlabel("time (ms)")
        for row, neuron in enumerate(neurons):
            kind = ", held out" if neuron >= inferred.held_in_neurons else ""
            axes[row, 0].set_ylabel(f"neuron {neuron}{kind}\n({inferred.unit})")
            axes[row, 0].set_xlim(0, inferred.spikes.shape[1] * inferred.bin_width_ms)
            if inferred.counts:
                axes[row, 0].set_ylim(bottom=0)
        condition_legend(figure, axes[0, 0])
    return Drawn(figure, _caption(inferred.conditions, shown, averages, sd_ms))


def _caption(
    conditions: np.ndarray[tuple[int], np.dtype[np.int64]],
    shown: list[int],
    averages: Mapping[str, list[Array]],
    sd_ms: float,
) -> str:
    total = len(np.unique(conditions))
    trials = [int((conditions == condition).sum()) for condition in shown]
    few, many = min(trials), max(trials)
    which = part_of(len(shown), total, "condition")
    each = f"{few} to {many} trials" if few < many else f"{few} trials"
    truth = " True rates are those the recording was made from." if "true rates" in averages else ""
    return (
        f"The same neurons as above, averaged over trials: {which} of {each} each, training and validation "
        f"trials together. Spikes are smoothed with a Gaussian of {sd_ms:g} ms; inferred rates are averaged "
        f"as they are.{truth}"
    )
