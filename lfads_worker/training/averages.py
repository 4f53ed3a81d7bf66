"""What one member infers about every trial: averages over posterior samples.

Numpy only, so that results are written and tested without TensorFlow. The trainer makes one; `results` turns
it into files. Every array covers all trials of the recording, train and validation, in trial order.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


class PosteriorAverages(NamedTuple):
    """Means and standard deviations over posterior samples, with dropout and coordinated dropout off.

    Rates are averaged as rates, not as log-rates. Bins before the initial-condition segment ends are NaN.
    A model without controller has 0 inputs and 0 controller units: the axis is there, with length 0.
    """

    rates: FloatArray
    """Expected count per bin [trials, time, neurons]; for a Gaussian output the expected value."""
    rates_std: FloatArray
    """Standard deviation of the rates over samples [trials, time, neurons]."""
    factors: FloatArray
    """Latent factors [trials, time, factors]."""
    factors_std: FloatArray
    """Standard deviation of the factors over samples [trials, time, factors]."""
    generator_states: FloatArray
    """State of the generator after each bin [trials, time, generator]."""
    generator_states_std: FloatArray
    """Standard deviation of the generator states over samples [trials, time, generator]."""
    inferred_inputs: FloatArray
    """Inferred inputs, the controller's samples [trials, time, inputs]."""
    inferred_inputs_std: FloatArray
    """Standard deviation of the inferred inputs over samples [trials, time, inputs]."""
    generator_inputs: FloatArray
    """All that drives the generator: inferred, then external inputs [trials, time, inputs + external]."""
    controller_states: FloatArray
    """State of the controller after each bin [trials, time, controller]."""
    ic_mean: FloatArray
    """Posterior mean of the initial condition [trials, ic_dim]."""
    ic_std: FloatArray
    """Posterior standard deviation of the initial condition [trials, ic_dim]."""
    co_means: FloatArray
    """Posterior means of the inferred inputs, averaged over samples [trials, time, inputs]."""
    co_stds: FloatArray
    """Posterior standard deviations of the inferred inputs, averaged over samples [trials, time, inputs]."""
    initial_states: FloatArray
    """Generator state before the first bin [trials, generator]."""
    initial_states_std: FloatArray
    """Standard deviation of the initial states over samples [trials, generator]."""
    samples: int
    """How many posterior samples were averaged."""
