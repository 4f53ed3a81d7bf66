"""Random numbers: the published answers of Threefry, and the statistics of what is made of it.

Seeds are fixed, so each test always sees the same numbers: bounds are wide enough for chance and far too
narrow for a mistake.
"""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from lfads_worker.lfads import random_bits

_SHAPE = (100, 3, 40, 25)  # time, members, batch, width: 100,000 numbers a member


def _u32(*values):
    return tuple(tf.constant(value, tf.uint32) for value in values)


def _keys(members=(0, 1, 2), seed=(7, 0), generation=0, step=0, purpose=0):
    seed, ids = tf.constant(seed, tf.uint32), tf.constant(members, tf.uint32)
    keys = random_bits.member_keys(seed, ids, tf.constant(generation, tf.uint32))
    return random_bits.step_keys(keys, tf.constant(step, tf.uint32), purpose)


def _normals(shape=_SHAPE, dtype=tf.float32, members_axis=1, pack_axis=0, **keyed):
    return random_bits.standard_normal(_keys(**keyed), shape, members_axis, pack_axis, dtype).numpy()


def _kept(rates, shape=_SHAPE, **keyed):
    return random_bits.bernoulli_keep(_keys(**keyed), shape, 1, 0, tf.constant(rates)).numpy()


@pytest.mark.parametrize(
    ("key", "counter", "answer"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((2**32 - 1,) * 2, (2**32 - 1,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_gives_the_published_answers(key, counter, answer):
    found = random_bits.threefry(_u32(*key), _u32(*counter))

    assert tuple(int(word) for word in found) == answer


def test_words_are_uniform_in_every_byte_and_every_bit():
    words = np.stack(random_bits._words(_keys(), _SHAPE, 1)).ravel()

    for shift in (0, 8, 16, 24):
        counts = np.bincount((words >> shift) & 0xFF, minlength=256)
        assert stats.chisquare(counts).pvalue > 1e-4
    bits = (words[:, None] >> np.arange(32)) & 1
    assert np.abs(bits.mean(0) - 0.5).max() < 5 * 0.5 / np.sqrt(len(words))


@pytest.mark.parametrize("compiled", [True, False], ids=["XLA", "plain TensorFlow"])
@pytest.mark.parametrize("shape", [(5, 3, 4, 7), (1, 3, 1, 1), (4, 3, 2, 0), (3, 4, 7)])
def test_pairs_written_row_by_row_are_the_words_of_the_whole(shape, compiled):
    axis = shape.index(3)
    first, second = (word.numpy().astype(np.uint64) for word in random_bits._words(_keys(), shape, axis))

    pairs = tf.function(random_bits._word_pairs, jit_compile=compiled)(_keys(), shape, axis)

    np.testing.assert_array_equal(pairs, np.broadcast_to(first | second << np.uint64(32), shape))


def test_no_word_pair_comes_twice():
    first, second = (word.numpy().astype(np.uint64) for word in random_bits._words(_keys(), _SHAPE, 1))

    assert len(np.unique(first << np.uint64(32) | second)) == first.size


@pytest.mark.parametrize("rates", [(0.0, 0.05, 0.3), (0.5, 0.7, 0.99)])
def test_each_member_keeps_at_its_own_rate(rates):
    kept = _kept(rates)

    numbers = kept[:, 0].size
    for member, rate in enumerate(rates):
        error = np.sqrt(rate * (1 - rate) / numbers)
        assert abs(kept[:, member].mean() - (1 - rate)) <= 4.5 * error + 2**-17


def test_rates_0_and_1_are_exact():
    kept = _kept((0.0, 1.0, 0.0))

    assert kept[:, 0].all()
    assert not kept[:, 1].any()


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 7])
def test_any_length_of_the_packed_axis(length):
    kept = _kept((0.5, 0.5, 0.5), (length, 3, 50, 60))
    draws = _normals((length, 3, 50, 60))

    assert kept.shape == draws.shape == (length, 3, 50, 60)
    flat = np.concatenate([kept, draws]).transpose(1, 0, 2, 3).reshape(3, 2 * length, -1)
    correlations = np.corrcoef(flat.reshape(6 * length, -1)) if length else 0
    off_diagonal = correlations[~np.eye(6 * length, dtype=bool)].reshape(6 * length, -1)
    kinds = np.tile(
        np.repeat([True, False], length), 3
    )  # masks and draws share a key here: compare like with like
    for i, row in enumerate(off_diagonal):
        alike = np.delete(kinds == kinds[i], i)
        assert np.abs(row[alike]).max(initial=0) < 5 / np.sqrt(3000)


def test_neighbouring_decisions_are_independent():
    kept = _kept((0.5, 0.5, 0.5)).astype(float)[:, 0]

    for axis, lag in itertools.product(range(3), (1, 2, 25)):
        if kept.shape[axis] <= lag:
            continue
        a, b = np.split(kept, [-lag], axis)[0], np.split(kept, [lag], axis)[1]
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / np.sqrt(a.size)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_normal_draws_are_standard_normal(dtype):
    draws = _normals(dtype=dtype).astype(np.float64)

    for member in range(3):
        z = draws[:, member].ravel()
        assert stats.kstest(z, "norm").pvalue > 1e-3
        for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
            assert abs((z**power).mean() - moment) < 4.5 * np.sqrt(variance / z.size), power
        assert abs(np.corrcoef(z[: z.size // 2], z[z.size // 2 :])[0, 1]) < 5 / np.sqrt(z.size / 2)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
@pytest.mark.parametrize("compiled", [True, False], ids=["XLA", "plain TensorFlow"])
def test_normal_draws_are_finite_for_every_word(monkeypatch, dtype, compiled):
    extremes = tf.constant([0, 1, 511, 2**31, 2**32 - 512, 2**32 - 2, 2**32 - 1], tf.uint32)
    first, second = tf.meshgrid(extremes, extremes)
    words = tf.reshape(first, (49, 1)), tf.reshape(second, (49, 1))
    monkeypatch.setattr(random_bits, "_words", lambda *_: words)

    @tf.function(jit_compile=compiled, autograph=False)
    def draw():
        return random_bits.standard_normal((None, None), (98, 1), 1, 0, dtype)

    draws = draw().numpy()
    assert np.isfinite(draws).all()
    assert 5 < np.abs(draws).max() < 6


_STREAMS = {
    "member": {"members": (3, 4, 5)},
    "step": {"step": 1},
    "distant step": {"step": 2**31},
    "purpose": {"purpose": 1},
    "generation": {"generation": 1},
    "seed": {"seed": (8, 0)},
    "high word of the seed": {"seed": (7, 1)},
}


@pytest.mark.parametrize("other", _STREAMS.values(), ids=_STREAMS.keys())
def test_streams_are_independent_of_each_other(other):
    reference, draws = _normals(), _normals(**other)
    kept, other_kept = _kept((0.3,) * 3).astype(float), _kept((0.3,) * 3, **other).astype(float)

    for i, j in itertools.product(range(3), repeat=2):
        for a, b in ((reference, draws), (kept, other_kept), (reference, other_kept)):
            assert abs(np.corrcoef(a[:, i].ravel(), b[:, j].ravel())[0, 1]) < 5 / np.sqrt(100000)


def test_members_of_a_cohort_are_independent_of_each_other():
    draws = _normals().transpose(1, 0, 2, 3).reshape(3, -1)

    assert np.abs(np.corrcoef(draws) - np.eye(3)).max() < 5 / np.sqrt(100000)


def test_step_and_purpose_do_not_trade_places():
    assert (_normals(step=1, purpose=0) != _normals(step=0, purpose=1)).mean() > 0.99
    assert (
        _normals(generation=1, members=(0, 1, 2)) != _normals(generation=0, members=(1, 2, 3))
    ).mean() > 0.99


def test_a_members_numbers_depend_on_its_identity_and_not_on_its_cohort():
    def words(*members):
        shape = (100, len(members), 40, 25)
        return np.stack(random_bits._words(_keys(members=members), shape, 1))

    cohort, alone, moved = words(4, 9, 2), words(9), words(2, 9)

    np.testing.assert_array_equal(cohort[:, :, 1], alone[:, :, 0])
    np.testing.assert_array_equal(cohort[:, :, 1], moved[:, :, 1])
    np.testing.assert_array_equal(cohort[:, :, 2], moved[:, :, 0])


def test_numbers_are_a_pure_function_of_their_key():
    np.testing.assert_array_equal(_normals(step=5), _normals(step=5))
    np.testing.assert_array_equal(_kept((0.3,) * 3, step=5), _kept((0.3,) * 3, step=5))
