"""The rival that learns nothing: look the question up in the training text, and read the answer off a sentence.

Passages are found by BM25 as Lucene computes it (Robertson, Zaragoza 2009; k1 1.5, b 0.75; package `bm25s`). The reader
has no model: where a passage asks the question it takes the line after it, else the sentence with the rarest words of
the question, and of it what the question did not say. It abstains where no passage has the names and numbers of the
question, each run of them in a row.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import bm25s
import numpy as np
from bm25s.tokenization import Tokenized

from forge.data.conversations import SEPARATOR
from forge.evaluate.marking import ARTICLES, normalised
from forge.evaluate.questions import Question

PASSAGE_WORDS = 100
"""A paragraph longer than this is cut between sentences."""
PASSAGES = 4
"""That are read for a question."""
MOST_BYTES = 256 * 1024 * 1024
"""Of training text: its index is held in memory, in about ten times as much."""
ABSTAINS = "I do not know"

FUNCTION_WORDS = frozenset(
    "am and are as at be been but by can could did do does for from had has have he her him his how i if in into is it "
    "its me my of on or our she should so than that their them there they this to was we were what when where which "
    "who whom whose why will with would you your much many".split()
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_LABEL = re.compile(r"^\s*\w{1,12}\s*:\s*")
"""Before an answer: "A:", "Answer:"."""
_PARAGRAPH = re.compile(rf"\n\s*\n|{SEPARATOR}")
_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Found:
    """What retrieval has to say to a question."""

    reply: str
    passages: tuple[str, ...]
    """The best first."""


class Retrieval:
    """An index of the passages of a training text."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._passages: list[str] = []
        ids: list[list[int]] = []
        self._vocabulary: dict[str, int] = {}
        for text in texts:
            for passage in passages_of(text):
                words = normalised(passage)
                if words:
                    self._passages.append(passage)
                    ids.append([self._vocabulary.setdefault(word, len(self._vocabulary)) for word in words])
        counts = Counter(number for one in ids for number in set(one))
        self._rarity = [math.log(1 + len(ids) / counts[number]) for number in range(len(self._vocabulary))]
        self._index = bm25s.BM25()
        if ids:
            self._index.index(Tokenized(ids=ids, vocab=self._vocabulary), show_progress=False)

    def __len__(self) -> int:
        return len(self._passages)

    def look_up(self, question: Question) -> Found:
        """Return the best passages for a question, and what the reader finds in them."""
        passages = tuple(self._best(question.text))
        return Found(self._read(question, passages), passages)

    def _best(self, text: str) -> Iterator[str]:
        known = [self._vocabulary[word] for word in normalised(text) if word in self._vocabulary]
        if not known:
            return
        scores = self._index.get_scores(known)
        # Stable: of passages with the same score the first in the corpus.
        for place in np.argsort(-scores, kind="stable")[:PASSAGES]:
            if scores[place] > 0:
                yield self._passages[place]

    def _read(self, question: Question, passages: Sequence[str]) -> str:
        names = names_in(question.text)
        readable = [passage for passage in passages if all(_says(passage, name) for name in names)]
        asked = set(normalised(question.text)) - FUNCTION_WORDS
        sentences = [sentence for passage in readable for sentence in _SENTENCE.split(passage)]
        for sentence, after in pairwise(sentences):
            if _says(sentence, normalised(question.text)):
                return _LABEL.sub("", after)
        answering = [
            sentence
            for sentence in sentences
            if set(normalised(sentence)) - asked - FUNCTION_WORDS and not sentence.rstrip().endswith("?")
        ]
        if not answering:
            return ABSTAINS

        def weight(sentence: str) -> float:
            shared = asked.intersection(normalised(sentence))
            return sum(self._rarity[self._vocabulary[word]] for word in shared)

        best = max(answering, key=weight)  # the first of equals
        return answer_in(best, question)


def passages_of(text: str) -> Iterator[str]:
    """Yield the paragraphs of a text, long ones cut between sentences; a message of a conversation is one."""
    for paragraph in _PARAGRAPH.split(text):
        passage: list[str] = []
        words = 0
        for sentence in _SENTENCE.split(paragraph):
            count = len(sentence.split())
            if passage and words + count > PASSAGE_WORDS:
                yield "\n".join(passage)
                passage, words = [], 0
            if sentence.strip():
                passage.append(sentence.strip())
                words += count
        if passage:
            yield "\n".join(passage)


def names_in(question: str) -> list[tuple[str, ...]]:
    """Return the names and numbers of a question: runs of words with a capital letter or a digit.

    A first word that is a function word is none, and a number belongs to the name before it.
    """
    runs: list[list[str]] = [[]]
    end = 0
    for word in _WORD.finditer(question):
        is_name = (word[0][0].isupper() and word[0].casefold() not in FUNCTION_WORDS) or word[0][0].isdigit()
        if question[end : word.start()].strip(" -'’") and word.start():
            runs.append([])
        if is_name:
            runs[-1].append(word[0])
        else:
            runs.append([])
        end = word.end()
    return [normalised(" ".join(run)) for run in runs if run]


def answer_in(sentence: str, question: Question) -> str:
    """Return the part of a sentence that answers: what has the form of the attribute's values, else what is new in it.

    Values with numbers have a form: "30 days" and "45 days" make "a number, days". Of the values themselves nothing is
    looked for. What is new is from the first word that is neither of the question nor a function word to the last.
    """
    asked = set(normalised(question.text))
    for form in _forms(question.others):
        for found in form.finditer(sentence):
            if not set(normalised(found[0])) <= asked:
                return found[0]
    new = [
        word.span()
        for word in _WORD.finditer(sentence)
        if not {*normalised(word[0])} <= asked | FUNCTION_WORDS | ARTICLES
    ]
    return sentence[new[0][0] : new[-1][1]] if new else sentence


def _says(passage: str, name: tuple[str, ...]) -> bool:
    words = normalised(passage)
    return any(words[place : place + len(name)] == name for place in range(len(words)))


def _forms(values: Sequence[str]) -> list[re.Pattern[str]]:
    """Return patterns of values that hold a number, the most frequent first."""
    counts: Counter[str] = Counter()
    for value in values:
        if any(character.isdigit() for character in value):
            pieces = re.split(r"(\d+(?:[.,]\d+)*)", value)
            counts[
                "".join(
                    r"\d+(?:[.,]\d+)*" if place % 2 else re.escape(piece)
                    for place, piece in enumerate(pieces)
                )
            ] += 1
    return [
        re.compile(rf"(?<!\w){form}(?!\w)", re.IGNORECASE)
        for form, count in counts.most_common()
        if count > 1
    ]
