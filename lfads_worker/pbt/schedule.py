"""How long a generation lasts. Selection waits for the ramps: before they end, losses are not comparable.

KL and L2 weights grow from 0 to 1 over the first epochs, and a loss measured on the way says more about the
ramp than about the member. So generation 0 holds the whole ramp and then a generation's worth of epochs, and
since `evolve` is only applied at the end of a generation, nobody is selected before the ramps end.
"""


def epochs_of_generation(generation: int, ramp_epochs: int, epochs_per_generation: int) -> int:
    """Number of epochs that a generation trains.

    Args:
      generation: from 0.
      ramp_epochs: epochs until both ramps have ended: the larger of start + length over the KL and the L2
        ramp.
      epochs_per_generation: epochs of every generation after the ramp.
    """
    _check(generation, ramp_epochs, epochs_per_generation)
    return epochs_per_generation + (ramp_epochs if generation == 0 else 0)


def first_epoch(generation: int, ramp_epochs: int, epochs_per_generation: int) -> int:
    """Number of epochs trained before a generation begins."""
    _check(generation, ramp_epochs, epochs_per_generation)
    return generation * epochs_per_generation + (ramp_epochs if generation > 0 else 0)


def _check(generation: int, ramp_epochs: int, epochs_per_generation: int) -> None:
    if generation < 0 or ramp_epochs < 0 or epochs_per_generation < 1:
        raise ValueError(
            "schedule: generation >= 0, ramp epochs >= 0 and epochs per generation >= 1 wanted, found "
            f"{generation}, {ramp_epochs} and {epochs_per_generation}; correct the one that is too small"
        )
