from hypothesis import given
from hypothesis import strategies as st
from numpy.random import SeedSequence, default_rng

from lfads_worker.pbt import streams

SEEDS = st.integers(0, 2**63)


@given(SEEDS, st.integers(0, 1000))
def test_a_generation_draws_the_same_whatever_was_drawn_before(seed, generation):
    streams.generation_rng(seed, generation + 1).random(100)

    first = streams.generation_rng(seed, generation).random(4)

    assert list(first) == list(streams.generation_rng(seed, generation).random(4))


def test_seeds_and_generations_have_streams_of_their_own():
    rngs = [streams.generation_rng(seed, generation) for seed in range(10) for generation in range(20)]
    rngs += [streams.initial_rng(seed) for seed in range(10)]

    assert len({rng.random() for rng in rngs}) == 210


def test_spawn_keys_never_change():
    # Promised to whoever resumes a run that an older version began.
    initial = default_rng(SeedSequence(7, spawn_key=(5259860, 0)))
    twelfth = default_rng(SeedSequence(7, spawn_key=(5259860, 1, 12)))

    assert list(streams.initial_rng(7).random(4)) == list(initial.random(4))
    assert list(streams.generation_rng(7, 12).random(4)) == list(twelfth.random(4))
