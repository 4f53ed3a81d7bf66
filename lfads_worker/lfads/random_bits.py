"""Stateless random numbers: every draw is a pure function of run seed, member, generation, step and purpose.

The generator is Threefry-2x32 with 20 rounds, written in integer operations
that XLA fuses into whatever consumes them. TensorFlow's own stateless
generator costs more than the whole training step when XLA compiles it for a
CPU. Members are keyed by their identity in the population and not by their
place in a cohort, so the numbers do not depend on how a population is cut.

Knows nothing of the model: purposes are small integers given by `noise`.

References:
  Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as
  1, 2, 3", SC11 (Threefry, section 4.2, rotations of table 2).
"""

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

Tensor = Any

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA  # Threefish key-schedule constant, so that an all-zero key is not weak
_WORD = 2**32


def _u32(value: int) -> Tensor:
    return tf.constant(value % _WORD, tf.uint32)


def threefry(key: tuple[Tensor, Tensor], counter: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Threefry-2x32-20: two words of key and two of counter to two random words.

    Args:
      key: two uint32 tensors.
      counter: two uint32 tensors that broadcast against the key.

    Returns:
      Two uint32 tensors of the broadcast shape.
    """
    words: tuple[Tensor, Tensor] = _rounds(key, counter)
    shape = tf.broadcast_static_shape(key[0].shape, counter[0].shape)
    for word in words:
        word.set_shape(shape)
    return words


def _threefry(key: tuple[Tensor, Tensor], counter: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    keys = (key[0], key[1], key[0] ^ key[1] ^ _u32(_PARITY))
    x0, x1 = counter[0] + keys[0], counter[1] + keys[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x0 = x0 + x1
            x1 = tf.bitwise.left_shift(x1, _u32(rotation)) | tf.bitwise.right_shift(x1, _u32(32 - rotation))
            x1 = x1 ^ x0
        x0 = x0 + keys[(group + 1) % 3]
        x1 = x1 + keys[(group + 2) % 3] + _u32(group + 1)
    return x0, x1


# Hundreds of operations: a function of its own and for every shape, so that Python goes through them once.
_WORDS = (tf.TensorSpec(None, tf.uint32), tf.TensorSpec(None, tf.uint32))
_rounds = tf.function(_threefry, autograph=False, input_signature=(_WORDS, _WORDS))


def member_keys(seed: Tensor, member_ids: Tensor, generation: Tensor) -> tuple[Tensor, Tensor]:
    """One key a member for one generation.

    Args:
      seed: [2] uint32, low and high word of the run's seed.
      member_ids: [members] uint32, identity in the population.
      generation: [] uint32.

    Returns:
      Two [members] uint32 words.
    """
    return threefry((seed[0], seed[1]), (member_ids, tf.fill(tf.shape(member_ids), generation)))


def step_keys(keys: tuple[Tensor, Tensor], step: Tensor, purpose: int) -> tuple[Tensor, Tensor]:
    """The key of one purpose (which mask, which draw) within one step: two [members] uint32 words."""
    return threefry(keys, (tf.fill(tf.shape(keys[0]), step), tf.fill(tf.shape(keys[0]), _u32(purpose))))


def _words(
    keys: tuple[Tensor, Tensor], shape: Sequence[int], members_axis: int, first: Tensor | int = 0
) -> tuple[Tensor, Tensor]:
    """Two words for every place of `shape`; the members axis carries the keys, the others count from `first`.

    The counter does not involve the members axis, so a member's numbers are
    the same whatever the size of its cohort.
    """
    counter = tf.fill([1] * len(shape), tf.cast(first, tf.uint32))
    stride = 1
    for axis in reversed(range(len(shape))):
        if axis == members_axis:
            continue
        view = [1] * len(shape)
        view[axis] = shape[axis]
        places = tf.cast(tf.range(shape[axis]), tf.uint32) * _u32(stride)
        counter = counter + tf.reshape(places, view)
        stride *= shape[axis]
    view = [1] * len(shape)
    view[members_axis] = shape[members_axis]
    key = (tf.reshape(keys[0], view), tf.reshape(keys[1], view))
    return threefry(key, (counter, tf.zeros([1] * len(shape), tf.uint32)))


def _word_pairs(keys: tuple[Tensor, Tensor], shape: Sequence[int], members_axis: int) -> Tensor:
    """`_words` as one uint64 for every place, the first word low.

    Written row by row of the first axis, so that each pair is computed once: XLA would compute it anew for
    every piece that is cut from it. The axes after the members are one inside of the loop, since a narrow
    innermost axis is slow.
    """
    if len(shape) < 4:  # a single bin
        return _paired(_words(keys, shape, members_axis))
    rows, members, *rest = shape
    width = math.prod(rest)
    written = tf.TensorArray(tf.uint64, rows, element_shape=(members, width))

    def body(row: Tensor, written: Any) -> tuple[Tensor, Any]:
        first = tf.cast(row, tf.uint32) * _u32(width)
        return row + 1, written.write(row, _paired(_words(keys, (members, width), 0, first)))

    _, written = tf.while_loop(
        lambda row, _: row < rows, body, (0, written), maximum_iterations=rows, parallel_iterations=1
    )
    return tf.reshape(written.stack(), shape)


def _paired(words: tuple[Tensor, Tensor]) -> Tensor:
    low, high = (tf.cast(word, tf.uint64) for word in words)
    return low | tf.bitwise.left_shift(high, tf.constant(32, tf.uint64))


def _cut(pairs: Tensor, bits: int) -> list[Tensor]:
    """The pieces of `bits` bits of each pair, lowest first, as uint32."""
    mask = tf.constant(2**bits - 1, tf.uint64)
    shifts = (tf.constant(shift, tf.uint64) for shift in range(0, 64, bits))
    return [tf.cast(tf.bitwise.right_shift(pairs, shift) & mask, tf.uint32) for shift in shifts]


def bernoulli_keep(
    keys: tuple[Tensor, Tensor], shape: Sequence[int], members_axis: int, pack_axis: int, drop_rate: Tensor
) -> Tensor:
    """True with probability 1 - drop_rate, each member with its own rate.

    Four decisions are cut from each pair of words, 16 bits each, so rates are
    resolved to 1/65536. The pieces are laid one after another along
    `pack_axis` (the first, contiguous axis where possible).

    Args:
      keys: two [members] uint32 words.
      shape: static shape of the result.
      members_axis: the axis of `shape` that belongs to the members.
      pack_axis: axis along which packed decisions are laid out; not `members_axis`.
      drop_rate: [members] in [0, 1].

    Returns:
      bool tensor of `shape`.
    """
    length = shape[pack_axis]
    packed = [*shape]
    packed[pack_axis] = -(-length // 4)
    view = [1] * len(shape)
    view[members_axis] = shape[members_axis]
    threshold = tf.reshape(tf.cast(tf.round(drop_rate * 65536.0), tf.uint32), view)
    pieces = _cut(_word_pairs(keys, packed, members_axis), 16)
    kept = tf.concat([piece >= threshold for piece in pieces], pack_axis)
    return tf.slice(kept, [0] * len(shape), list(shape))


def standard_normal(
    keys: tuple[Tensor, Tensor], shape: Sequence[int], members_axis: int, pack_axis: int, dtype: Any
) -> Tensor:
    """Independent N(0, 1) draws by the Box-Muller transform, two from each pair of words.

    Arguments as in `bernoulli_keep`.

    References:
      Box and Muller 1958, Annals of Mathematical Statistics 29, p. 610.
    """
    length = shape[pack_axis]
    packed = [*shape]
    packed[pack_axis] = -(-length // 2)
    first, second = _cut(_word_pairs(keys, packed, members_axis), 32)

    def uniform(word: Tensor) -> Tensor:
        # 23 bits and a half are exact in float32: never 0 and never 1, so the logarithm is finite
        return (tf.cast(tf.bitwise.right_shift(word, _u32(9)), dtype) + 0.5) * 2.0**-23

    radius = tf.sqrt(-2.0 * tf.math.log(uniform(first)))
    angle = 2.0 * math.pi * uniform(second)
    draws = tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], pack_axis)
    return tf.slice(draws, [0] * len(shape), list(shape))
