"""A score of 0 to 1 for how much a text looks like running prose or orderly code, made of five plain signals."""

from __future__ import annotations

from forge.data.words import count_letters

BINS = 10
SIGNALS = (
    "letters among what is not white space (1 from 0.7 on)",
    "lines that are not repeats of an earlier line",
    "distinct words among the first 500 (1 from 0.4 on)",
    "mean length of words (1 between 3 and 10 characters)",
    "number of words (1 from 50 on)",
)
DISTINCT_WORDS_LOOKED_AT = 500


def quality_score(text: str, words: list[str]) -> float:
    """Return the mean of the five SIGNALS, each between 0 and 1. No document is judged by it: it is for a histogram."""
    if not words:
        return 0.0
    seen = sum(map(len, text.split()))
    lines = [line for line in map(str.strip, text.split("\n")) if line]
    head = words[:DISTINCT_WORDS_LOOKED_AT]
    mean = sum(map(len, head)) / len(head)
    signals = (
        min(1.0, count_letters(text) / max(1, seen) / 0.7),
        len(set(lines)) / max(1, len(lines)),
        min(1.0, len(set(head)) / len(head) / 0.4),
        1.0 if 3 <= mean <= 10 else max(0.0, 1 - min(abs(mean - 3), abs(mean - 10)) / 3),
        min(1.0, len(words) / 50),
    )
    return sum(signals) / len(signals)
