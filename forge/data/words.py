"""Words and letters, in any script: what the rules count and what shingles are made of."""

from __future__ import annotations

import functools
import itertools
import re
import sys
import unicodedata
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Scripts written without spaces between words: each character (with its marks) counts as a word.
UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)

MARKS = (range(0x300, 0x20000), range(0xE0100, 0xE01F0))
"""Where Unicode has combining marks."""

ASCII_WORD = re.compile(r"[A-Za-z0-9_]+")
ASCII_SPACES = bytes(point for point in range(128) if chr(point).isspace())
NO_LETTERS = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"))


def split_words(text: str) -> list[str]:
    """Return the words of `text`, cases levelled: runs of letters, digits, marks and underscores.

    Python's `\\w` knows no combining marks, so it would cut the words of Hindi or Tamil into pieces.
    """
    if text.isascii():
        return ASCII_WORD.findall(text.lower())
    return _word_pattern().findall(text.casefold())


def count_letters(text: str) -> int:
    """Return how many characters of `text` are letters or marks on letters."""
    if text.isascii():
        return len(text.encode().translate(None, NO_LETTERS))
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    return int(np.count_nonzero(_classes().letters[points]))


def count_seen(text: str) -> int:
    """Return how many characters of `text` are no white space."""
    if text.isascii():
        return len(text.encode().translate(None, ASCII_SPACES))
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    return len(points) - int(np.count_nonzero(_classes().spaces[points]))


@functools.lru_cache(maxsize=1)
def character_kinds() -> npt.NDArray[np.uint8]:
    """Return for each code point 1 where it is part of words, 2 where it is a word itself, 3 for a mark, else 0."""
    return _classes().kinds


@dataclass(frozen=True, slots=True)
class _Classes:
    kinds: npt.NDArray[np.uint8]
    letters: npt.NDArray[np.bool_]
    spaces: npt.NDArray[np.bool_]


@functools.lru_cache(maxsize=1)
def _classes() -> _Classes:
    points = np.arange(sys.maxunicode + 1, dtype=np.uint32)
    points[0xD800:0xE000] = 0  # NumPy makes no text of surrogates, which are no letters
    characters = points.view("U1")
    letters = np.char.isalpha(characters)
    kinds = np.char.isalnum(characters).astype(np.uint8)
    kinds[ord("_")] = 1
    for first, last in UNSPACED:
        kinds[first : last + 1] *= 2
    marks = [point for some in MARKS for point in some if unicodedata.category(chr(point))[0] == "M"]
    kinds[marks] = 3
    letters[marks] = True
    return _Classes(kinds, letters, np.char.isspace(characters))


@functools.lru_cache(maxsize=1)
def _word_pattern() -> re.Pattern[str]:
    kinds = _classes().kinds
    singles, marks = (_ranges(np.flatnonzero(kinds == kind).tolist()) for kind in (2, 3))
    words = _ranges(np.flatnonzero((kinds == 1) | (kinds == 3)).tolist())
    return re.compile(f"[{singles}][{marks}]*|[{words}]+")


def _ranges(points: list[int]) -> str:
    """Return sorted code points as the inside of a regular expression's character class."""
    pieces = []
    for _, run in itertools.groupby(enumerate(points), key=lambda pair: pair[1] - pair[0]):
        members = [point for _, point in run]
        pieces.append(f"\\U{members[0]:08x}-\\U{members[-1]:08x}")
    return "".join(pieces)
