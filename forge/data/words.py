"""Words and letters, in any script: what the rules count and what shingles are made of."""

from __future__ import annotations

import functools
import itertools
import re
import sys
import unicodedata
from dataclasses import dataclass

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

ASCII_WORD = re.compile(r"[A-Za-z0-9_]+")
ASCII_LETTERS = re.compile(r"[A-Za-z]+")


def split_words(text: str) -> list[str]:
    """Return the words of `text`, cases levelled: runs of letters, digits, marks and underscores.

    Python's `\\w` knows no combining marks, so it would cut the words of Hindi or Tamil into pieces.
    """
    if text.isascii():
        return ASCII_WORD.findall(text.lower())
    return _patterns().word.findall(text.casefold())


def count_letters(text: str) -> int:
    """Return how many characters of `text` are letters or marks on letters."""
    pattern = ASCII_LETTERS if text.isascii() else _patterns().letters
    return sum(map(len, pattern.findall(text)))


@dataclass(frozen=True, slots=True)
class _Patterns:
    word: re.Pattern[str]
    letters: re.Pattern[str]


@functools.lru_cache(maxsize=1)
def _patterns() -> _Patterns:
    unspaced = {point for first, last in UNSPACED for point in range(first, last + 1)}
    words: list[int] = []
    singles: list[int] = []
    marks: list[int] = []
    letters: list[int] = []
    for point in range(sys.maxunicode + 1):
        character = chr(point)
        mark = unicodedata.category(character)[0] == "M"
        if mark:
            marks.append(point)
        if mark or character.isalpha():
            letters.append(point)
        if mark or character.isalnum() or character == "_":
            (singles if point in unspaced and not mark else words).append(point)
    return _Patterns(
        word=re.compile(f"[{_ranges(singles)}][{_ranges(marks)}]*|[{_ranges(words)}]+"),
        letters=re.compile(f"[{_ranges(letters)}]+"),
    )


def _ranges(points: list[int]) -> str:
    """Return sorted code points as the inside of a regular expression's character class."""
    pieces = []
    for _, run in itertools.groupby(enumerate(points), key=lambda pair: pair[1] - pair[0]):
        members = [point for _, point in run]
        pieces.append(f"\\U{members[0]:08x}-\\U{members[-1]:08x}")
    return "".join(pieces)
