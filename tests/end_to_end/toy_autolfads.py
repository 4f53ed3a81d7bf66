"""`autolfads` with a toy in place of TensorFlow: everything around the model, in milliseconds.

TOY_EPOCH_SECONDS is how long an epoch pretends to take.
"""

import os

from lfads_worker import cli
from lfads_worker.execution.toy import ToyTrainer


def make_toy(spec, data):
    seconds = float(os.environ.get("TOY_EPOCH_SECONDS", "0"))
    return ToyTrainer(spec.population.seed, data.trials, data.time, data.neurons, seconds)


if __name__ == "__main__":
    cli.make_trainer = make_toy
    cli.main()
