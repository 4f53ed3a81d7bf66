"""The two workloads that are timed, as plain numbers, and the recording and run they stand for.

Both sides of a comparison are built from these numbers, ours in this
interpreter and the peer in its own, so this module knows neither.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Shape:
    """Sizes of a minibatch and of the networks."""

    name: str
    batch: int
    bins: int
    encoded_bins: int
    neurons: int
    held_in_neurons: int
    ic_encoder_units: int
    ci_encoder_units: int
    controller_units: int
    inferred_inputs: int
    ic_dim: int
    generator_units: int
    factors: int

    @property
    def widths(self) -> Mapping[str, int]:
        """The seven widths of the networks by their names in `spec.model`."""
        names = ("ic_encoder_units", "ci_encoder_units", "controller_units", "inferred_inputs")
        return {name: getattr(self, name) for name in (*names, "ic_dim", "generator_units", "factors")}

    def numbers(self) -> dict[str, int]:
        """Everything but the name, for the peer's command line."""
        return {name: value for name, value in asdict(self).items() if name != "name"}


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("lorenz", 128, 100, 100, 40, 40, 64, 64, 64, 2, 64, 64, 8),
        # lfads-torch's configuration of MC_Maze with 20 ms bins: 10 forward bins, 45 held-out neurons
        Shape("maze", 256, 45, 35, 182, 137, 64, 64, 64, 4, 64, 200, 100),
        Shape("tiny", 8, 6, 5, 5, 4, 3, 3, 4, 2, 3, 5, 4),
    )
}

MINIBATCHES = 4  # different ones in the recording that is trained on

# Scalars of training, the same on both sides.
HYPERPARAMETERS: Mapping[str, float] = {
    "learning_rate": 4e-3,
    "dropout_rate": 0.3,
    "coordinated_dropout_rate": 0.3,
    "l2_generator": 1e-4,
    "l2_controller": 1e-4,
    "l2_ic_encoder": 0.0,
    "l2_ci_encoder": 0.0,
    "kl_initial_condition": 1e-6,
    "kl_inferred_inputs": 1e-6,
}


def spikes(shape: Shape, trials: int, seed: int = 0) -> NDArray[np.float32]:
    """[trials, time, neurons] Poisson counts whose rates wander smoothly; a quarter of a spike a bin."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.standard_normal((trials, shape.bins, 3)) * 0.15, 1)
    log_rates = walk @ rng.standard_normal((3, shape.neurons)) * 0.5 + np.log(0.25)
    counts: NDArray[np.float32] = rng.poisson(np.exp(np.clip(log_rates, -5.0, 1.2))).astype(np.float32)
    return counts
