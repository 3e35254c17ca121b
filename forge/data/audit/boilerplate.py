"""Lines that many documents of a source share: footers, navigation, disclaimers. Counted in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass

LEAST_DOCUMENTS = 5
LEAST_SHARE = 0.01
"""Of the documents of the source."""
LEAST_WORDS = 4
"""Shorter lines are headings: they repeat because documents are alike in kind."""
MOST_LINE_CHARACTERS = 500
WINDOW_LINES = 1_000_000
"""Lossy counting (Manku, Motwani, VLDB 2002): a count is short by at most lines seen / WINDOW_LINES."""


@dataclass(frozen=True, slots=True)
class RepeatedLine:
    """A line and where it stands."""

    source: str
    line: str
    documents: int
    bytes: int
    """All that its repeats take up, the first one not counted."""
    first_document: int


class LineCounter:
    """Counts, for each source, in how many documents each line stands."""

    def __init__(self, window_lines: int = WINDOW_LINES) -> None:
        self._counts: dict[tuple[str, str], list[int]] = {}
        self._window_lines = window_lines
        self._seen = 0
        self._documents: dict[str, int] = {}

    def add(self, source: str, number: int, text: str) -> None:
        """Count the lines of document `number`, each once."""
        self._documents[source] = self._documents.get(source, 0) + 1
        for line in {stripped for line in text.split("\n") if (stripped := line.strip().lstrip("#").strip())}:
            if len(line) > MOST_LINE_CHARACTERS or line.count(" ") < LEAST_WORDS - 1:
                continue
            entry = self._counts.get((source, line))
            if entry is None:
                # [documents, how many may have been forgotten, first document]
                self._counts[source, line] = [1, self._seen // self._window_lines, number]
            else:
                entry[0] += 1
            self._seen += 1
            if self._seen % self._window_lines == 0:
                self._forget()

    def _forget(self) -> None:
        window = self._seen // self._window_lines
        self._counts = {key: entry for key, entry in self._counts.items() if entry[0] + entry[1] > window}

    def repeated(self) -> list[RepeatedLine]:
        """Return the lines in at least LEAST_DOCUMENTS documents and LEAST_SHARE of a source, most bytes first."""
        found = []
        for (source, line), (documents, _, first) in self._counts.items():
            if documents >= max(LEAST_DOCUMENTS, LEAST_SHARE * self._documents[source]):
                found.append(
                    RepeatedLine(source, line, documents, len(line.encode()) * (documents - 1), first)
                )
        return sorted(found, key=lambda one: (-one.bytes, one.source, one.line))
