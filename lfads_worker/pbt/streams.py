"""Which random numbers belong to which generation of the search.

Every stream follows from the run's seed and a spawn key alone, so that a run that is resumed at generation 12
draws what an uninterrupted one would have drawn, and nothing has to be saved. The keys are part of a run's
results: changing one changes every run.

    (PBT_STREAM, 0)               values of generation 0
    (PBT_STREAM, 1, generation)   exploit and explore at the end of a generation
"""

from numpy.random import Generator, SeedSequence, default_rng

# "PBT" in ASCII: apart from every spawn key that counts members or generations.
PBT_STREAM = 0x504254


def initial_rng(seed: int) -> Generator:
    """Randomness for the values of generation 0."""
    return default_rng(SeedSequence(entropy=seed, spawn_key=(PBT_STREAM, 0)))


def generation_rng(seed: int, generation: int) -> Generator:
    """Randomness for `evolve` at the end of a generation."""
    return default_rng(SeedSequence(entropy=seed, spawn_key=(PBT_STREAM, 1, generation)))
