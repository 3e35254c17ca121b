"""Headers and footers: lines at the edges of documents, or of a document's pages, that many of them share.

Lines are compared with digits and white space levelled, so that "Page 3 of 12" is one line. Lines in the body are
left alone: in legal text much is said again on purpose.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from forge.data.draft import Change, Draft

EDGE_LINES = 4
"""Lines at either end of a document or page that can be a header or footer; empty ones do not count."""
LEAST_DOCUMENTS = 10
"""A line that fewer documents share is no boilerplate, whatever their share."""
LEAST_PAGES = 3
LONGEST_LINE_CHARACTERS = 200
DIGITS = re.compile(r"\d+")

Lines = Mapping[str, frozenset[bytes]]
"""Group of documents -> hashes of the lines that are boilerplate in it."""


def group_of(draft: Draft) -> str:
    """Return the documents this one shares its boilerplate with: of one source, one folder and one format."""
    return "\0".join((draft.source, draft.path.rpartition("/")[0], draft.mime))


def edge_hashes(text: str) -> set[bytes]:
    """Return hashes of the lines at either end of `text`."""
    lines = text.split("\n")
    return {_hash(lines[place]) for place in _edges(lines)}


def repeated(counts: Mapping[str, Counter[bytes]], documents: Mapping[str, int], fraction: float) -> Lines:
    """Return the lines at the edges of at least `fraction` of a group's documents, and of LEAST_DOCUMENTS."""
    return {
        group: frozenset(
            line
            for line, count in lines.items()
            if count >= max(LEAST_DOCUMENTS, fraction * documents[group])
        )
        for group, lines in counts.items()
    }


def remove(draft: Draft, lines: Lines, parameters: dict[str, Any]) -> None:
    """Take the boilerplate off a document: `lines` of its group, and what most of its own pages share."""
    known = lines.get(group_of(draft), frozenset())
    pages = draft.text.split("\f")
    own: Counter[bytes] = Counter()
    if len(pages) >= LEAST_PAGES:
        for page in pages:
            own.update(edge_hashes(page))
    shared = {line for line, count in own.items() if count >= max(LEAST_PAGES, len(pages) / 2)}
    if not known and not shared:
        return
    removed = 0
    kept_pages = []
    for number, page in enumerate(pages):
        # What the documents share stands at their two ends, what the pages share at the ends of each.
        wanted = shared | known if number in (0, len(pages) - 1) else shared
        page_lines = page.split("\n")
        gone = {place for place in _edges(page_lines) if _hash(page_lines[place]) in wanted}
        removed += len(gone)
        kept_pages.append("\n".join(line for place, line in enumerate(page_lines) if place not in gone))
    if removed:
        text = "\f".join(kept_pages).strip("\n")
        draft.rewrite(text, Change("boilerplate", f"{removed} lines at the edges", float(removed)))


def _edges(lines: list[str]) -> set[int]:
    """Return the places of the first and last EDGE_LINES lines that say something and are short."""
    places: set[int] = set()
    for order in (range(len(lines)), range(len(lines) - 1, -1, -1)):
        seen = 0
        for place in order:
            if not lines[place].strip():
                continue
            seen += 1
            if len(lines[place]) <= LONGEST_LINE_CHARACTERS:
                places.add(place)
            if seen == EDGE_LINES:
                break
    return places


def _hash(line: str) -> bytes:
    levelled = DIGITS.sub("0", " ".join(line.split()))
    return hashlib.blake2b(levelled.encode(), digest_size=8).digest()
