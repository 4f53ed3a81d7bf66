"""How much memory training will need, estimated before anything is allocated.

Counted are the activations that the backward pass needs, per member: five values per unit and bin of every
GRU (update and reset gates, candidate, reset state, new state), three copies of the input (spikes, after
coordinated dropout, after dropout), two of the rates, and the dropped-out controller inputs and factors.
For a Lorenz-sized step (128 trials, 100 bins, 40 neurons) that gives 123 MB where 133 MB were measured, for
MC_Maze 183 MB and 144 MB (its encoders see fewer bins and neurons than are counted here). A process took 3.75
times as much (0.5 GB a member at 133 MB), and 1.3 GB for hardly anything (two members of a few units).
Expect it to be too large rather than too small, by up to 60 %: today's program takes 1.6 GB for two Lorenz
members. A run that asks for less than it needs is killed; one that asks for more trains in smaller cohorts.

Pure arithmetic: imports nothing.
"""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from autolfads_spec.run import RunSpec
    from lfads_worker.data.spikes import SpikeData

FLOAT_BYTES = 4
BASE_BYTES = 1_350_000_000  # TensorFlow, its compiled programs, Python
WORKING_FACTOR = 3.75  # peak memory of a member over its saved activations
GRU_VALUES = 5
WEIGHT_COPIES = 6  # weights, gradients, Adam's two moments, two temporaries


class Widths(NamedTuple):
    """Units of each network, as in `spec.model`."""

    ic_encoder: int
    ci_encoder: int
    controller: int
    inferred_inputs: int
    ic_dim: int
    generator: int
    factors: int


def training_bytes(
    *,
    batch: int,
    bins: int,
    neurons: int,
    members: int,
    widths: Widths,
    features: int = 0,
    trials: int | None = None,
) -> int:
    """Bytes that one process needs to train a cohort.

    Args:
      batch: trials in a minibatch.
      bins: bins of a trial.
      neurons: neurons, held-out ones included.
      members: members trained at once in the process.
      widths: units of each network.
      features: external inputs.
      trials: trials of the recording, kept in memory as float32; None leaves them out.
    """
    activations = batch * bins * activations_per_bin(neurons, widths, features) * FLOAT_BYTES
    weights = weight_count(neurons, widths, features) * WEIGHT_COPIES * FLOAT_BYTES
    recording = (trials or 0) * bins * (neurons + features) * FLOAT_BYTES
    return round(BASE_BYTES + members * (WORKING_FACTOR * activations + weights) + recording)


def activations_per_bin(neurons: int, widths: Widths, features: int = 0) -> int:
    """Values kept for the backward pass, per member, trial and bin."""
    has_controller = min(widths.ci_encoder, widths.controller, widths.inferred_inputs) > 0
    units = 2 * widths.ic_encoder + widths.generator
    others = 3 * neurons + 2 * neurons + 2 * widths.factors + features
    if has_controller:
        units += 2 * widths.ci_encoder + widths.controller
        others += 2 * 2 * widths.ci_encoder + 3 * widths.inferred_inputs
    return GRU_VALUES * units + others


def weight_count(neurons: int, widths: Widths, features: int = 0) -> int:
    """Trainable numbers of a member, near enough."""
    has_controller = min(widths.ci_encoder, widths.controller, widths.inferred_inputs) > 0
    inputs = widths.inferred_inputs if has_controller else 0
    total = 2 * _gru(neurons, widths.ic_encoder) + 4 * widths.ic_encoder * widths.ic_dim
    total += widths.ic_dim * widths.generator + _gru(inputs + features, widths.generator)
    total += widths.generator * widths.factors + (widths.factors + 1) * neurons
    if has_controller:
        total += 2 * _gru(neurons, widths.ci_encoder)
        total += (
            _gru(2 * widths.ci_encoder + widths.factors, widths.controller) + 2 * widths.controller * inputs
        )
    return total


def of_run(data: "SpikeData", spec: "RunSpec", members: int | None = None) -> int:
    """Bytes for training `members` (default: the whole population) of a run at once in one process."""
    model = spec.model
    return training_bytes(
        batch=min(spec.training.batch_size, len(data.train)),
        bins=data.time,
        neurons=data.neurons,
        members=spec.population.size if members is None else members,
        widths=Widths(
            model.ic_encoder_units,
            model.ci_encoder_units,
            model.controller_units,
            model.inferred_inputs,
            model.ic_dim,
            model.generator_units,
            model.factors,
        ),
        features=data.n_features,
        trials=data.trials,
    )


def _gru(inputs: int, units: int) -> int:
    return 3 * units * (inputs + units + 1)
