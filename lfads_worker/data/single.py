"""A recording saved as one variable: an array, or a MATLAB struct or cell array with an entry per trial.

Beside it may lie `condition`, `truth` or `rates`, `binWidthMs`, `train_inds` and `valid_inds`;
in a MATLAB struct or an HDF5 group the neighbours of the spikes are looked at, not the top of the file.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from lfads_worker.data import companions
from lfads_worker.data.containers import Cell, Container, Struct, Value, describe
from lfads_worker.data.orientation import decide, length_evidence
from lfads_worker.data.recording import Recording, convention_of, stated_layout
from lfads_worker.data.stacking import three_axes
from lfads_worker.errors import DataError

if TYPE_CHECKING:
    from autolfads_spec.data import DataSpec

SPIKES_NAMES = ("spikes", "spike", "data")


def read_single(container: Container, data: "DataSpec") -> Recording:
    """The recording in the variable that `data.variable` names, or that has one of the usual names."""
    name = _choose(container, data.variable)
    value, neighbours = _look_up(container, name)
    if isinstance(value, Struct) and len(value.elements) == 1:  # a scalar struct that holds the recording
        neighbours = _fields(container, value.elements[0])
        name = _choose(neighbours, None, within=name)
        value = neighbours.read(name)
    if isinstance(value, Struct):
        value, neighbours = _columns(name, value, container, None)
    recording = _assemble(name, value, neighbours, data)
    if recording.bin_width_ms is not None:
        return recording
    return replace(recording, bin_width_ms=companions.bin_width(container))  # beside the struct, not in it


def _choose(container: Container, variable: str | None, within: str | None = None) -> str:
    if variable is not None:
        if variable in container or variable.split(".")[0] in container:
            return variable
        of_it = f" of {within}" if within else ""
        raise DataError(f"data.variable: {variable}{of_it} is wanted, {container.holds()}; name one of these")
    for name in SPIKES_NAMES:
        if name in container:
            return name
    place = within or container.kind
    raise DataError(
        f"data.variable: {', '.join(SPIKES_NAMES[:-1])} or {SPIKES_NAMES[-1]} is wanted in {place}, "
        f"{container.holds()}; name the variable with the spikes" + (f", as {within}.NAME" if within else "")
    )


def _look_up(container: Container, name: str) -> tuple[Value, Container]:
    """The variable and what lies beside it; dots lead into MATLAB structs, slashes into HDF5 groups.

    In a struct array with an element per trial the last name is that of the spikes' field.
    """
    if name in container:
        group, slash, _ = name.rpartition("/")
        return container.read(name), _group(container, group) if slash else container
    first, *rest = name.split(".")
    value, path = container.read(first), first
    neighbours = container
    for depth, field in enumerate(rest, start=1):
        if isinstance(value, Struct) and len(value.elements) > 1 and depth == len(rest):
            return _columns(path, value, container, field)
        if not isinstance(value, Struct) or len(value.elements) != 1:
            raise DataError(
                f"data.variable: {name} is wanted, {path} is {describe(value)}; name a variable of the file"
            )
        neighbours = _fields(container, value.elements[0])
        if field not in neighbours:
            raise DataError(
                f"data.variable: {name} is wanted, of {path} {neighbours.holds()}; name one of these"
            )
        value, path = value.elements[0][field], f"{path}.{field}"
    return value, neighbours


def _group(container: Container, group: str) -> Container:
    """The datasets of an HDF5 group as a container of their own; the file's attributes still hold."""
    prefix = f"{group}/"
    listing = {
        key.removeprefix(prefix): what for key, what in container.listing.items() if key.startswith(prefix)
    }
    return Container(
        container.kind,
        container.matlab_axes,
        listing,
        lambda name: container.read(prefix + name),
        container.attributes,
    )


def _fields(container: Container, fields: Mapping[str, Value]) -> Container:
    """A struct's fields as a container."""
    listing = {key: describe(value) for key, value in fields.items()}
    return Container(container.kind, container.matlab_axes, listing, fields.__getitem__)


def _columns(name: str, trials: Struct, container: Container, field: str | None) -> tuple[Value, Container]:
    """The spikes' column of a struct array with an element per trial, and all columns beside it.

    Args:
      name: of the struct array.
      trials: the struct array.
      container: the file.
      field: of the spikes, where `data.variable` names it.
    """
    if not trials.elements:
        raise DataError(
            f"{name}: an element per trial is wanted, an empty struct was found; save the trials in it"
        )
    columns: dict[str, Value] = {
        key: Cell(tuple(element[key] for element in trials.elements)) for key in trials.elements[0]
    }
    neighbours = _fields(container, columns)
    return columns[_choose(neighbours, field, within=name)], neighbours


def _assemble(name: str, value: Value, neighbours: Container, data: "DataSpec") -> Recording:
    array = three_axes(name, value, data.layout)
    numbers = companions.trial_numbers(neighbours)
    conditions, notes = companions.conditions(neighbours)
    evidence = [
        *(length_evidence(key, len(found.numbers), array.shape) for key, found in conditions.items()),
        *stated_layout(neighbours),
    ]
    if numbers is not None:
        total = sum(len(part) for part in numbers)
        evidence.append(length_evidence("train_inds with valid_inds", total, array.shape))
    orientation = decide(name, array, data.layout, convention_of(neighbours), neighbours.kind, evidence)
    true_rates, more_notes = companions.true_rates(neighbours, array.shape, orientation, data.layout)
    return Recording(
        name=name,
        spikes=orientation.turn(array),
        orientation=orientation,
        true_rates=true_rates,
        external_inputs=companions.external_inputs(
            neighbours, data.external_inputs, orientation, data.layout
        ),
        conditions=next(iter(conditions.values()), None),
        bin_width_ms=companions.bin_width(neighbours),
        split=companions.split(numbers, orientation.turn(array).shape[0]) if numbers else None,
        notes=(*notes, *more_notes),
    )
