"""What one trained member infers from a recording, without anything that trains.

The same program and the same random numbers as at the end of a run: applied to the recording of that run, it
gives the same bits on the same kind of device.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from autolfads_spec import RunSpec
from lfads_worker.data.spikes import SpikeData
from lfads_worker.lfads.network import LFADS, LossSettings
from lfads_worker.training.averages import PosteriorAverages
from lfads_worker.training.posterior import PosteriorProgram
from lfads_worker.training.program import Recording
from lfads_worker.training.trainer import architecture_of, limit_threads, posterior_keys


def infer(
    spec: RunSpec,
    data: SpikeData,
    weights: Mapping[str, NDArray[np.float32]],
    member: int,
    samples: int,
    threads: int | None = None,
    compiled: bool = True,
) -> PosteriorAverages:
    """Rates, factors and the rest for every trial.

    Args:
      spec: the run that the member was trained in.
      data: a recording of the same neurons, with as many bins a trial.
      weights: the member's, by name.
      member: its identity, which keys the samples.
      samples: posterior samples to average; 0 gives the posterior mean.
      threads: threads for one operation; None leaves TensorFlow's default.
      compiled: False runs the same graph without XLA; for tests.

    Raises:
      ValueError: if the weights are not those of this model.
    """
    if threads is not None:
        limit_threads(threads)
    model = LFADS(architecture_of(spec, data), LossSettings())
    recording = Recording(tf.constant(data.spikes), tf.constant(data.external_inputs), None)
    return PosteriorProgram(model, compiled).average(
        _flat(model, weights),
        recording,
        posterior_keys(spec, np.array([member])),
        samples,
        spec.training.batch_size,
    )


def _flat(model: LFADS, weights: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """[parameters] in the order of the model."""
    wanted = {parameter.name: parameter.shape for parameter in model.layout.parameters}
    found = {name: array.shape for name, array in weights.items()}
    if wanted != found:
        different = sorted(name for name in wanted | found if wanted.get(name) != found.get(name))
        raise ValueError(
            f"weights of the model wanted, {', '.join(different)} differ in shape or are missing"
        )
    return np.concatenate([weights[name].reshape(-1) for name in wanted])
