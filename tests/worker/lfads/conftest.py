"""The NumPy oracle, and small models filled with random numbers."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from autolfads_spec import ModelSpec
from lfads_worker.lfads.architecture import Architecture
from lfads_worker.lfads.hyperparameters import stack_hyperparameters
from lfads_worker.lfads.network import LFADS, LossSettings
from lfads_worker.lfads.noise import Noise
from lfads_worker.lfads.outputs import Batch

_WIDTHS = {
    "ic_encoder_units": 3,
    "ci_encoder_units": 3,
    "controller_units": 4,
    "inferred_inputs": 2,
    "ic_dim": 3,
    "generator_units": 5,
    "factors": 4,
}
_ALL_L2 = frozenset({"l2_generator", "l2_controller", "l2_ic_encoder", "l2_ci_encoder"})


def _oracle():
    # The tests are no package and lie on no path: load the file that is beside this one.
    path = Path(__file__).with_name("numpy_lfads.py")
    specification = importlib.util.spec_from_file_location("numpy_lfads", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def oracle():
    """The module `numpy_lfads`."""
    return _ORACLE


_ORACLE = _oracle()


class Case:
    """A small model with random weights, data, noise and hyperparameters, for TensorFlow and for the oracle.

    Members differ in weights, in noise and in hyperparameters.
    """

    def __init__(
        self,
        model=None,
        *,
        neurons=4,
        held_out=0,
        bins=6,
        forward_bins=0,
        external=0,
        trials=3,
        members=2,
        dropout=True,
        coordinated=True,
        pass_rate=0.0,
        sampled=True,
        sample_validation_rate=0.0,
        penalised=_ALL_L2,
        padding=0,
        weight_scale=0.5,
        seed=0,
        dtype=tf.float64,
    ):
        self.rng = rng = np.random.default_rng(seed)
        self.dtype, self.members, self.trials = dtype, members, trials
        spec = ModelSpec.model_validate(_WIDTHS | (model or {}))
        self.architecture = a = Architecture(
            neurons, neurons - held_out, bins, bins - forward_bins, external, spec
        )
        settings = LossSettings(3.0, sample_validation_rate, penalised)
        self.lfads = LFADS(a, settings)
        self.oracle_settings = self._settings(settings)
        self.flat = weight_scale * rng.standard_normal((members, self.lfads.layout.size))
        self.values = [self._values(i) for i in range(members)]
        if a.distribution.name == "Gaussian":
            self.spikes = rng.standard_normal((trials, bins, neurons))
        else:
            self.spikes = rng.poisson(1.0, (trials, bins, neurons)).astype(float)
        self.external = rng.standard_normal((trials, bins, external))
        self.trial_weights = np.r_[np.ones(trials - padding), np.zeros(padding)]
        self.sample_mask = None
        if sample_validation_rate:
            shape = (trials, a.encoded_bins, a.held_in_neurons)
            self.sample_mask = (rng.random(shape) >= sample_validation_rate).astype(float)
        self.noise = [self._noise(dropout, coordinated, pass_rate, sampled) for _ in range(members)]
        self.kl_ramp, self.l2_ramp = 0.6, 0.4

    def _settings(self, settings):
        a, m = self.architecture, self.architecture.model
        return _ORACLE.Settings(
            neurons=a.neurons,
            held_in=a.held_in_neurons,
            bins=a.bins,
            encoded_bins=a.encoded_bins,
            external=a.external_inputs,
            ci_units=m.ci_encoder_units,
            controller_units=m.controller_units,
            inputs=m.inferred_inputs,
            lag=m.ci_lag,
            causal=m.causal,
            segment=m.ic_segment_bins,
            clip=m.cell_clip,
            ic_prior_variance=m.ic_prior_variance,
            min_variance=m.ic_posterior_min_variance,
            independent_prior=m.input_prior == "Independent",
            input_variance=m.input_prior_noise_variance,
            monte_carlo=m.input_kl == "MonteCarlo",
            gaussian=m.output_distribution == "Gaussian",
            scale=settings.scale,
            sample_validation_rate=settings.sample_validation_rate,
            penalised=settings.penalised,
        )

    def _values(self, member):
        return {
            "learning_rate": 1e-2,
            "dropout_rate": [0.1, 0.4, 0.25][member % 3],
            "coordinated_dropout_rate": [0.3, 0.6, 0.5][member % 3],
            "l2_generator": 0.7 + member,
            "l2_controller": 0.3 + member,
            "l2_ic_encoder": 0.5 + member,
            "l2_ci_encoder": 0.2 + member,
            "kl_initial_condition": 0.1 + 0.2 * member,
            "kl_inferred_inputs": 0.3 - 0.1 * member,
        }

    def _noise(self, dropout, coordinated, pass_rate, sampled):
        """One member's noise, trials first."""
        a, m, n, rng = self.architecture, self.architecture.model, self.trials, self.rng
        seen, width = a.encoded_bins - m.ic_segment_bins, m.ci_encoder_units * (1 if m.causal else 2)
        decoded = a.bins - m.ic_segment_bins

        def mask(*shape, keep=0.6):
            return (rng.random((n, *shape)) < keep).astype(float)

        noise = {}
        if sampled:
            noise["ic_draw"] = rng.standard_normal((n, m.ic_dim))
        if coordinated:
            noise["coordinated_keep"] = mask(seen, a.held_in_neurons)
            if pass_rate:
                noise["coordinated_pass"] = mask(seen, a.held_in_neurons, keep=pass_rate)
        if dropout:
            noise["input_keep"] = mask(a.encoded_bins, a.held_in_neurons)
            noise["ic_keep"] = mask(2 * m.ic_encoder_units)
            noise["initial_generator_keep"] = mask(m.generator_units)
            noise["generator_keep"] = mask(decoded, m.generator_units)
            if a.external_inputs:
                noise["external_keep"] = mask(decoded, a.external_inputs)
        if self.oracle_settings.controlled:
            if dropout:
                noise["controller_input_keep"] = mask(decoded, width)
                noise["factor_keep"] = mask(decoded, m.factors)
            if sampled:
                noise["input_draw"] = rng.standard_normal((n, decoded, m.inferred_inputs))
                if m.input_kl == "MonteCarlo":
                    noise["kl_draw"] = rng.standard_normal((n, decoded, m.inferred_inputs))
        return noise

    # For TensorFlow ---------------------------------------------------------------------------------------

    @property
    def hyperparameters(self):
        return stack_hyperparameters(self.values, self.dtype)

    @property
    def tf_noise(self):
        """All members' noise as the model takes it: time first where there is time, then members."""
        fields = {}
        for name in self.noise[0]:
            stacked = np.stack([noise[name] for noise in self.noise])  # [members, trials, (time,) width]
            if stacked.ndim == 4:
                stacked = stacked.transpose(2, 0, 1, 3)
            mask = name.endswith(("keep", "pass"))
            fields[name] = tf.constant(stacked, tf.bool if mask else self.dtype)
        return Noise(**fields)

    @property
    def batch(self):
        def time_first(x):
            return None if x is None else tf.constant(x.transpose(1, 0, 2), self.dtype)

        weights = tf.constant(self.trial_weights, self.dtype)
        return Batch(
            time_first(self.spikes), time_first(self.external), weights, time_first(self.sample_mask)
        )

    @property
    def tf_weights(self):
        return self.lfads.layout.split(tf.constant(self.flat, self.dtype))

    def arguments(self):
        """What `LFADS.loss_and_gradient` takes."""
        ramps = tf.constant(self.kl_ramp, self.dtype), tf.constant(self.l2_ramp, self.dtype)
        return tf.constant(self.flat, self.dtype), self.batch, self.tf_noise, self.hyperparameters, *ramps

    def loss_and_gradient(self):
        """Terms as name to [members], and the gradient [members, parameters], in NumPy."""
        terms, gradient = self.lfads.loss_and_gradient(*self.arguments())
        return {name: value.numpy() for name, value in terms._asdict().items()}, gradient.numpy()

    # For the oracle ---------------------------------------------------------------------------------------

    def named(self, member):
        return self.lfads.layout.split_row(self.flat[member])

    def oracle_terms(self, member, weights=None, blocked=False):
        return _ORACLE.loss(
            self.named(member) if weights is None else weights,
            self.spikes,
            self.external,
            self.trial_weights,
            self.sample_mask,
            self.noise[member],
            self.values[member],
            self.kl_ramp,
            self.l2_ramp,
            self.oracle_settings,
            blocked,
        )

    def oracle_forward(self, member):
        data = self.spikes, self.external, self.sample_mask
        return _ORACLE.forward(
            self.named(member), *data, self.noise[member], self.values[member], self.oracle_settings
        )

    def oracle_derivative(self, member, direction):
        """Derivative of the training loss, as coordinated dropout wants it, along name to array."""
        return _ORACLE.directional_derivative(
            lambda w: self.oracle_terms(member, w, blocked=True)["total"], self.named(member), direction
        )


@pytest.fixture(scope="session")
def make_case():
    return Case
