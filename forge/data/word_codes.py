"""The words of many texts at once, as 64-bit numbers: what counting and comparing need, in NumPy.

A word is what `forge.data.words.split_words` says it is; equal words have equal codes, whatever the process or the
order. The code is a polynomial over random 64-bit values of the characters, then mixed: two different words collide
with a chance of about 2^-64.
"""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from forge.data.words import character_kinds

Uint64 = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

BLOCK_CHARACTERS = 1 << 16
"""Texts worked on at once: the arrays of a block stay in the processor's cache."""

# splitmix64 (Steele, Lea, Flood 2014): every bit of the input moves every bit of the output.
MIX_1, MIX_2, MIX_3 = (
    np.uint64(value) for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
FACTOR = 0x5851F42D4C957F2D
"""Odd, so it has an inverse modulo 2^64."""


@dataclass(frozen=True, slots=True)
class WordCodes:
    """The words of one text, in order."""

    codes: Uint64
    lengths: Ints
    """Characters of each word, cases levelled."""

    def __len__(self) -> int:
        return len(self.codes)


def mix(values: Uint64) -> Uint64:
    """Return each value hashed to 64 bits."""
    values = values.copy()
    mix_in_place(values, np.empty_like(values))
    return values


def mix_in_place(values: Uint64, scratch: Uint64) -> None:
    """Hash each value to 64 bits; `scratch` is room for as many."""
    values += MIX_1
    for shift, factor in ((30, MIX_2), (27, MIX_3)):
        np.right_shift(values, np.uint64(shift), out=scratch)
        values ^= scratch
        values *= factor
    np.right_shift(values, np.uint64(31), out=scratch)
    values ^= scratch


def word_codes(texts: Sequence[str]) -> Iterator[WordCodes]:
    """Yield the words of each text."""
    block: list[str] = []
    characters = 0
    for text in texts:
        block.append(text.lower() if text.isascii() else text.casefold())
        characters += len(block[-1]) + 1
        if characters >= BLOCK_CHARACTERS:
            yield from _of_both(block)
            block, characters = [], 0
    yield from _of_both(block)


def _of_both(texts: list[str]) -> Iterator[WordCodes]:
    """Yield the words of texts of which some are ASCII: those have less to be looked at, and are taken apart alone."""
    plain = [text.isascii() for text in texts]
    ascii_words = _block(list(itertools.compress(texts, plain)))
    others = _block([text for text, one in zip(texts, plain, strict=True) if not one])
    for one in plain:
        yield next(ascii_words if one else others)


def _block(texts: list[str]) -> Iterator[WordCodes]:
    if not texts:
        return
    joined = "\n".join(texts) + "\n"
    if joined.isascii():
        # A byte is a character, and a quarter of the memory.
        content = joined.encode()
        points: npt.NDArray[Any] = np.frombuffer(content, np.uint8)
        starts, ends = _ascii_borders(np.frombuffer(content.translate(_ascii_kinds()), np.bool_))
    else:
        points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
        starts, ends = _borders(character_kinds()[points])
    powers, inverses = _powers(1 << max(len(points), BLOCK_CHARACTERS).bit_length())
    sums = np.zeros(len(points) + 1, np.uint64)
    # Clipped: no character is out of range, and NumPy need not look first.
    products = _character_values().take(points, mode="clip")
    products *= powers[: len(points)]
    np.cumsum(products, out=sums[1:])
    lengths = ends - starts
    codes = (sums[ends] - sums[starts]) * inverses[starts] + lengths.astype(np.uint64)
    mix_in_place(codes, np.empty_like(codes))
    borders = np.searchsorted(starts, np.cumsum([0] + [len(text) + 1 for text in texts]))
    for first, last in itertools.pairwise(borders.tolist()):
        yield WordCodes(codes[first:last], lengths[first:last])


def _ascii_borders(inside: npt.NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Return what `_borders` does where there are no characters that are words by themselves."""
    turns = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    if inside[0]:
        turns = np.concatenate([[0], turns])
    return turns[::2], turns[1::2]


@functools.lru_cache(maxsize=1)
def _ascii_kinds() -> bytes:
    """Return the table of `bytes.translate` from an ASCII character to whether it is part of a word."""
    return (character_kinds()[:256] > 0).tobytes()


def _borders(kinds: npt.NDArray[np.uint8]) -> tuple[Ints, Ints]:
    """Return where words start and where they end. The last character is no part of a word."""
    inside = kinds > 0
    begins = inside.copy()
    begins[1:] &= ~inside[:-1]
    if (kinds > 1).any():
        # A character of an unspaced script is a word with the marks on it, and what follows begins another.
        marks = kinds == 3
        owners = np.maximum.accumulate(np.where(marks, 0, np.arange(len(kinds))))
        single = kinds[owners] == 2
        begins |= kinds == 2
        begins[1:] |= (kinds[1:] == 1) & single[:-1]
    stops = inside[:-1] & (begins[1:] | ~inside[1:])
    return np.flatnonzero(begins), np.flatnonzero(stops) + 1


@functools.lru_cache(maxsize=1)
def _character_values() -> Uint64:
    return mix(np.arange(sys.maxunicode + 1, dtype=np.uint64) * MIX_3)


@functools.lru_cache(maxsize=2)
def _powers(count: int) -> tuple[Uint64, Uint64]:
    """Return FACTOR^i and its inverse modulo 2^64, for i below `count`."""
    factors = np.full(count, FACTOR, np.uint64)
    inverses = np.full(count, pow(FACTOR, -1, 1 << 64), np.uint64)
    factors[0] = inverses[0] = 1
    return np.multiply.accumulate(factors), np.multiply.accumulate(inverses)
