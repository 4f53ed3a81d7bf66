"""One look for every file format: named variables, read when asked for.

A `Container` says what a file holds and reads a variable by name; MATLAB's structs and cells become `Struct`
and `Cell`. It does not know what a variable means (that is `layouts` and `single`), only in which order
its axes are: as MATLAB shows them, or as Python does.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfads_worker.errors import DataError

Array = NDArray[Any]

LISTED = 12  # names shown in a message; a MATLAB workspace can hold hundreds


@dataclass(frozen=True, eq=False)
class Struct:
    """A MATLAB struct array in MATLAB's element order; a scalar struct has one element."""

    elements: "tuple[Mapping[str, Value], ...]"


@dataclass(frozen=True, eq=False)
class Cell:
    """A MATLAB cell array in MATLAB's element order."""

    items: "tuple[Value, ...]"


@dataclass(frozen=True)
class Opaque:
    """Something that only the program that wrote it can read: a MATLAB table, string or class."""

    kind: str


Value = Array | str | Struct | Cell | Opaque


@dataclass(frozen=True, eq=False)
class Container:
    """A file as named variables.

    Attributes:
      kind: what it is in a sentence, such as "a MATLAB file".
      matlab_axes: True when arrays come with the axes in the order MATLAB shows.
      listing: every variable's name and what it is, such as "61 x 400 x 210 uint8".
      read: reads one listed variable.
      attributes: scalars that the file carries beside its variables.
    """

    kind: str
    matlab_axes: bool
    listing: Mapping[str, str]
    read: Callable[[str], Value]
    attributes: Mapping[str, object] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.listing

    def array(self, name: str) -> Array:
        """A variable that has to be numbers."""
        return as_numbers(name, self.read(name))

    def scalar(self, *names: str) -> float | None:
        """The first of these variables or attributes that is there, as one number."""
        for name in names:
            found = self.read(name) if name in self else self.attributes.get(name)
            if found is not None:
                return one_number(name, found)
        return None

    def holds(self) -> str:
        """What the file holds, for a message."""
        if not self.listing:
            return "it holds nothing"
        shown = [f"{name} ({what})" for name, what in list(self.listing.items())[:LISTED]]
        more = len(self.listing) - len(shown)
        return "it holds " + ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def as_numbers(name: str, value: Value) -> Array:
    """The value as an array of real numbers, or a refusal."""
    if isinstance(value, Struct | Cell | str | Opaque) or value.dtype.kind not in "biuf":
        raise DataError(
            f"{name}: an array of numbers is wanted, {describe(value)} was found; save it as a numeric array"
        )
    return value


def describe(value: Value) -> str:
    """What a value is, in a word or two and its sizes."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, Struct):
        return f"a struct array of {len(value.elements)}"
    if isinstance(value, Cell):
        return f"a cell array of {len(value.items)}"
    if isinstance(value, Opaque):
        return f"a MATLAB object ({value.kind})"
    return f"{sizes(value.shape)} {dtype_word(value.dtype)}"


def sizes(shape: tuple[int, ...]) -> str:
    """A shape the way MATLAB prints it."""
    return " x ".join(str(size) for size in shape) if shape else "one value,"


def dtype_word(dtype: np.dtype[Any]) -> str:
    words = {"U": "text", "S": "text", "O": "objects", "c": "complex numbers", "V": "records"}
    return words.get(dtype.kind, dtype.name)


def one_number(name: str, found: object) -> float:
    """A scalar however it was saved: 1 x 1, attribute, or plain number."""
    try:
        array = np.asarray(found)
        if array.size != 1:
            raise ValueError(array.shape)
        return float(array.reshape(())[()])
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: one number is wanted, something else was found; save a scalar") from error
