"""One pass over the documents: what each says of itself, in a record that no longer holds its text.

Examining a document needs no other one, so it is done in processes beside this one, in batches, in order.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from forge.data.audit.claims import Claim, find_claims
from forge.data.audit.documents import Text
from forge.data.audit.quality import quality_score
from forge.data.audit.secrets import SecretPlace, places
from forge.data.audit.settings import code_claims, table_claims
from forge.data.audit.stale import Signal, links, stale_signals
from forge.data.language import language_of
from forge.data.sensitive import find_values
from forge.data.statements import Stated, read_stated
from forge.data.words import split_words

BATCH_BYTES = 1_000_000
BATCHES_AHEAD = 4
"""A worker, that wait or are worked on; bounds memory."""
ALONE_BYTES = 4_000_000
"""Texts that are examined before it pays to start a process."""
MOST_CHARACTERS = 2_000_000
"""Looked at of one document, from its start; the rest counts as volume alone."""
MOST_MARKUP_BYTES = 4_000_000
MOST_PLACES = 200
"""Values listed of one document."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What the audit remembers of a document."""

    number: int
    document_id: str
    source: str
    path: str
    part: int
    mime: str
    title: str
    size_bytes: int
    words: int
    language: str
    quality: float
    day: date | None
    """Its own date: reviewed, dated, modified or created, whichever is known first."""
    talk: bool
    stated: Stated
    signals: tuple[Signal, ...]
    links: tuple[str, ...]
    secrets: tuple[SecretPlace, ...]
    secret_counts: Mapping[str, int]
    claims: tuple[Claim, ...]
    lower_words: frozenset[str]
    """Words that begin a claim's sentence and stand in lower case elsewhere in the text."""


def examine(text: Text, as_of: date, root: Path | None) -> Profile:
    """Examine one document. `root` is where its source lies, for markup that the text has lost."""
    content = text.text[:MOST_CHARACTERS]
    words = split_words(content)
    stated = read_stated(content)
    signals = () if text.is_chat else tuple(stale_signals(content, text.title, stated, as_of))
    hits = find_values(content)
    counts: dict[str, int] = {}
    for hit in hits:
        counts[hit.kind] = counts.get(hit.kind, 0) + 1
    claims = tuple(_claims(text, content))
    day = stated.reviewed or stated.dated or text.modified or text.created
    return Profile(
        text.number,
        text.document_id,
        text.source,
        text.path,
        text.part,
        text.mime,
        text.title,
        text.size_bytes,
        len(words),
        text.language or language_of(content),
        quality_score(content, words),
        day,
        text.is_chat,
        stated,
        signals,
        tuple(links(content, _markup(text, root))),
        tuple(itertools.islice(places(text.number, content, hits), MOST_PLACES)),
        counts,
        claims,
        _lower_words(content, claims),
    )


HISTORY = re.compile(r"change[-_ ]?log|release[-_ ]?notes|\bnews\b|\bhistory\b|what'?s new", re.IGNORECASE)
"""Names of documents that tell what was: each line holds for one release."""


NOT_IN_USE = re.compile(
    r"\b(?:tests?|examples?|samples?|fixtures?|templates?|vendor|archive)\b|example", re.IGNORECASE
)
"""Folders and names of settings that nothing runs with."""


def _claims(text: Text, content: str) -> Iterator[Claim]:
    place = f"{text.title} {text.path}"
    if HISTORY.search(place):
        return
    if _is_table(text) or text.is_code:
        place = SEPARATORS.sub(" ", place)
        if NOT_IN_USE.search(place):
            return
        if text.is_code:
            yield from code_claims(text.number, content, text.mime, place)
        else:
            yield from table_claims(text.number, content, place)
        return
    yield from find_claims(text.number, content)


SEPARATORS = re.compile(r"[/_.-]+")


def _is_table(text: Text) -> bool:
    return "csv" in text.mime or "spreadsheet" in text.mime or "tab-separated" in text.mime


def _lower_words(text: str, claims: tuple[Claim, ...]) -> frozenset[str]:
    """Return the lower-case words of texts that have claims: so that a word is told from a name."""
    return (
        frozenset(word for word in text.split() if word.islower() and word.isalpha())
        if claims
        else frozenset()
    )


def _markup(text: Text, root: Path | None) -> str:
    if text.mime != "text/html" or text.part or root is None:
        return ""
    path = root / text.path if root.is_dir() else root
    try:
        with path.open("rb") as file:
            return file.read(MOST_MARKUP_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""  # a page within an archive


def examine_all(
    texts: Iterable[Text],
    as_of: date,
    roots: Mapping[str, Path],
    also: Callable[[Text], None],
    workers: int | None = None,
) -> Iterator[Profile]:
    """Yield the profile of every text in order, and call `also` on every text in this process meanwhile.

    `workers` beside this process; by default the cores but one.
    """
    count = (
        max(
            1,
            (os.process_cpu_count() if hasattr(os, "process_cpu_count") else len(os.sched_getaffinity(0)))
            - 1,
        )
        if workers is None
        else workers
    )
    batches = _batches(texts)
    ahead: list[list[Text]] = []
    size = 0
    for batch in batches:
        ahead.append(batch)
        size += sum(text.size_bytes for text in batch)
        if size > ALONE_BYTES:
            break
    if size <= ALONE_BYTES or not count:
        for batch in itertools.chain(ahead, batches):
            for text in batch:
                also(text)
                yield examine(text, as_of, roots.get(text.source))
        return
    # Not forked: this process has threads of Arrow's, which a fork would leave halfway.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context) as pool:
        waiting: deque[Future[list[Profile]]] = deque()
        for batch in itertools.chain(ahead, batches):
            waiting.append(pool.submit(_examine_batch, batch, as_of, dict(roots)))
            for text in batch:
                also(text)
            while len(waiting) > BATCHES_AHEAD * count or (waiting and waiting[0].done()):
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _examine_batch(batch: list[Text], as_of: date, roots: dict[str, Path]) -> list[Profile]:
    return [examine(text, as_of, roots.get(text.source)) for text in batch]


def _batches(texts: Iterable[Text]) -> Iterator[list[Text]]:
    batch: list[Text] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += text.size_bytes
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
