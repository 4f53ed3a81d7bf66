"""How much memory training will need, estimated before anything is allocated.

Counted are the activations that the backward pass needs, per member: five values per unit and bin of every
GRU (update and reset gates, candidate, reset state, new state), three copies of the input (spikes, after
coordinated dropout, after dropout), two of the rates, and the dropped-out controller inputs and factors.
For a Lorenz-sized step (128 trials, 100 bins, 40 neurons) that gives 123 MB, for MC_Maze 183 MB.

Peak memory of a process on a CPU (TensorFlow 2.21, one thread, two generations and posterior samples of three
minibatches of trials), and what is estimated, in GB:

    two members of a few units  1.29  1.35      MC_Maze, 1 member    1.66  1.74
    Lorenz, 1 member            1.48  1.54      MC_Maze, 2 members   1.88  1.98
    Lorenz, 4 members           1.88  2.02      Lorenz, 4 members
    Lorenz, 8 members           2.40  2.64      without controller   1.39  1.70

So a member takes 1.05 (Lorenz) to 1.2 (MC_Maze) times its activations, and looking at a recording several
times its size. A GPU's memory has not been measured: there the factor is the 3.75 of an earlier program on a
CPU. Expect the estimate to be too large rather than too small, by up to 22 %. A run that asks for less than
it needs is killed; one that asks for more trains in smaller cohorts.

Pure arithmetic: imports nothing.
"""

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from autolfads_spec.run import RunSpec
    from lfads_worker.data.spikes import SpikeData

DeviceKind = Literal["cpu", "gpu"]

FLOAT_BYTES = 4
BASE_BYTES = 1_350_000_000  # TensorFlow, its compiled programs, Python
# Peak memory of a member over its saved activations, and of a recording over its size as float32.
WORKING_FACTOR = {"cpu": 1.25, "gpu": 3.75}
RECORDING_FACTOR = {"cpu": 6, "gpu": 1}
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
    device: DeviceKind = "cpu",
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
      device: whose memory is meant.
    """
    activations = batch * bins * activations_per_bin(neurons, widths, features) * FLOAT_BYTES
    weights = weight_count(neurons, widths, features) * WEIGHT_COPIES * FLOAT_BYTES
    recording = RECORDING_FACTOR[device] * (trials or 0) * bins * (neurons + features) * FLOAT_BYTES
    return round(BASE_BYTES + members * (WORKING_FACTOR[device] * activations + weights) + recording)


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


def of_run(data: "SpikeData", spec: "RunSpec", members: int | None = None, device: DeviceKind = "cpu") -> int:
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
        device=device,
    )


def _gru(inputs: int, units: int) -> int:
    return 3 * units * (inputs + units + 1)
