"""Headers and footers: lines at the edges of documents, or of a document's pages, that many of them share.

Lines are compared with digits and white space levelled, so that "Page 3 of 12" is one line. Lines in the body are
left alone: in legal text much is said again on purpose.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from forge.data.draft import Change, Draft
from forge.data.word_codes import Uint64

EDGE_LINES = 4
"""Lines at either end of a document or page that can be a header or footer; empty ones do not count."""
LEAST_DOCUMENTS = 10
"""A line that fewer documents share is no boilerplate, whatever their share."""
LEAST_PAGES = 3
LONGEST_LINE_CHARACTERS = 200
FORM_FEED = ord("\f")
DIGITS = re.compile(r"\d+")

Ints = npt.NDArray[np.int64]
Lines = Mapping[str, frozenset[bytes]]
"""Group of documents -> hashes of the lines that are boilerplate in it."""


def group_of(source: str, path: str, mime: str) -> str:
    """Return the documents that one shares its boilerplate with: of one source, one folder and one format."""
    return "\0".join((source, path.rpartition("/")[0], mime))


def edge_hashes(text: str) -> set[bytes]:
    """Return hashes of the lines at either end of `text`."""
    lines = text.split("\n")
    return {_hash(lines[place]) for place in _edges(lines)}


def packed(hashes: set[bytes]) -> Uint64:
    """Return hashes of lines as numbers, in order."""
    return np.sort(np.frombuffer(b"".join(hashes), np.uint64))


def repeated(groups: Sequence[str], lines: Uint64, borders: Ints, fraction: float) -> tuple[Lines, Ints]:
    """Return the lines at the edges of at least `fraction` of a group's documents, and of LEAST_DOCUMENTS.

    Args:
        groups: of each document.
        lines: hashes of the lines at the edges of all, those of one document all different.
        borders: where those of each document begin, and where the last end.
        fraction: of a group's documents.

    Returns:
        The lines, and the places of the documents that have one of them.
    """
    codes: dict[str, int] = {}
    of_document = np.array([codes.setdefault(group, len(codes)) for group in groups], np.int64)
    documents = np.bincount(of_document, minlength=len(codes))
    bearers = np.repeat(np.arange(len(groups)), np.diff(borders))
    order = np.lexsort((lines, of_document[bearers]))
    lines, bearers = lines[order], bearers[order]
    owners = of_document[bearers]
    begins = np.flatnonzero(
        np.r_[True, (lines[1:] != lines[:-1]) | (owners[1:] != owners[:-1])][: len(lines)]
    )
    counts = np.diff(np.append(begins, len(lines)))
    shared = counts >= np.maximum(LEAST_DOCUMENTS, fraction * documents[owners[begins]])
    names = list(codes)
    found: dict[str, set[bytes]] = {}
    for place in begins[shared].tolist():
        found.setdefault(names[owners[place]], set()).add(lines[place].tobytes())
    return {group: frozenset(some) for group, some in found.items()}, bearers[np.repeat(shared, counts)]


def candidates(documents: pa.Table, lines: Lines, bearers: Collection[str]) -> Ints:
    """Return the places of the documents that `remove` may change.

    Args:
        documents: table of DRAFTS.
        lines: boilerplate.
        bearers: the ids of those that have one of `lines` at the edges of the whole. With several pages others may
            have one at the inner edges of the first or the last.
    """
    pages = _page_counts(documents["text"])
    found = pages >= LEAST_PAGES
    if bearers:
        found |= pc.is_in(documents["document_id"], pa.array(sorted(bearers), pa.string())).to_numpy()
    for place in np.flatnonzero((pages > 1) & ~found).tolist():
        source, path, mime = (documents[name][place].as_py() for name in ("source", "path", "mime"))
        found[place] = group_of(source, path, mime) in lines
    return np.flatnonzero(found)


def _page_counts(texts: pa.ChunkedArray) -> Ints:
    """Return how many pages each text has. Form feeds are looked for in all at once: most have none."""
    pages = np.ones(len(texts), np.int64)
    first = 0
    for chunk in texts.cast(pa.large_string()).chunks:
        _, offsets, content = chunk.buffers()
        borders = np.frombuffer(offsets, np.int64, len(chunk) + 1, 8 * chunk.offset)
        feeds = np.flatnonzero(np.frombuffer(content or b"", np.uint8) == FORM_FEED)
        pages[first : first + len(chunk)] += np.diff(np.searchsorted(feeds, borders))
        first += len(chunk)
    return pages


def remove(draft: Draft, lines: Lines, parameters: dict[str, Any]) -> None:
    """Take the boilerplate off a document: `lines` of its group, and what most of its own pages share."""
    known = lines.get(group_of(draft.source, draft.path, draft.mime), frozenset())
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
        for place in sorted(gone, reverse=True):
            del page_lines[place]
        kept_pages.append("\n".join(page_lines))
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


@functools.lru_cache(maxsize=4_096)
def _hash(line: str) -> bytes:
    # What is boilerplate is asked for again and again.
    levelled = DIGITS.sub("0", " ".join(line.split()))
    return hashlib.blake2b(levelled.encode(), digest_size=8).digest()
