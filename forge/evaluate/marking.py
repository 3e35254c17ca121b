"""How a reply to a question is marked: exact, abstained or wrong.

Before replies and answers are compared both are normalised:

- Unicode NFKC, case folded;
- punctuation is a space, but for what is inside a number (1,250.50) and the apostrophe, which goes without one;
- the articles a, an and the are left out where a word follows (Vitamin A stays);
- numbers have one form: thousands not set apart, no zeros after the last decimal, no plus sign, and zero to twenty,
  the tens to ninety, hundred and thousand in digits where they stand alone (twelve is 12; 1,250.00 is 1250).

Words are compared in order. Nothing is stemmed, translated or weighed by meaning.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from typing import Literal

Mark = Literal["exact", "abstained", "wrong"]

ARTICLES = {"a", "an", "the"}
_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty"
).split()
_TENS = "thirty forty fifty sixty seventy eighty ninety".split()
NUMBER_WORDS = {
    **{word: str(number) for number, word in enumerate(_ONES)},
    **{word: str(number) for number, word in zip(range(30, 100, 10), _TENS, strict=True)},
    "hundred": "100",
    "thousand": "1000",
}
_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")


def normalised(text: str) -> tuple[str, ...]:
    """Return the words of `text` in the form in which replies and answers are compared."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("'", "").replace("’", "")
    words = _WORD.findall(text)
    last = len(words) - 1
    return tuple(
        NUMBER_WORDS.get(word) or _number(word)
        for place, word in enumerate(words)
        if place == last or word not in ARTICLES
    )


def mark(
    reply: str, answers: Collection[str], abstentions: Sequence[str], others: Collection[str] = ()
) -> Mark:
    """Return the mark of a reply.

    `exact`: its words are those of an answer; or it says an answer in its first sentence, word for word and in a row,
    and none of `others` in it. `abstained`: it is one of `abstentions`, or says one that has several words. `wrong`:
    anything else, and silence: a model that knows nothing has to say so. Of a question without an answer nothing is
    exact. What is exact is looked at first, so that an answer may be "unknown".

    Args:
        reply: what was written.
        answers: each is right; none where the right reply is to abstain.
        abstentions: how it is said that the answer is not known.
        others: what the answer could have been and is not: values of the same attribute.
    """
    said = normalised(reply)
    right = [words for words in map(normalised, answers) if words]
    if said in right:
        return "exact"
    if _abstains(said, abstentions):
        return "abstained"
    sentence = normalised(first_sentence(reply))
    if not any(_holds(sentence, words) for words in right):
        return "wrong"
    for words in map(normalised, others):
        # "10 years" is said by "110 years" no more than by "10 years and a day", and may be part of the answer itself.
        if words and _holds(sentence, words) and not any(_holds(answer, words) for answer in right):
            return "wrong"
    return "exact"


def first_sentence(text: str) -> str:
    """Return the text to its first line end, or to the first full stop, ! or ? with a space or nothing after it."""
    line = text.strip().split("\n", 1)[0]
    return re.split(r"(?<=[.!?])\s", line, maxsplit=1)[0]


def _abstains(said: tuple[str, ...], abstentions: Sequence[str]) -> bool:
    phrases = [words for words in map(normalised, abstentions) if words]
    return any(said == words or (len(words) > 1 and _holds(said, words)) for words in phrases)


def _holds(words: tuple[str, ...], run: tuple[str, ...]) -> bool:
    return any(words[start : start + len(run)] == run for start in range(len(words) - len(run) + 1))


def _number(word: str) -> str:
    if not word[0].isdigit():
        return word
    if _THOUSANDS.fullmatch(word):
        word = word.replace(",", "")
    if word.count(".") == 1 and "," not in word:
        word = word.rstrip("0").rstrip(".")
    return word.lstrip("0") or "0" if word.isdigit() else word
