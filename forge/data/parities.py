"""A few words of each set, which bound from above what two sets share.

Of the 512 bits of a set each element flips one. What two sets share flips the same bits in both: where their bits
differ, an element is in one of them alone. Sandes, Teodoro, Melo, "Bitmap filter: speeding up exact set similarity
joins with bitwise operations" (Information Systems 88, 2020), there "Bitmap-Xor".
"""

from __future__ import annotations

import numpy as np

from forge.data.sets import Ints
from forge.data.word_codes import Uint64

WORDS = 8
COUNTED_SETS = 512
"""Whose bits are counted at once, 8 bytes for each bit."""
ONES = np.array([number.bit_count() for number in range(256)], np.uint8)
"""Of the bits of a byte. NumPy counts bits itself from its version 2 on."""


def parities_of(hashes: Uint64, counts: Ints) -> Uint64:
    """Return the words of some sets, (n, WORDS).

    Args:
        hashes: of their elements, set after set.
        counts: of the elements of each.
    """
    bits = 64 * WORDS
    flips = (hashes >> np.uint64(64 - bits.bit_length() + 1)).astype(np.int64)
    ends = np.cumsum(counts)
    words = [np.empty((0, WORDS), np.uint64)]
    for first in range(0, len(counts), COUNTED_SETS):
        some = counts[first : first + COUNTED_SETS]
        end = ends[first : first + COUNTED_SETS][-1]
        own = flips[end - some.sum() : end]
        own += np.repeat(np.arange(0, bits * len(some), bits), some)
        odd = np.bincount(own, minlength=bits * len(some)).astype(np.uint8) & 1
        words.append(np.packbits(odd).view(np.uint64).reshape(-1, WORDS))
    return np.concatenate(words)


def most_shared(ones: Uint64, others: Uint64, sizes: Ints) -> Ints:
    """Return how many elements pairs of sets share at most.

    Args:
        ones: (n, WORDS), of the first set of each pair.
        others: of the second.
        sizes: elements of both together.
    """
    alone = ONES[(ones ^ others).view(np.uint8)].sum(axis=1, dtype=np.int64)
    most: Ints = (sizes - alone) // 2
    return most
