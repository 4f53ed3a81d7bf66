"""The benchmark as a picture: member-steps per second by cohort size, and the peer's best layout as a line.

Points are medians over rounds; bars and the band reach from the lowest to the highest reading.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lfads_worker.bench.cells import Cell, best_peer
from lfads_worker.bench.contest import processes

_COLOURS = ("#9ecae1", "#08519c", "#3182bd", "#31a354")
_PEER_COLOUR = "#d95f02"


def draw(cells: Sequence[Cell], path: Path) -> None:
    """One panel a shape."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    shapes = list(dict.fromkeys(cell.shape for cell in cells))
    figure, axes = plt.subplots(
        1, len(shapes), figsize=(4.6 * len(shapes), 3.6), layout="constrained", squeeze=False
    )
    for axis, shape in zip(axes[0], shapes, strict=True):
        _panel(axis, shape, [cell for cell in cells if cell.shape == shape])
    axes[0][0].set_ylabel("member-steps per second")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _panel(axis: Any, shape: str, cells: Sequence[Cell]) -> None:
    ours = [cell for cell in cells if not cell.is_peer]
    layouts = sorted({(cell.program, cell.processes) for cell in ours})
    for colour, (program, count) in zip(_COLOURS, layouts, strict=False):
        line = [cell for cell in ours if (cell.program, cell.processes) == (program, count)]
        low = [cell.rate - min(cell.rates) for cell in line]
        high = [max(cell.rates) - cell.rate for cell in line]
        label = f"{program}, {processes(count)}"
        sizes = [cell.members for cell in line]
        rates = [cell.rate for cell in line]
        axis.errorbar(sizes, rates, (low, high), marker="o", capsize=3, color=colour, label=label)
    kinds = {cell.kind for cell in ours}
    peer = best_peer([cell for cell in cells if cell.kind in kinds])
    if peer is not None:
        layout = (peer.program, peer.processes)
        rates = [rate for cell in cells if (cell.program, cell.processes) == layout for rate in cell.rates]
        label = f"{peer.program}, {processes(peer.processes)}"
        axis.axhline(statistics.median(rates), color=_PEER_COLOUR, linestyle="--", label=label)
        axis.axhspan(min(rates), max(rates), color=_PEER_COLOUR, alpha=0.15, linewidth=0)
    axis.set_xscale("log", base=2)
    axis.set_xticks(sorted({cell.members for cell in ours}), sorted({cell.members for cell in ours}))
    axis.set_ylim(bottom=0)
    axis.set_xlabel("members a cohort")
    axis.set_title(shape)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8)
