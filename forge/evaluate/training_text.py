"""What of a question the training text has: the question itself, the fact behind it, the name in it, or nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from forge.evaluate.marking import normalised
from forge.evaluate.questions import DOCUMENT, OTHER, SEEN, UNTAUGHT, Question
from forge.progress import Progress

Words = tuple[str, ...]


class Phrases:
    """Finds many runs of words in a text in one pass over it."""

    def __init__(self, phrases: Iterable[Words]) -> None:
        self._by_first: dict[str, set[Words]] = defaultdict(set)
        for words in phrases:
            if words:
                self._by_first[words[0]].add(words)

    def found_in(self, text: str) -> set[Words]:
        """Return those that the text holds, compared as replies and answers are."""
        words = normalised(text)
        return {
            phrase
            for place, word in enumerate(words)
            if word in self._by_first
            for phrase in self._by_first[word]
            if words[place : place + len(phrase)] == phrase
        }


def look_up(questions: Sequence[Question], texts: Iterable[str], progress: Progress) -> list[Question]:
    """Return the questions with the kinds that `texts`, the documents trained on, give them.

    A question made from a fact is SEEN where a document holds it and an answer, DOCUMENT where one holds its subject
    and an answer, else UNTAUGHT. One that a user gave no kind is SEEN where a document holds it and an answer. A kind
    that the user gave stays. Questions about names that were made up are left out where the training text has the
    name after all.

    Args:
        questions: as they were read and made.
        texts: documents.
        progress: told of bytes, of a phase that the caller began.
    """
    asked = [normalised(question.text) for question in questions]
    subjects = [normalised(question.subject or "") for question in questions]
    answers = [{normalised(answer) for answer in question.answers} for question in questions]
    phrases = Phrases([*asked, *subjects, *(words for each in answers for words in each)])
    by_phrase: dict[Words, list[int]] = defaultdict(list)
    for place, pair in enumerate(zip(asked, subjects, strict=True)):
        for words in {*pair} - {()}:
            by_phrase[words].append(place)
    seen: set[int] = set()
    stated: set[int] = set()
    named: set[Words] = set()
    for text in texts:
        found = phrases.found_in(text)
        named |= found
        for words in found:
            for place in by_phrase.get(words, ()):
                if not found.isdisjoint(answers[place]):
                    (seen if words == asked[place] else stated).add(place)
        progress.advance(len(text.encode()))
    kept = []
    for place, question in enumerate(questions):
        is_made = question.subject is not None
        if is_made and question.is_unknown and subjects[place] in named:
            continue
        if is_made and not question.is_unknown:
            kind = SEEN if place in seen else DOCUMENT if place in stated else UNTAUGHT
            question = replace(question, kind=kind)
        elif question.kind == OTHER and place in seen:
            question = replace(question, kind=SEEN)
        kept.append(question)
    return kept
