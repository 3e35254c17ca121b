"""Names that nothing bears, to ask about: nearly names that are known, and unlike any of them.

Near ones are put together from parts of known names, so that only knowing them all tells that one is missing:
"Orion 40" and "Vega 12" make "Orion 12". An easy stranger alone would make a model that invents answers look careful.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from forge.evaluate.marking import normalised

ONSETS = "b br d dr f g gl h j k kr l m n p pl qu r s sk t tr v w y z zh".split()
VOWELS = "a e i o u ai ou ee".split()
CODAS = ["", "", "l", "n", "r", "x", "sk", "th", "mb"]
TRIES_A_NAME = 20
"""Draws for each name wanted; then there are no more to be had."""


def near_names(known: Sequence[str], count: int, seed: int) -> list[str]:
    """Return up to `count` names made of the first words of one known name and the last words of another.

    Of names of one word, halves of the words are put together.
    """
    source = random.Random(f"near {seed}")
    splits = [_split(name) for name in sorted(set(known))]
    if len(splits) < 2:
        return []  # one name has nothing to be mixed up with
    made: list[str] = []
    taken = {normalised(name) for name in known}
    for _ in range(TRIES_A_NAME * count):
        if len(made) == count:
            break
        one, other = source.sample(splits, 2)
        name = one[0] + one[1] + other[2]
        if normalised(name) not in taken:
            taken.add(normalised(name))
            made.append(name)
    return made


def far_names(known: Sequence[str], count: int, seed: int) -> list[str]:
    """Return up to `count` names of the shape of known ones, with other words and numbers in them."""
    source = random.Random(f"far {seed}")
    shapes = sorted(set(known))
    taken = {normalised(name) for name in known}
    made: list[str] = []
    for _ in range(TRIES_A_NAME * count):
        if len(made) == count:
            break
        shape = source.choice(shapes)
        name = re.sub(r"\d+|[^\W\d_]+", lambda word: _stranger(word[0], source), shape)
        if normalised(name) not in taken:
            taken.add(normalised(name))
            made.append(name)
    return made


def _split(name: str) -> tuple[str, str, str]:
    """Return the first part of a name, what is between, and its last part."""
    words = re.split(r"(\s+)", name.strip())
    if len(words) > 1:
        return "".join(words[:-2]), words[-2], words[-1]
    middle = (len(name) + 1) // 2
    return name[:middle], "", name[middle:]


def _stranger(word: str, source: random.Random) -> str:
    if word.isdigit():
        return str(source.randint(10 ** len(word), 10 ** (len(word) + 1) - 1))
    syllables = range(2 if len(word) <= 8 else 3)
    made = "".join(source.choice(ONSETS) + source.choice(VOWELS) + source.choice(CODAS) for _ in syllables)
    return made.capitalize() if word[0].isupper() else made
