"""Diagonal Gaussian posteriors, the priors of initial condition and inferred inputs, and their divergences.

References:
  Sussillo, Jozefowicz, Abbott and Pandarinath 2016, arXiv 1608.06315 (AR(1)
  prior on inferred inputs); Pandarinath et al. 2018, Nature Methods 15.
  The analytic expectation of the AR(1) divergence replaces the published
  implementations' one-sample estimate: same expected gradient, no noise.
"""

import math
from typing import Any, NamedTuple

import tensorflow as tf

Tensor = Any

_LOG_2PI = math.log(2.0 * math.pi)


class Gaussian(NamedTuple):
    """A diagonal normal distribution: mean and variance of the same shape."""

    mean: Tensor
    variance: Tensor

    def sample(self, draw: Tensor | None) -> Tensor:
        """Mean plus sd times draw; the mean itself when there is no draw."""
        return self.mean if draw is None else self.mean + tf.sqrt(self.variance) * draw


def gaussian_kl(posterior: Gaussian, prior_mean: Tensor, prior_variance: Tensor) -> Tensor:
    """KL divergence of a diagonal Gaussian from another one, elementwise, in nats."""
    ratio = posterior.variance / prior_variance
    distance = tf.square(posterior.mean - prior_mean) / prior_variance
    return 0.5 * (ratio + distance - 1.0 - tf.math.log(ratio))


class AutoregressivePrior(NamedTuple):
    """u_1 ~ N(0, v/(1-a²)), u_t | u_{t-1} ~ N(a u_{t-1}, v), each input on its own.

    Args:
      log_tau: [members, inputs] log of the time constant in bins; a = exp(-1/tau).
      log_noise_variance: [members, inputs] log of v.
    """

    log_tau: Tensor
    log_noise_variance: Tensor

    def kl(self, posterior: Gaussian) -> Tensor:
        """Expected KL divergence of independent Gaussians over time from this prior.

        Args:
          posterior: mean and variance [time, members, batch, inputs].

        Returns:
          [members, batch] nats, summed over time and inputs.
        """
        a = tf.exp(-tf.exp(-self.log_tau))[:, None]
        log_v = self.log_noise_variance[:, None]
        mean, variance = posterior
        log_v_first = log_v - tf.math.log1p(-tf.square(a))
        first = log_v_first + (tf.square(mean[:1]) + variance[:1]) * tf.exp(-log_v_first)
        innovation = tf.square(mean[1:] - a * mean[:-1]) + variance[1:] + tf.square(a) * variance[:-1]
        later = log_v + innovation * tf.exp(-log_v)
        expected = tf.concat([first, later], 0)  # -2 E log p - log 2 pi
        entropy = 1.0 + tf.math.log(variance)  # 2 H - log 2 pi
        return tf.reduce_sum(tf.reduce_sum(0.5 * (expected - entropy), -1), 0)

    def kl_of_sample(self, posterior: Gaussian, draw: Tensor) -> Tensor:
        """The one-sample estimate of `kl` that the published implementations use; shapes as there."""
        a = tf.exp(-tf.exp(-self.log_tau))[:, None]
        log_v = self.log_noise_variance[:, None]
        u = posterior.sample(draw)
        log_q = -0.5 * (_LOG_2PI + tf.math.log(posterior.variance) + tf.square(draw))
        log_v_first = log_v - tf.math.log1p(-tf.square(a))
        first = log_v_first + tf.square(u[:1]) * tf.exp(-log_v_first)
        later = log_v + tf.square(u[1:] - a * u[:-1]) * tf.exp(-log_v)
        log_p = -0.5 * (_LOG_2PI + tf.concat([first, later], 0))
        return tf.reduce_sum(tf.reduce_sum(log_q - log_p, -1), 0)


class IndependentPrior(NamedTuple):
    """u_t ~ N(trainable mean, fixed variance) for every bin (autolfads-tf2 without its autoregressive prior).

    Args:
      mean: [members, inputs].
      variance: a number.
    """

    mean: Tensor
    variance: float

    def kl(self, posterior: Gaussian) -> Tensor:
        """[members, batch] nats, summed over inputs and averaged over time, as autolfads-tf2 does."""
        variance = tf.constant(self.variance, posterior.mean.dtype)
        per_bin = tf.reduce_sum(gaussian_kl(posterior, self.mean[:, None], variance), -1)
        return tf.reduce_mean(per_bin, 0)
