"""One task of a pass, carried out: documents are edited, stepped through, noted, and written by bucket.

What an earlier corpus made of a text is taken over as it lies in Arrow columns. Only of a text that is new, or that a
decision about all documents changes, is an object made.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc as ipc
import pyarrow.parquet as parquet

from forge.data import boilerplate, paragraphs
from forge.data.columns import DIGEST, digest_column, digest_keys, digests_of_hex
from forge.data.document_steps import DOCUMENT_STEPS, fill_words
from forge.data.draft import Change, Draft, Finding
from forge.data.duplicates import levelled
from forge.data.notes import Notes, noted_schema, write_notes
from forge.data.outcomes import (
    Outcome,
    changes_of,
    finding_rows,
    outcomes_of,
    outcomes_table,
    write_outcomes,
)
from forge.data.records import CHANGED, SET_ASIDE, table_of
from forge.data.sets import set_digest
from forge.data.shingles import shingle_sets
from forge.data.signatures import signatures_of
from forge.data.statements import read_stated
from forge.data.tasks import DRAFTS, Task, buckets_of, read_bucket, read_edits, read_lines, with_digests
from forge.data.word_codes import Uint64, WordCodes, word_codes

Ints = npt.NDArray[np.int64]
Shingled = tuple[Uint64, bytes]
"""The shingles of a text, and what the set of them is known by."""

SLICE_ROWS = 512
"""Documents that objects are made of at once."""


def run_task(task: Task) -> int:
    """Carry out one task: edit, step, note, and write what is left by bucket. Return its number."""
    documents = _documents(task)
    documents_in = len(documents)
    documents, edits = _edited(documents, task)
    if task.key is not None or "shingles" in task.notes:
        documents = with_digests(documents)
    shingler = _Shingler(task)
    outcomes, made = _outcomes(documents, task, shingler)
    if task.key is not None:
        with _beside(task.outcomes) as path:
            write_outcomes(path, outcomes)
    stays = outcomes["step"].is_null()
    left = np.flatnonzero(stays)
    notes = Notes(task.number, task.noted, documents_in)
    notes.aside = table_of(_aside(documents, outcomes), SET_ASIDE)
    if len(left) < len(documents):
        outcomes, documents = outcomes.filter(stays), documents.filter(stays)
    documents = _stepped(documents, outcomes, task)
    by_place = {new: edits[old] for new, old in enumerate(left.tolist()) if old in edits}
    notes.changes = table_of(_changes(documents, outcomes, by_place), CHANGED)
    sets: list[Shingled] = []
    if "shingles" in task.notes:
        sets = _all_shingled(documents, [made.get(place) for place in left.tolist()], shingler)
        notes.shingled = shingler.new
        with _beside(task.shingles) as path:
            np.concatenate([*(one for one, _ in sets), np.empty(0, np.uint64)]).tofile(path)
    rows = _noted(documents, outcomes, sets, task)
    notes.offsets = _write_texts(task, documents)
    with _beside(task.noted) as path:
        write_notes(path, notes, rows)
    # What the next task takes again is little beside what would be held while all wait for each other.
    pa.default_memory_pool().release_unused()
    return task.number


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Give a place to write to; it gets the name `path` at the end. A killed worker leaves it, and it is never read."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    yield beside
    beside.replace(path)


def _documents(task: Task) -> pa.Table:
    """Return the documents of a task, a table of DRAFTS in one piece."""
    if task.lake is None:
        assert task.bucket is not None
        return read_bucket(task.bucket).combine_chunks()
    with parquet.ParquetFile(task.lake) as file:
        given = [name for name in ("modified", "created") if name in file.schema_arrow.names]
        columns = [name for name in DRAFTS.names if name not in ("date", "digest")]
        table = file.read_row_group(task.number, columns=[*columns, "sha256", *given])
    when: Any = pa.nulls(len(table), pa.string())
    for name in given:
        when = pc.coalesce(
            when, pc.if_else(pc.equal(table[name], ""), pa.scalar(None, pa.string()), table[name])
        )
    made = {
        "date": pc.fill_null(when, ""),
        "digest": digest_column(digests_of_hex(table["sha256"])),
    }
    arrays = [made[name] if name in made else table[name] for name in DRAFTS.names]
    return pa.table(arrays, DRAFTS.names).cast(DRAFTS).combine_chunks()


def _edited(documents: pa.Table, task: Task) -> tuple[pa.Table, dict[int, list[Change]]]:
    """Return the documents as the last decisions leave them, and by place what these changed."""
    edits, lines = read_edits(task.edits), read_lines(task.lines)
    if edits.removed:
        gone = pc.is_in(documents["document_id"], pa.array(sorted(edits.removed), pa.string()))
        documents = documents.filter(pc.invert(gone))
    places = set()
    if lines is not None:
        places.update(boilerplate.candidates(documents, lines, edits.lined).tolist())
    if edits.paragraphs:
        ids = enumerate(documents["document_id"].to_pylist())
        places.update(place for place, document_id in ids if document_id in edits.paragraphs)
    changed: dict[int, Draft] = {}
    for place, draft in _drafts(documents, np.array(sorted(places), np.int64)):
        if lines is not None:
            boilerplate.remove(draft, lines, task.parameters)
        if draft.document_id in edits.paragraphs:
            paragraphs.remove(draft, edits.paragraphs[draft.document_id])
        if draft.changes:
            changed[place] = draft
    documents = _rewritten(documents, list(changed), [draft.text for draft in changed.values()])
    return documents, {place: draft.changes for place, draft in changed.items()}


def _drafts(documents: pa.Table, places: Ints) -> Iterator[tuple[int, Draft]]:
    """Yield the documents at some places, made a few at a time."""
    for first in range(0, len(places), SLICE_ROWS):
        some = places[first : first + SLICE_ROWS]
        table = documents if len(some) == len(documents) else documents.take(pa.array(some))
        columns = (table[name].to_pylist() for name in DRAFTS.names)
        for place, values in zip(some.tolist(), zip(*columns, strict=True), strict=True):
            document_id, source, path, mime, date, text, title, part, digest = values
            yield (
                place,
                Draft(document_id, source, path, mime, date, text, title=title, part=part, digest=digest),
            )


def _rewritten(documents: pa.Table, places: Sequence[int], texts: Sequence[str]) -> pa.Table:
    """Put texts in place of those at `places`, which ascend; what they are known by is not known yet."""
    if not places:
        return documents
    mask = np.zeros(len(documents), np.bool_)
    mask[places] = True
    for name, values in (("text", texts), ("digest", [None] * len(places))):
        column = DRAFTS.get_field_index(name)
        kind = DRAFTS.field(name).type
        whole = pc.replace_with_mask(_whole(documents[name]), pa.array(mask), pa.array(values, kind))
        documents = documents.set_column(column, DRAFTS.field(name), whole)
    return documents


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks()


def _outcomes(documents: pa.Table, task: Task, shingler: _Shingler) -> tuple[pa.Table, dict[int, Shingled]]:
    """Return what becomes of each document, rows of OUTCOMES: what an earlier corpus made of the same text, or the
    steps now; and by place the shingles of those now.
    """
    places = np.full(len(documents), -1, np.int64)
    known = None
    if task.key is not None and task.known_outcomes is not None:
        known = outcomes_of(task.known_outcomes, task.key)
    if known is not None:
        places = known.find(digest_keys(documents["digest"]))
    new = np.flatnonzero(places < 0)
    tables: list[pa.Table] = []
    shingled: dict[int, Shingled] = {}
    for first in range(0, len(new), SLICE_ROWS):
        some = dict(_drafts(documents, new[first : first + SLICE_ROWS]))
        made = _step(list(some.values()), task)
        left = [place for place, one in zip(some, made, strict=True) if one.finding is None]
        drafts = [some[place] for place in left]
        if "shingles" in task.notes:
            keys = np.frombuffer(b"".join(draft.known_by() for draft in drafts), np.uint64).reshape(-1, 2)
            shingled |= zip(left, shingler.sets(keys, functools.partial(_words, drafts)), strict=True)
        _count(drafts, [one for one in made if one.finding is None], task)
        tables.append(outcomes_table(made))
    if known is not None:
        tables.append(known.rows(places[places >= 0]))
    outcomes = pa.concat_tables(tables or [outcomes_table([])])
    if 0 < len(new) < len(documents):
        order = np.argsort(np.concatenate([new, np.flatnonzero(places >= 0)]))
        outcomes = outcomes.take(pa.array(order))
    return outcomes, shingled


def _step(drafts: list[Draft], task: Task) -> list[Outcome]:
    """Carry out the steps."""
    given = [(draft.digest, draft.text) for draft in drafts]
    findings: dict[int, tuple[str, Finding]] = {}
    left = list(range(len(drafts)))
    for step in task.document_steps:
        run = DOCUMENT_STEPS[step]([drafts[place] for place in left], task.parameters)
        for place, finding in zip(left, run, strict=True):
            if finding is not None:
                findings[place] = step, finding
        left = [place for place in left if place not in findings]
    return [
        Outcome(digest, findings.get(place), draft.changes, None if draft.text is text else draft.text)
        for place, (draft, (digest, text)) in enumerate(zip(drafts, given, strict=True))
    ]


def _count(drafts: list[Draft], outcomes: list[Outcome], task: Task) -> None:
    """Count what is to be noted of documents that passed the steps."""
    if "words" in task.notes:
        for words, outcome in zip(_words(drafts, range(len(drafts))), outcomes, strict=True):
            outcome.words = len(words)
    if "exact" in task.notes:
        for digest, outcome in zip(levelled([draft.text for draft in drafts]), outcomes, strict=True):
            outcome.levelled = digest
    for draft, outcome in zip(drafts, outcomes, strict=True):
        if "paragraphs" in task.notes:
            outcome.paragraphs = paragraphs.paragraph_hashes(
                draft.text, task.parameters["min_paragraph_words"]
            )
        if "versions" in task.notes:
            outcome.stated = read_stated(draft.text)
        if "lines" in task.notes:
            outcome.lines = boilerplate.packed(boilerplate.edge_hashes(draft.text))


def _words(drafts: list[Draft], places: Iterable[int]) -> list[WordCodes]:
    """Return the words of some of the documents."""
    some = [drafts[place] for place in places]
    fill_words(some)
    return [draft.words for draft in some]


class _Shingler:
    """Finds the shingles of texts: those that an earlier corpus has, or of their words."""

    def __init__(self, task: Task) -> None:
        self._known = None if task.known is None else signatures_of(task.known)
        self._shingle_words = task.parameters["shingle_words"]
        self.new = 0
        """Texts that no earlier corpus has."""

    def sets(self, keys: Uint64, words_of: Callable[[list[int]], list[WordCodes]]) -> list[Shingled]:
        """Return the shingles of texts known by `keys`; `words_of` is asked for the words of some, by place."""
        found: list[Shingled | None] = [None] * len(keys) if self._known is None else self._known.find(keys)
        new = [place for place, one in enumerate(found) if one is None]
        self.new += len(new)
        made = shingle_sets(words_of(new), self._shingle_words)
        return [_named(next(made)) if one is None else one for one in found]


def _named(shingles: Uint64) -> Shingled:
    return shingles, set_digest(shingles)


def _all_shingled(documents: pa.Table, made: list[Shingled | None], shingler: _Shingler) -> list[Shingled]:
    """Return the shingles of all documents, of which some were made already."""
    left = np.array([place for place, one in enumerate(made) if one is None], np.int64)
    keys = digest_keys(documents["digest"])
    for first in range(0, len(left), SLICE_ROWS):
        some = left[first : first + SLICE_ROWS]

        def words_of(places: list[int], some: Ints = some) -> list[WordCodes]:
            texts = documents["text"].take(pa.array(some[places], pa.int64())).to_pylist()
            return list(word_codes(texts))

        for place, one in zip(some.tolist(), shingler.sets(keys[some], words_of), strict=True):
            made[place] = one
    return [one for one in made if one is not None]


def _aside(documents: pa.Table, outcomes: pa.Table) -> list[tuple[Any, ...]]:
    """Return the rows of what was set aside."""
    gone = outcomes["step"].is_valid()
    ids, paths = (documents[name].filter(gone).to_pylist() for name in ("document_id", "path"))
    found = finding_rows(outcomes.filter(gone))
    return [(*which, *why, None) for which, why in zip(zip(ids, paths, strict=True), found, strict=True)]


def _stepped(documents: pa.Table, outcomes: pa.Table, task: Task) -> pa.Table:
    """Return documents as the steps leave them."""
    changed = outcomes["changed"].is_valid()
    places = np.flatnonzero(changed).tolist()
    documents = _rewritten(documents, places, outcomes["changed"].filter(changed))
    return with_digests(documents) if "shingles" in task.notes else documents


def _changes(
    documents: pa.Table, outcomes: pa.Table, edits: dict[int, list[Change]]
) -> list[tuple[Any, ...]]:
    """Return the rows of what was changed by `edits`, by place, and then by the steps."""
    stepped = outcomes["changes"].is_valid()
    by_steps = map(changes_of, outcomes["changes"].filter(stepped).to_pylist())
    changes = dict(zip(np.flatnonzero(stepped).tolist(), by_steps, strict=True))
    places = sorted({*changes, *edits})
    some = documents.select(["document_id", "path"]).take(pa.array(places, pa.int64()))
    return [
        (document_id, path, change.step, change.detail, change.score)
        for place, document_id, path in zip(places, *(one.to_pylist() for one in some.columns), strict=True)
        for change in (*edits.get(place, ()), *changes.get(place, ()))
    ]


def _noted(documents: pa.Table, outcomes: pa.Table, sets: list[Shingled], task: Task) -> pa.Table:
    """Return what is noted of documents, a table of `noted_schema`."""
    schema = noted_schema(task.notes)
    made: dict[str, Any] = {"size_bytes": pc.binary_length(documents["text"])}
    if "shingles" in task.notes:
        made["shingle_count"] = pa.array([len(one) for one, _ in sets], pa.int64())
        made["text"] = documents["digest"]
        made["shingles"] = pa.array([name for _, name in sets], DIGEST)
    columns = [
        made[name] if name in made else (documents if name in DRAFTS.names else outcomes)[name]
        for name in schema.names
    ]
    return pa.table(columns, schema.names).cast(schema)


def _write_texts(task: Task, documents: pa.Table) -> list[int]:
    """Write the texts by bucket; return where each bucket begins, and where the last ends."""
    numbers = buckets_of(documents["document_id"], task.buckets)
    if (numbers[1:] < numbers[:-1]).any():
        order = np.argsort(numbers, kind="stable")
        numbers, documents = numbers[order], documents.take(pa.array(order))
    borders = np.searchsorted(numbers, np.arange(task.buckets + 1)).tolist()
    documents = documents.combine_chunks()
    offsets = [0]
    with _beside(task.texts) as path, path.open("wb") as file:
        for begin, end in itertools.pairwise(borders):
            if begin < end:
                with ipc.new_stream(file, DRAFTS) as stream:
                    stream.write_table(documents.slice(begin, end - begin))
            offsets.append(file.tell())
    return offsets
