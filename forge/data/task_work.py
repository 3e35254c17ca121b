"""One task of a pass, carried out: documents are edited, stepped through, noted, and written by bucket."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as parquet

from forge.data import boilerplate, paragraphs
from forge.data.document_steps import DOCUMENT_STEPS, fill_words
from forge.data.draft import Draft, Finding
from forge.data.duplicates import levelled
from forge.data.notes import Notes, write_notes
from forge.data.outcomes import Outcome, outcomes_of, write_outcomes
from forge.data.sets import set_digest
from forge.data.shingles import shingle_sets
from forge.data.signatures import signatures_of
from forge.data.statements import read_stated
from forge.data.tasks import DRAFTS, Task, bucket_of, read_bucket, read_edits, read_lines
from forge.data.versions import dated
from forge.data.word_codes import Uint64

SLICE_ROWS = 512


def run_task(task: Task) -> int:
    """Carry out one task: edit, step, note, and write what is left by bucket. Return its number."""
    notes = Notes(task.number)
    edits, lines = read_edits(task.edits), read_lines(task.lines)
    found_shingles: list[Uint64] = []
    left: dict[int, list[pa.RecordBatch]] = {}
    made: list[Outcome] = []
    for table in _slices(task):
        notes.documents_in += len(table)
        given = _drafts(table)
        drafts = [draft for draft in given if draft.document_id not in edits.removed]
        for draft in drafts:
            if lines is not None:
                boilerplate.remove(draft, lines, task.parameters)
            if draft.document_id in edits.paragraphs:
                paragraphs.remove(draft, edits.paragraphs[draft.document_id])
        outcomes = _outcomes(drafts, task)
        drafts = _take(drafts, outcomes, notes)
        _note(drafts, [one for one in outcomes if one.finding is None], task, notes, found_shingles)
        made += outcomes if task.key is not None else ()
        for bucket, batch in _by_bucket(_table_of(drafts, given, table), task.buckets):
            left.setdefault(bucket, []).append(batch)
    notes.offsets = _write_texts(task, left)
    if "shingles" in task.notes:
        with _beside(task.shingles) as path:
            np.concatenate([*found_shingles, np.empty(0, np.uint64)]).tofile(path)
    if task.key is not None:
        write_outcomes(task.outcomes, made, task.key)
    with _beside(task.noted) as path:
        write_notes(path, notes)
    # What the next task takes again is little beside what would be held while all wait for each other.
    pa.default_memory_pool().release_unused()
    return task.number


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Give a place to write to; it gets the name `path` at the end. A killed worker leaves it, and it is never read."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    yield beside
    beside.replace(path)


def _outcomes(drafts: list[Draft], task: Task) -> list[Outcome]:
    """Carry out the steps, or what an earlier corpus made of the same text; return what became of each document."""
    if task.key is None:
        return _step(drafts, task)
    digests = [draft.known_by() for draft in drafts]
    known = None if task.known_outcomes is None else outcomes_of(task.known_outcomes, task.key)
    found = [None] * len(drafts) if known is None else known.find(digests)
    new = iter(_step([draft for draft, one in zip(drafts, found, strict=True) if one is None], task))
    for draft, one in zip(drafts, found, strict=True):
        if one is not None:
            one.carry_over(draft)
    return [next(new) if one is None else one for one in found]


def _step(drafts: list[Draft], task: Task) -> list[Outcome]:
    """Carry out the steps."""
    given = [(draft.digest or b"", draft.text, len(draft.changes)) for draft in drafts]
    findings: dict[int, tuple[str, Finding]] = {}
    left = list(range(len(drafts)))
    for step in task.document_steps:
        run = DOCUMENT_STEPS[step]([drafts[place] for place in left], task.parameters)
        for place, finding in zip(left, run, strict=True):
            if finding is not None:
                findings[place] = step, finding
        left = [place for place in left if place not in findings]
    return [
        Outcome(
            digest, findings.get(place), draft.changes[changes:], None if draft.text is text else draft.text
        )
        for place, (draft, (digest, text, changes)) in enumerate(zip(drafts, given, strict=True))
    ]


def _take(drafts: list[Draft], outcomes: list[Outcome], notes: Notes) -> list[Draft]:
    """Note what was set aside and what was changed; return the documents that are left."""
    left = []
    for draft, outcome in zip(drafts, outcomes, strict=True):
        if outcome.finding is not None:
            step, finding = outcome.finding
            notes.aside.append(
                (draft.document_id, draft.path, step, finding.reason, finding.detail, finding.score, None)
            )
            continue
        left.append(draft)
        notes.changes += [
            (draft.document_id, draft.path, change.step, change.detail, change.score)
            for change in draft.changes
        ]
    return left


def _note(
    drafts: list[Draft],
    outcomes: list[Outcome],
    task: Task,
    notes: Notes,
    found_shingles: list[Uint64],
) -> None:
    if "shingles" in task.notes:
        _note_shingles(drafts, task, notes, found_shingles)
    if "words" in task.notes:
        counted = [draft for draft, outcome in zip(drafts, outcomes, strict=True) if outcome.words is None]
        fill_words(counted)
    if "exact" in task.notes:
        new = [place for place, outcome in enumerate(outcomes) if outcome.levelled is None]
        for place, digest in zip(new, levelled([drafts[place].text for place in new]), strict=True):
            outcomes[place].levelled = digest
    for draft, outcome in zip(drafts, outcomes, strict=True):
        notes.document_ids.append(draft.document_id)
        notes.sources.append(draft.source)
        notes.paths.append(draft.path)
        notes.dates.append(draft.date)
        notes.sizes_bytes.append(len(draft.text) if draft.text.isascii() else len(draft.text.encode()))
        if "words" in task.notes:
            if outcome.words is None:
                outcome.words = len(draft.words)
            notes.words.append(outcome.words)
        if "exact" in task.notes:
            assert outcome.levelled is not None
            notes.levelled.append(outcome.levelled)
        if "paragraphs" in task.notes:
            if outcome.paragraphs is None:
                least_words = task.parameters["min_paragraph_words"]
                outcome.paragraphs = paragraphs.paragraph_hashes(draft.text, least_words)
            notes.paragraphs.append(outcome.paragraphs)
        if "versions" in task.notes:
            if outcome.stated is None:
                outcome.stated = read_stated(draft.text)
            notes.versions.append(dated(draft, outcome.stated))
        if "lines" in task.notes:
            if outcome.lines is None:
                outcome.lines = sorted(boilerplate.edge_hashes(draft.text))
            group = boilerplate.group_of(draft)
            notes.lines.setdefault(group, Counter()).update(outcome.lines)
            notes.line_documents[group] += 1


def _note_shingles(drafts: list[Draft], task: Task, notes: Notes, found_shingles: list[Uint64]) -> None:
    known = None if task.known is None else signatures_of(task.known)
    digests = [draft.known_by() for draft in drafts]
    found = [None] * len(drafts) if known is None else known.find(digests)
    new = [draft for draft, one in zip(drafts, found, strict=True) if one is None]
    fill_words(new)
    made = shingle_sets([draft.words for draft in new], task.parameters["shingle_words"])
    for one in found:
        shingles, name = _named(next(made)) if one is None else one
        notes.shingle_counts.append(len(shingles))
        notes.sets.append(name)
        found_shingles.append(shingles)
    notes.shingled += len(new)
    notes.texts += digests


def _named(shingles: Uint64) -> tuple[Uint64, bytes]:
    return shingles, set_digest(shingles)


def _slices(task: Task) -> Iterator[pa.Table]:
    """Yield the documents of a task, a few at a time, in tables of DRAFTS."""
    if task.lake is None:
        table = read_bucket(task.bucket)
        for start in range(0, len(table), SLICE_ROWS):
            yield table.slice(start, SLICE_ROWS)
        return
    with parquet.ParquetFile(task.lake) as file:
        dates = [name for name in ("modified", "created") if name in file.schema_arrow.names]
        columns = [name for name in DRAFTS.names if name not in ("date", "digest")]
        for batch in file.iter_batches(
            SLICE_ROWS, row_groups=[task.number], columns=[*columns, "sha256", *dates]
        ):
            given = [batch.column(name).to_pylist() for name in dates]
            when = [next(filter(None, some), "") for some in zip(*given, [""] * len(batch), strict=True)]
            digests = [bytes.fromhex(one)[:16] for one in batch.column("sha256").to_pylist()]
            made = {"date": pa.array(when, pa.string()), "digest": pa.array(digests, pa.binary(16))}
            arrays = [made[name] if name in made else batch.column(name) for name in DRAFTS.names]
            yield pa.Table.from_arrays(arrays, DRAFTS.names).cast(DRAFTS)


def _drafts(table: pa.Table) -> list[Draft]:
    columns = (table[name].to_pylist() for name in DRAFTS.names)
    return [
        Draft(document_id, source, path, mime, date, text, title=title, part=part, digest=digest)
        for document_id, source, path, mime, date, text, title, part, digest in zip(*columns, strict=True)
    ]


def _table_of(drafts: list[Draft], given: list[Draft], table: pa.Table) -> pa.Table:
    """Return the rows of those of the `given` documents of `table` that are left, with what was changed in them."""
    left = {id(draft) for draft in drafts}
    places = [place for place, draft in enumerate(given) if id(draft) in left]
    table = table.take(pa.array(places, pa.int64()))
    if any(draft.changes for draft in drafts):
        for name in ("text", "digest"):
            place = DRAFTS.get_field_index(name)
            values = pa.array([getattr(draft, name) for draft in drafts], DRAFTS.field(name).type)
            table = table.set_column(place, DRAFTS.field(name), values)
    return table


def _by_bucket(table: pa.Table, buckets: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the documents of each bucket."""
    if not len(table):
        return
    numbers = np.array([bucket_of(one, buckets) for one in table["document_id"].to_pylist()], np.int64)
    order = np.argsort(numbers, kind="stable")
    (batch,) = table.take(pa.array(order)).combine_chunks().to_batches()
    begins = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), len(order)], strict=True):
        yield int(numbers[order[begin]]), batch.slice(begin, end - begin)


def _write_texts(task: Task, left: dict[int, list[pa.RecordBatch]]) -> list[int]:
    """Write the texts by bucket; return where each bucket begins, and where the last ends."""
    offsets = [0]
    with _beside(task.texts) as path, path.open("wb") as file:
        for bucket in range(task.buckets):
            if bucket in left:
                with ipc.new_stream(file, DRAFTS) as stream:
                    for batch in left.pop(bucket):
                        stream.write_batch(batch)
            offsets.append(file.tell())
    return offsets
