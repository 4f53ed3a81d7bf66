"""The values that population based training may change: [members] tensors, never constants of the graph."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

Tensor = Any


class Hyperparameters(NamedTuple):
    """[members] tensors. Changing them never recompiles a graph."""

    learning_rate: Tensor
    dropout_rate: Tensor
    coordinated_dropout_rate: Tensor
    l2_generator: Tensor
    l2_controller: Tensor
    l2_ic_encoder: Tensor
    l2_ci_encoder: Tensor
    kl_initial_condition: Tensor
    kl_inferred_inputs: Tensor


def stack_hyperparameters(values: Sequence[Mapping[str, float]], dtype: Any = tf.float32) -> Hyperparameters:
    """One mapping a member, all names present, to tensors [members]."""
    columns = {name: np.array([member[name] for member in values]) for name in Hyperparameters._fields}
    return Hyperparameters(**{name: tf.constant(column, dtype) for name, column in columns.items()})
