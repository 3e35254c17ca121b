"""The web rules on random texts, each held against its definition written down without haste."""

import random
import re
from typing import Any

import pytest

from forge.data.quality import BULLETS, ELLIPSES, findings
from forge.data.word_codes import word_codes
from forge.data.words import count_seen, split_words
from tests.data.builders import CORPUS

OFF: dict[str, Any] = CORPUS | {
    "min_words": 0,
    "min_alphabetic_fraction": 0,
    "max_repeated_line_fraction": 1,
    "max_mean_word_characters": None,
}
PIECES = [
    *(
        "the",
        "of",
        "and",
        "That",
        "be",
        "word",
        "x",
        "12",
        "#",
        "...",
        "....",
        "…",
        "•",
        "-",
        "*",
        "é",
        "漢字",
        "ß",
        "{",
    ),
    *(
        " ",
        " ",
        " ",
        "\n",
        "\n",
        "\n\n",
        "\n \t\n",
        "\x0b",
        "\x1c",
        "\u2003",
        "\xa0",
        ". ",
        "! ",
        "? ",
        "。",
        '." ',
    ),
]


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


def repeats(items: list[str]) -> float:
    return 1 - len(set(items)) / len(items) if items else 0.0


def share(text: str, test: Any) -> float:
    found = lines(text)
    return sum(map(bool, map(test, found))) / len(found) if found else 0.0


PLAIN: dict[str, tuple[Any, bool]] = {
    "max_symbols_per_word": (
        lambda text, words: len(re.findall(r"#|\.\.\.|…", text)) / max(1, len(words)),
        True,
    ),
    "max_bullet_line_fraction": (
        lambda text, words: share(text, lambda line: line.startswith(BULLETS)),
        True,
    ),
    "max_ellipsis_line_fraction": (
        lambda text, words: share(text, lambda line: line.endswith(ELLIPSES)),
        True,
    ),
    "min_stop_words": (
        lambda text, words: len(set("the be to of and that have with".split()) & set(words)),
        False,
    ),
    "max_repeated_line_fraction": (lambda text, words: repeats(lines(text)), True),
    "max_repeated_paragraph_fraction": (
        lambda text, words: repeats([one.strip() for one in re.split(r"\n\s*\n", text) if one.strip()]),
        True,
    ),
    "min_sentences": (
        lambda text, words: len(re.findall(r"[.!?。！？؟।](?=[\s\"'”’)\]]|$)", text)),
        False,
    ),
    "max_short_line_fraction": (lambda text, words: share(text, lambda line: len(line) < 30), True),
}


@pytest.mark.parametrize("key", PLAIN)
def test_rules_are_what_they_say(key: str) -> None:
    measure, is_most = PLAIN[key]
    draw = random.Random(key)
    texts = ["".join(draw.choices(PIECES, k=draw.randrange(40))) + "end" for _ in range(600)]
    limits = [0, 1, 3] if key in ("min_stop_words", "min_sentences") else [0, 0.2, 0.5, 0.9, 1]
    for limit in limits:
        found = list(findings(texts, list(word_codes(texts)), OFF | {key: limit}))
        values = [measure(text, split_words(text)) for text in texts]
        wrong = [value > limit if is_most else value < limit for value in values]
        assert [one is not None for one in found] == wrong
        assert [one.score for one in found if one] == [v for v, bad in zip(values, wrong, strict=True) if bad]


def test_what_is_no_white_space() -> None:
    draw = random.Random(1)
    for _ in range(500):
        text = "".join(
            draw.choices([*PIECES, "\x1f", "\x85", "\u3000", "\u200b", "\ufeff", "\U0001f600"], k=12)
        )
        assert count_seen(text) == sum(map(len, text.split()))
    every = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))
    assert count_seen(every) == sum(map(len, every.split()))
