"""How many of some words have each bit, added up for all 64 bits of a word at once."""

from __future__ import annotations

import numpy as np

from forge.data.sets import Ints, within
from forge.data.word_codes import Uint64


class BitCounts:
    """How often each bit is in the words of each of some rows.

    A count is kept as its binary digits, a word for each digit, which has that digit of the counts of all 64 bits. Rows
    of about one length are halved until one word is left of each: two halves are added as a chain of full adders would.
    """

    def __init__(self, words: Uint64, lengths: Ints) -> None:
        """Args: `words` of all rows, one row after the other; `lengths` of the rows."""
        starts = np.cumsum(lengths) - lengths
        halvings = np.ceil(np.log2(np.maximum(lengths, 1))).astype(np.int64)
        self._digits = np.zeros((int(halvings.max(initial=0)) + 1, len(lengths)), np.uint64)
        for count in np.flatnonzero(np.bincount(halvings)).tolist():
            rows = np.flatnonzero(halvings == count)
            some = lengths[rows]
            places = within(some)
            table = np.zeros((1 << count, len(rows)), np.uint64)
            table[places, np.repeat(np.arange(len(rows)), some)] = words[
                np.repeat(starts[rows], some) + places
            ]
            digits = [table]
            for _ in range(count):
                digits = _halved(digits)
            for number, digit in enumerate(digits):
                self._digits[number, rows] = digit[0]

    def of(self, rows: Ints, bits: Ints) -> Ints:
        """Return how many words of each of some rows have one bit each."""
        counts = np.zeros(len(rows), np.int64)
        shifts = bits.astype(np.uint64)
        for number, digit in enumerate(self._digits):
            counts |= ((digit[rows] >> shifts) & np.uint64(1)).astype(np.int64) << number
        return counts


def _halved(digits: list[Uint64]) -> list[Uint64]:
    """Add the second half of the rows of numbers to the first."""
    half = len(digits[0]) // 2
    sums: list[Uint64] = []
    carry: Uint64 | None = None
    for digit in digits:
        one, other = digit[:half], digit[half:]
        either, both = one ^ other, one & other
        if carry is None:
            sums.append(either)
            carry = both
        else:
            sums.append(either ^ carry)
            either &= carry
            both |= either
            carry = both
    assert carry is not None
    return [*sums, carry]
