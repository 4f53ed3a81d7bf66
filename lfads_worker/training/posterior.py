"""What a trained model infers from a recording, averaged over samples of its posterior.

Nothing is dropped and nothing is held out: every trial, training and
validation, passes through the encoders whole. Rates are averaged, not
log-rates. Means and standard deviations are running ones (Welford 1962,
Technometrics 4, p. 419), so the number of samples costs time but no memory.
"""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lfads_worker.lfads import random_bits
from lfads_worker.lfads.generator import decode
from lfads_worker.lfads.hyperparameters import Hyperparameters
from lfads_worker.lfads.network import LFADS
from lfads_worker.lfads.noise import Noise, NoiseSource
from lfads_worker.lfads.outputs import Decoded
from lfads_worker.training.averages import PosteriorAverages
from lfads_worker.training.minibatches import cut
from lfads_worker.training.program import Keys, Recording
from lfads_worker.training.state import Progress

Tensor = Any


class _Sampled(NamedTuple):
    """Quantities that differ from sample to sample, [time, members, batch, width]."""

    rates: Tensor
    factors: Tensor
    generator_states: Tensor
    initial_states: Tensor  # before the first bin: no time axis
    inferred_inputs: Tensor
    controller_states: Tensor
    co_means: Tensor
    co_stds: Tensor


class PosteriorProgram:
    """Compiled: a batch of trials in, means and standard deviations over posterior samples out."""

    def __init__(self, model: LFADS, compiled: bool = True) -> None:
        self._model = model
        self._run = tf.function(self._averages, autograph=False, jit_compile=compiled)

    def average(
        self,
        weights: NDArray[np.float32],
        recording: Recording,
        keys: Keys,
        samples: int,
        batch_size: int,
        progress: Progress | None = None,
    ) -> PosteriorAverages:
        """All trials of the recording through one member's weights [parameters].

        Args:
          weights: flat weights of one member.
          recording: on the device.
          keys: of the posterior's random numbers.
          samples: posterior samples to average; 0 gives the posterior mean.
          batch_size: trials at a time.
          progress: called with (batches done, batches) after each.

        Returns:
          NumPy arrays in trial order; bins of the initial-condition segment are NaN.
        """
        trials = int(recording.spikes.shape[0])
        batches = cut(np.arange(trials), batch_size)
        parts = []
        for number, (chosen, used) in enumerate(zip(batches.trials, batches.weights, strict=True)):
            mean, std, ic = self._run(
                tf.constant(weights[None]),
                recording,
                tf.constant(chosen),
                keys,
                tf.constant(number * max(samples, 1)),
                tf.constant(max(samples, 1)),
                sampled=samples > 0,
            )
            real = used > 0
            parts.append([self._rows(x, real) for x in (*mean, *std, *ic)])
            if progress is not None:
                progress(number + 1, len(batches.trials))
        whole = [np.concatenate(column) for column in zip(*parts, strict=True)]
        n = len(_Sampled._fields)
        mean, std = _Sampled(*whole[:n]), _Sampled(*whole[n : 2 * n])
        external = np.array(recording.external_inputs)
        external[:, : self._model.architecture.ic_segment_bins] = np.nan
        return PosteriorAverages(
            rates=mean.rates,
            rates_std=std.rates,
            factors=mean.factors,
            factors_std=std.factors,
            generator_states=mean.generator_states,
            generator_states_std=std.generator_states,
            inferred_inputs=mean.inferred_inputs,
            inferred_inputs_std=std.inferred_inputs,
            generator_inputs=np.concatenate([mean.inferred_inputs, external], -1),
            controller_states=mean.controller_states,
            ic_mean=whole[-2],
            ic_std=whole[-1],
            co_means=mean.co_means,
            co_stds=mean.co_stds,
            initial_states=mean.initial_states,
            initial_states_std=std.initial_states,
            samples=samples,
        )

    def _rows(self, x: Tensor, real: NDArray[np.bool_]) -> NDArray[np.float32]:
        """[time, 1, batch, width] or [1, batch, width] to [trials, time, width] or [trials, width]."""
        array: NDArray[np.float32] = np.asarray(x)
        if array.ndim == 3:
            return array.squeeze(0)[real]
        by_trial = array[:, 0].transpose(1, 0, 2)[real]
        segment = self._model.architecture.ic_segment_bins
        before = np.full((len(by_trial), segment, by_trial.shape[2]), np.nan, np.float32)
        return np.concatenate([before, by_trial], 1)

    def _averages(
        self,
        flat: Tensor,
        recording: Recording,
        trials: Tensor,
        keys: Keys,
        first_draw: Tensor,
        samples: Tensor,
        sampled: bool,
    ) -> tuple[_Sampled, _Sampled, tuple[Tensor, Tensor]]:
        model, weights = self._model, self._model.layout.split(flat)
        batch = recording._replace(sample_mask=None).batch(trials, tf.ones(trials.shape, flat.dtype))
        nothing_dropped = Hyperparameters(*[tf.zeros(1, flat.dtype)] * len(Hyperparameters._fields))
        encoded = model.encode(weights, batch, Noise(), nothing_dropped)
        noise = NoiseSource(model.architecture, 1, trials.shape[0], flat.dtype)
        member_keys = random_bits.member_keys(keys.seed, keys.member_ids, keys.generation)
        external = batch.external_inputs[model.architecture.ic_segment_bins :]

        def one(i: Tensor) -> _Sampled:
            drawn = Noise()
            if sampled:
                drawn = noise.for_sampling(member_keys, tf.cast(first_draw + i, tf.uint32))
            decoded = decode(
                weights, encoded, external, drawn, nothing_dropped, model.architecture, keep_states=True
            )
            return self._sampled(decoded)

        def body(i: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            n = len(_Sampled._fields)
            count = tf.cast(i + 1, flat.dtype)
            mean, spread = [], []
            for value, old, square in zip(one(i), state[:n], state[n:], strict=True):
                new = old + (value - old) / count
                mean.append(new)
                spread.append(square + (value - old) * (value - new))
            return (i + 1, *mean, *spread)

        start = [tf.zeros_like(x) for x in one(tf.constant(0))]
        out = tf.while_loop(lambda i, *_: i < samples, body, (0, *start, *start), parallel_iterations=1)
        n = len(_Sampled._fields)
        deviations = tf.cast(tf.maximum(samples - 1, 1), flat.dtype)
        std = _Sampled(*[tf.sqrt(square / deviations) for square in out[1 + n :]])
        ic = encoded.initial_condition
        return _Sampled(*out[1 : 1 + n]), std, (ic.mean, tf.sqrt(ic.variance))

    def _sampled(self, decoded: Decoded) -> _Sampled:
        nothing = decoded.factors[..., :0]

        def present(x: Tensor | None) -> Tensor:
            return nothing if x is None else x

        posterior = decoded.input_posterior
        return _Sampled(
            rates=self._model.architecture.distribution.mean(decoded.output_parameters),
            factors=decoded.factors,
            generator_states=decoded.generator_states,
            initial_states=decoded.initial_generator_state,
            inferred_inputs=present(decoded.inferred_inputs),
            controller_states=present(decoded.controller_states),
            co_means=present(posterior.mean if posterior else None),
            co_stds=present(tf.sqrt(posterior.variance) if posterior else None),
        )
