"""LFADS in plain NumPy: one member, trials first, a loop over bins. The oracle of the tests in this folder.

Written from the formulas of the papers (see `lfads_worker.lfads`) and not from the TensorFlow code: it knows
weights by their names and nothing else of it. Everything is float64, and everything stays analytic when
weights are complex, so that a complex step gives derivatives to machine precision:
d f(w) / d e = Im f(w + i h e) / h  (Squire and Trapp 1998, SIAM Review 40, p. 110).
"""

from dataclasses import dataclass, field

import numpy as np

STEP = 1e-20  # of the complex step: nothing is subtracted, so it may be as small as we like


@dataclass(frozen=True)
class Settings:
    """Sizes and constants of one model; arrays elsewhere are [trials, time, width]."""

    neurons: int
    held_in: int
    bins: int
    encoded_bins: int
    external: int = 0
    ci_units: int = 0
    controller_units: int = 0
    inputs: int = 0
    lag: int = 1
    causal: bool = False
    segment: int = 0
    clip: float = 5.0
    ic_prior_variance: float = 0.1
    min_variance: float = 1e-4
    independent_prior: bool = False
    input_variance: float = 0.1
    monte_carlo: bool = False
    gaussian: bool = False
    scale: float = 1.0
    sample_validation_rate: float = 0.0
    penalised: frozenset = field(default_factory=frozenset)

    @property
    def controlled(self):
        return self.ci_units > 0 and self.controller_units > 0 and self.inputs > 0


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def clipped(x, limit):
    return np.where(x.real > limit, limit, np.where(x.real < -limit, -limit, x))


def gru_cell(x, h, kernel, recurrent, bias, limit):
    """One update. Kernel columns: z, then r, then n; the reset gate acts before the recurrent product."""
    units = h.shape[-1]
    x_z, x_r, x_n = np.split(x @ kernel + bias, 3, axis=-1)
    u_z, u_r, u_n = recurrent[:, :units], recurrent[:, units : 2 * units], recurrent[:, 2 * units :]
    z = sigmoid(x_z + h @ u_z)
    r = sigmoid(x_r + h @ u_r)
    n = np.tanh(x_n + (r * h) @ u_n)
    return clipped(z * h + (1 - z) * n, limit)


def dropout(x, keep, rate):
    return x if keep is None else x * keep / (1 - rate)


def encoder_states(w, name, x, limit, backward):
    """[trials, time, units]: the state after reading bin t, stored at bin t, in either direction."""
    trials, bins, _ = x.shape
    state = np.tile(w[f"{name}/initial_state"], (trials, 1))
    states = [None] * bins
    for t in reversed(range(bins)) if backward else range(bins):
        args = w[f"{name}/input_kernel"], w[f"{name}/recurrent_kernel"], w[f"{name}/bias"]
        state = gru_cell(x[:, t], state, *args, limit)
        states[t] = state
    return np.stack(states, 1)


def controller_inputs(w, x, s):
    """[trials, decoded time, width]: forward states of bins <= t - lag, backward states of >= t + lag."""
    bins = x.shape[1]
    forward = encoder_states(w, "ci_encoder/forward", x, s.clip, backward=False)
    backward = None if s.causal else encoder_states(w, "ci_encoder/backward", x, s.clip, backward=True)
    nothing = np.zeros_like(forward[:, 0])
    rows = []
    for t in range(s.bins - s.segment):
        encoded = t < bins  # bins that are only predicted get zeros
        row = [forward[:, t - s.lag] if encoded and t >= s.lag else nothing]
        if not s.causal:
            row.append(backward[:, t + s.lag] if encoded and t + s.lag < bins else nothing)
        rows.append(np.concatenate(row, -1))
    return np.stack(rows, 1)


def encoder_input(spikes, sample_mask, noise, hp, s):
    x = spikes[:, : s.encoded_bins, : s.held_in].astype(float)
    if sample_mask is not None:
        x = x * sample_mask / (1 - s.sample_validation_rate)
    if noise.get("coordinated_keep") is not None:
        x[:, s.segment :] = dropout(
            x[:, s.segment :], noise["coordinated_keep"], hp["coordinated_dropout_rate"]
        )
    return dropout(x, noise.get("input_keep"), hp["dropout_rate"])


def forward(w, spikes, external, sample_mask, noise, hp, s):
    """Everything the model computes for a batch, by name."""
    x = encoder_input(spikes, sample_mask, noise, hp, s)
    rate = hp["dropout_rate"]
    seen_by_ic = x[:, : s.segment] if s.segment else x
    states = [
        encoder_states(w, "ic_encoder/forward", seen_by_ic, s.clip, backward=False)[:, -1],
        encoder_states(w, "ic_encoder/backward", seen_by_ic, s.clip, backward=True)[:, 0],
    ]
    code = dropout(np.concatenate(states, -1), noise.get("ic_keep"), rate)
    mean, log_variance = np.split(code @ w["ic_posterior/kernel"] + w["ic_posterior/bias"], 2, -1)
    out = {"ic_mean": mean, "ic_variance": np.exp(log_variance) + s.min_variance}
    condition = mean
    if noise.get("ic_draw") is not None:
        condition = mean + np.sqrt(out["ic_variance"]) * noise["ic_draw"]
    out |= decode(w, condition, x, external[:, s.segment :], noise, rate, s)
    return out


def at(masks, t):
    return None if masks is None else masks[:, t]


def decode(w, condition, x, external, noise, rate, s):
    g = condition @ w["initial_generator_state/kernel"] + w["initial_generator_state/bias"]
    norms = np.sqrt((w["factors/kernel"] ** 2).sum(0))
    readin = w["factors/kernel"] / norms  # [units, factors], each factor's weights of length 1
    f = dropout(g, noise.get("initial_generator_keep"), rate) @ readin
    out = {"initial_generator_state": g}
    if s.controlled:
        ci = controller_inputs(w, x[:, s.segment :], s)
        c = np.tile(w["controller/initial_state"], (len(g), 1))
    log = {
        name: []
        for name in ("generator_states", "factors", "controller_states", "co_mean", "co_sd", "inferred")
    }
    for t in range(s.bins - s.segment):
        driven = []
        if s.controlled:
            keep = None
            if noise.get("controller_input_keep") is not None:
                keep = np.concatenate([noise["controller_input_keep"][:, t], noise["factor_keep"][:, t]], -1)
            read = dropout(np.concatenate([ci[:, t], f], -1), keep, rate)
            args = w["controller/input_kernel"], w["controller/recurrent_kernel"], w["controller/bias"]
            c = gru_cell(read, c, *args, s.clip)
            m, log_v = np.split(c @ w["inferred_inputs/kernel"] + w["inferred_inputs/bias"], 2, -1)
            sd = np.exp(log_v / 2)
            u = m if noise.get("input_draw") is None else m + sd * noise["input_draw"][:, t]
            driven.append(u)
            for name, value in (("controller_states", c), ("co_mean", m), ("co_sd", sd), ("inferred", u)):
                log[name].append(value)
        if s.external:
            driven.append(dropout(external[:, t], at(noise.get("external_keep"), t), rate))
        width = s.external + (s.inputs if s.controlled else 0)
        kernel = w["generator/input_kernel"] if width else np.zeros((0, 3 * g.shape[-1]))
        inputs = np.concatenate(driven, -1) if driven else np.zeros((len(g), 0))
        g = gru_cell(inputs, g, kernel, w["generator/recurrent_kernel"], w["generator/bias"], s.clip)
        f = dropout(g, at(noise.get("generator_keep"), t), rate) @ readin
        log["generator_states"].append(g)
        log["factors"].append(f)
    out |= {name: np.stack(values, 1) for name, values in log.items() if values}
    out["output_parameters"] = out["factors"] @ w["readout/kernel"] + w["readout/bias"]
    return out


def elementwise_loss(parameters, data, s):
    """[trials, time, neurons] nats, without the part that depends on the data alone."""
    if not s.gaussian:
        return np.exp(parameters) - data * parameters
    mean, log_variance = np.split(parameters, 2, -1)
    variance = np.exp(log_variance) + 1e-6
    return 0.5 * (np.log(variance) + (data - mean) ** 2 / variance)


def passes_gradient(noise, hp, s):
    """[trials, decoded time, neurons]: 1 where coordinated dropout passes a gradient; 1.0 without it."""
    if noise.get("coordinated_keep") is None or hp["coordinated_dropout_rate"] == 0:
        return 1.0
    seen = noise["coordinated_keep"].astype(bool)
    if noise.get("coordinated_pass") is not None:
        seen &= ~noise["coordinated_pass"].astype(bool)
    passing = np.ones((len(seen), s.bins - s.segment, s.neurons))
    passing[:, : s.encoded_bins - s.segment, : s.held_in] = ~seen
    return passing


def reconstruction(parameters, spikes, sample_mask, counted, s):
    """[trials] mean over bins and neurons; `counted` weighs elements, the mean stays over all of them."""
    loss = elementwise_loss(parameters, spikes[:, s.segment :], s) * counted
    if sample_mask is not None:
        loss[:, : s.encoded_bins - s.segment, : s.held_in] *= sample_mask[:, s.segment :] / (
            1 - s.sample_validation_rate
        )
    return loss.mean((1, 2))


def gaussian_kl(mean, variance, prior_mean, prior_variance):
    distance = (variance + (mean - prior_mean) ** 2) / prior_variance
    return 0.5 * (np.log(prior_variance / variance) + distance - 1)


def autoregressive_constants(w):
    alpha = np.exp(-1 / np.exp(w["input_prior/log_tau"]))
    noise = np.exp(w["input_prior/log_noise_variance"])
    return alpha, noise, noise / (1 - alpha**2)


def normal_log_density(x, mean, variance):
    return -0.5 * (np.log(2 * np.pi * variance) + (x - mean) ** 2 / variance)


def kl_inferred_inputs(w, mean, sd, noise, s):
    """[trials] nats."""
    variance = sd**2
    if s.independent_prior:
        return gaussian_kl(mean, variance, w["input_prior/mean"], s.input_variance).sum(2).mean(1)
    alpha, v, stationary = autoregressive_constants(w)
    total = 0
    for t in range(mean.shape[1]):
        m, q = mean[:, t], variance[:, t]
        if s.monte_carlo:
            u = mean + sd * noise["kl_draw"]
            log_q = normal_log_density(u[:, t], m, q)
            first = t == 0
            log_p = normal_log_density(
                u[:, t], 0 if first else alpha * u[:, t - 1], stationary if first else v
            )
            total = total + log_q - log_p
            continue
        negative_entropy = -0.5 * (1 + np.log(2 * np.pi * q))
        if t == 0:
            cross = 0.5 * (np.log(2 * np.pi * stationary) + (m**2 + q) / stationary)
        else:
            square = (m - alpha * mean[:, t - 1]) ** 2 + q + alpha**2 * variance[:, t - 1]
            cross = 0.5 * (np.log(2 * np.pi * v) + square / v)
        total = total + negative_entropy + cross
    return total.sum(-1)


def l2_penalty(w, hp, s):
    groups = {
        "l2_ic_encoder": ["ic_encoder/forward", "ic_encoder/backward"],
        "l2_ci_encoder": ["ci_encoder/forward", "ci_encoder/backward"],
        "l2_controller": ["controller"],
        "l2_generator": ["generator"],
    }
    penalty, entries = 0.0, 0
    for name in s.penalised:
        for cell in groups[name]:
            kernel = w.get(f"{cell}/recurrent_kernel", np.zeros((0, 0)))  # absent: no controller, or causal
            penalty = penalty + hp[name] * 0.5 * (kernel**2).sum()
            entries += kernel.size
    return penalty / entries if entries else 0.0


def loss(w, spikes, external, trial_weights, sample_mask, noise, hp, kl_ramp, l2_ramp, s, blocked=False):
    """Terms of the loss. With `blocked`, elements that coordinated dropout blocks are left out of the sum:
    another value, but the gradient that training must have."""
    out = forward(w, spikes, external, sample_mask, noise, hp, s)
    counted = passes_gradient(noise, hp, s) if blocked else 1.0
    share = trial_weights / trial_weights.sum()
    recon = (reconstruction(out["output_parameters"], spikes, sample_mask, counted, s) * share).sum()
    kl_ic = gaussian_kl(out["ic_mean"], out["ic_variance"], w["ic_prior/mean"], s.ic_prior_variance)
    kl_ic = (kl_ic.sum(-1) * share).sum()
    kl_u = 0.0
    if s.controlled:
        kl_u = (kl_inferred_inputs(w, out["co_mean"], out["co_sd"], noise, s) * share).sum()
    l2 = l2_penalty(w, hp, s)
    kl = hp["kl_initial_condition"] * kl_ic + hp["kl_inferred_inputs"] * kl_u
    return {
        "total": s.scale * (recon + l2_ramp * l2 + kl_ramp * kl),
        "reconstruction": recon,
        "kl_initial_condition": kl_ic,
        "kl_inferred_inputs": kl_u,
        "l2": l2,
    }


def directional_derivative(function, w, direction):
    """d function(w + h direction) / dh at 0; names that `direction` lacks stand still."""
    moved = {name: value + 1j * STEP * direction.get(name, 0.0) for name, value in w.items()}
    return np.imag(function(moved)) / STEP
