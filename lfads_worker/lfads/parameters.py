"""The flat weight vector of a member, and the names of its parts.

A cohort keeps weights, and both Adam moments, as one [members, parameters]
array each. Optimiser, gradient clip, exploit and checkpoint then are a few
operations on whole rows. This module alone knows where a name lies in a row.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lfads_worker.lfads.initializers import Initializer

Tensor = Any


class Parameter(NamedTuple):
    """One named array of a member's weights."""

    name: str
    shape: tuple[int, ...]
    initializer: Initializer

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class ParameterLayout:
    """Where each named array lies in a member's flat weight vector."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.parameters = tuple(parameters)
        self.size = sum(parameter.size for parameter in self.parameters)

    def split(self, flat: Tensor) -> dict[str, Tensor]:
        """Name to [members, *shape] views of a [members, parameters] tensor."""
        parts = tf.split(flat, [parameter.size for parameter in self.parameters], axis=1)
        members = flat.shape[0]
        return {
            parameter.name: tf.reshape(part, (members, *parameter.shape))
            for parameter, part in zip(self.parameters, parts, strict=True)
        }

    def join(self, named: Mapping[str, Tensor]) -> Tensor:
        """The inverse of `split`."""
        rows = [tf.reshape(named[p.name], (named[p.name].shape[0], p.size)) for p in self.parameters]
        return tf.concat(rows, axis=1)

    def split_row(self, row: NDArray[np.floating[Any]]) -> dict[str, NDArray[np.floating[Any]]]:
        """Name to array for one member's flat [parameters] row: what is written to disk."""
        edges = np.cumsum([parameter.size for parameter in self.parameters])[:-1]
        parts = np.split(row, edges)
        return {p.name: part.reshape(p.shape) for p, part in zip(self.parameters, parts, strict=True)}

    def initial(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """A fresh flat [parameters] row for one member."""
        rows = [p.initializer(rng, p.shape).reshape(-1) for p in self.parameters]
        return np.concatenate(rows).astype(np.float32)
