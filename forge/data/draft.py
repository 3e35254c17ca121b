"""A document on its way through the steps of curation, and what a step says of it."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, field

from forge.data.word_codes import WordCodes, word_codes


def text_digest(text: str) -> bytes:
    """Return what a text is known by, 16 bytes: the first half of its SHA-256."""
    return hashlib.sha256(text.encode()).digest()[:16]


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a document is set aside."""

    reason: str
    """A stable short code."""
    detail: str
    score: float
    """The number that decided."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a step changed in a document, without what it took away."""

    step: str
    detail: str
    score: float
    """Characters, lines or values changed, as the detail says."""


@dataclass
class Draft:
    """A document as the last step left it."""

    document_id: str
    source: str
    path: str
    mime: str
    date: str
    """When it was last changed (or made, where only that is known), ISO 8601; "" where nobody knows."""
    text: str
    changes: list[Change] = field(default_factory=list)
    title: str = ""
    part: int = 0
    """Place in its file, from 0."""
    digest: bytes | None = None
    """What the text is known by, 16 bytes, where it was found out."""

    def rewrite(self, text: str, change: Change) -> None:
        """Put `text` in place of the text."""
        self.text = text
        self.digest = None
        self.changes.append(change)
        self.__dict__.pop("words", None)

    def known_by(self) -> bytes:
        """Return the digest of the text."""
        if self.digest is None:
            self.digest = text_digest(self.text)
        return self.digest

    @functools.cached_property
    def words(self) -> WordCodes:
        """The words of the text."""
        (found,) = word_codes([self.text])
        return found
