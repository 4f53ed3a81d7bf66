"""Output distributions: how the read-out's parameters turn into a likelihood of the recorded data.

The seam for a new distribution is one class here. `loss` leaves out the part
that depends on the data alone; `constant` gives it, so that losses of
different recordings compare.
"""

import math
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy.special import gammaln

Tensor = Any


class OutputDistribution(Protocol):
    """What the model must know of a distribution of the data."""

    name: str
    parameters_per_neuron: int

    def loss(self, parameters: Tensor, data: Tensor) -> Tensor:
        """Negative log likelihood without its data-only part.

        Args:
          parameters: [time, members, batch, neurons * parameters_per_neuron] read-out.
          data: [time, 1, batch, neurons].

        Returns:
          [time, members, batch, neurons] nats.
        """

    def constant(self, data: NDArray[np.floating[Any]], log_factorial: str) -> NDArray[np.float64]:
        """The data-only part of the negative log likelihood, elementwise, in nats."""

    def mean(self, parameters: Tensor) -> Tensor:
        """[..., neurons] mean of the distribution: what is called a rate."""

    def initial_bias(
        self, mean: NDArray[np.floating[Any]], variance: NDArray[np.floating[Any]]
    ) -> NDArray[np.float64]:
        """[neurons * parameters_per_neuron] read-out bias that starts at the data's mean (and variance)."""


class Poisson:
    """Spike counts; the one parameter is the log of the expected count per bin."""

    name = "Poisson"
    parameters_per_neuron = 1

    def loss(self, parameters: Tensor, data: Tensor) -> Tensor:
        return tf.exp(parameters) - data * parameters

    def constant(self, data: NDArray[np.floating[Any]], log_factorial: str) -> NDArray[np.float64]:
        """Log of k!, exactly, or by Stirling's formula as lfads-torch and autolfads-tf2 have it."""
        counts = np.asarray(data, np.float64)
        if log_factorial == "Exact":
            return np.asarray(gammaln(counts + 1.0))
        k = np.maximum(counts, 1.0)
        stirling = k * np.log(k) - k + 0.5 * np.log(2.0 * math.pi * k)
        return np.where(counts > 1, stirling, 0.0)

    def mean(self, parameters: Tensor) -> Tensor:
        return tf.exp(parameters)

    def initial_bias(
        self, mean: NDArray[np.floating[Any]], variance: NDArray[np.floating[Any]]
    ) -> NDArray[np.float64]:
        # 1e-3: a silent neuron starts low, not at minus infinity
        return np.log(np.maximum(np.asarray(mean, np.float64), 1e-3))


class Gaussian:
    """Real-valued data; parameters are mean and log variance, variances kept above 1e-6."""

    name = "Gaussian"
    parameters_per_neuron = 2
    variance_floor = 1e-6

    def loss(self, parameters: Tensor, data: Tensor) -> Tensor:
        mean, log_variance = tf.split(parameters, 2, -1)
        variance = tf.exp(log_variance) + self.variance_floor
        return 0.5 * (tf.math.log(variance) + tf.square(data - mean) / variance)

    def constant(self, data: NDArray[np.floating[Any]], log_factorial: str) -> NDArray[np.float64]:
        return np.full(np.shape(data), 0.5 * math.log(2.0 * math.pi))

    def mean(self, parameters: Tensor) -> Tensor:
        return tf.split(parameters, 2, -1)[0]

    def initial_bias(
        self, mean: NDArray[np.floating[Any]], variance: NDArray[np.floating[Any]]
    ) -> NDArray[np.float64]:
        spread = np.maximum(np.asarray(variance, np.float64), self.variance_floor)
        return np.concatenate([np.asarray(mean, np.float64), np.log(spread)])


_DISTRIBUTIONS: dict[str, OutputDistribution] = {d.name: d for d in (Poisson(), Gaussian())}


def output_distribution(name: str) -> OutputDistribution:
    """The distribution of that name in run.yaml; the spec has checked that it exists."""
    return _DISTRIBUTIONS[name]
