"""TensorBoard's event files: the training curves of every member, one point an epoch.

The same numbers give the same bytes: no clock is read. An epoch counts as a second of TensorBoard's own time,
so that its horizontal axes "step", "relative" and "wall" all mean epochs.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import RecordWriter

from lfads_worker.report.tables import History
from lfads_worker.results.files import atomic_write
from lfads_worker.results.finished import NAMES
from lfads_worker.results.output import Output

# Columns of the training logs → tags; the part before the slash groups them in TensorBoard.
TAGS = {
    "smoothed_valid_nll": "likelihood/score",
    "valid_nll": "likelihood/valid_nll",
    "valid_nll_held_out": "likelihood/valid_nll_held_out",
    "train_nll": "likelihood/train_nll",
    "train_loss": "loss/train_loss",
    "l2": "loss/l2",
    "kl_initial_condition_nats": "information/kl_initial_condition_nats",
    "kl_inferred_inputs_nats": "information/kl_inferred_inputs_nats",
    "gradient_norm": "optimizer/gradient_norm",
    "kl_ramp": "ramps/kl",
    "l2_ramp": "ramps/l2",
    "generation": "population/generation",
    "parent": "population/parent",
}


def write_event_files(history: History, output: Output) -> list[str]:
    """Write one file a member: curves, hyperparameters, and in which generation an epoch lies; their names.

    A generation's boundary is the step in `population/generation`; `population/parent` tells whose weights
    it began with.
    """
    names = [NAMES.event_file(member) for member in range(history.members)]
    for member, name in enumerate(names):
        atomic_write(output.path(name), partial(_write, history, member))
    return names


def _events(history: History, member: int) -> Iterator[Event]:
    yield Event(wall_time=0.0, file_version="brain.Event:2")
    columns = {tag: history.curves[column][:, member] for column, tag in TAGS.items()}
    for name, values in history.values.items():
        columns[f"hyperparameters/{name}"] = values[history.generation, member]
    for row, epoch in enumerate(history.epoch):
        points = [
            Summary.Value(tag=tag, simple_value=values[row])
            for tag, values in columns.items()
            if np.isfinite(values[row])
        ]
        yield Event(wall_time=float(epoch), step=int(epoch), summary=Summary(value=points))


def _write(history: History, member: int, path: Path) -> None:
    writer = RecordWriter(str(path))
    for event in _events(history, member):
        writer.write(event.SerializeToString())
    writer.close()
