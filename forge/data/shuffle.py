"""A random order of any number of things that takes no memory: a keyed permutation, computed where it is asked.

A balanced Feistel network over the next even power of two permutes it whatever its round function (Luby, Rackoff 1988);
values that fall outside are permuted again until they are inside ("cycle walking": Black, Rogaway 2002), four times at
most on average.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from forge.data.word_codes import mix

Ints = npt.NDArray[np.int64]

ROUNDS = 6


def permute(places: Ints, count: int, seed: int, epoch: int) -> Ints:
    """Return where `places` go in the order of 0 .. `count` - 1 that (`seed`, `epoch`) stand for, int64.

    The order is the same for ever: a run resumed under another NumPy goes on in it.
    """
    half_bits = max(1, (max(count - 1, 1).bit_length() + 1) // 2)
    key = mix(mix(np.array([seed % 2**64], np.uint64)) + np.array([epoch % 2**64], np.uint64))
    keys = [mix(key + np.uint64(number)) for number in range(ROUNDS)]
    values = np.asarray(places, np.int64).astype(np.uint64)
    outside = np.ones(values.shape, np.bool_)
    while outside.any():
        values[outside] = _feistel(values[outside], half_bits, keys)
        outside &= values >= np.uint64(count)
    return values.astype(np.int64)


def _feistel(
    values: npt.NDArray[np.uint64], half_bits: int, keys: list[npt.NDArray[np.uint64]]
) -> npt.NDArray[np.uint64]:
    shift = np.uint64(half_bits)
    mask = np.uint64((1 << half_bits) - 1)
    left, right = values >> shift, values & mask
    for key in keys:
        left, right = right, left ^ (mix(right + key) & mask)
    return (left << shift) | right
