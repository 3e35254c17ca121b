"""Carrying documents through the steps of curation in bounded memory, on all cores.

Steps that look at one document at a time run in workers, a few thousand documents each. A step that looks at all
documents (duplicates, boilerplate) decides from what the workers noted of each, never from the texts: so only notes are
held in memory, and a pass over the texts is needed only where a decision changes texts that a later step looks at.

Between two passes documents lie in buckets by document_id, a hash: a bucket is one worker's next task, and sorting
within each puts all documents in order, whatever the order of files or the number of workers.

A task writes its texts, bucket after bucket, its shingles, and last of all its notes. Each file gets its name when it
is whole. A task whose notes are there is not done again.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as parquet

from forge.data import boilerplate, paragraphs
from forge.data.document_steps import DOCUMENT_STEPS, fill_words
from forge.data.draft import Draft, Finding
from forge.data.duplicates import levelled
from forge.data.notes import Notes, read_notes, write_notes
from forge.data.outcomes import Outcome, outcomes_of, write_outcomes
from forge.data.sets import set_digest
from forge.data.shingles import shingle_sets
from forge.data.signatures import signatures_of
from forge.data.versions import dated
from forge.data.word_codes import Uint64
from forge.data.workers import map_in_order
from forge.progress import Progress

SLICE_ROWS = 512
BUCKET_BYTES = 8 * 1024 * 1024
MOST_BUCKETS = 1024
EDITING = ("boilerplate", "paragraphs")
"""Steps over all documents that change texts; the others only set documents aside."""

DRAFTS = pa.schema(
    [
        pa.field("document_id", pa.string()),
        pa.field("source", pa.string()),
        pa.field("path", pa.string()),
        pa.field("mime", pa.string()),
        pa.field("date", pa.string()),
        pa.field("text", pa.large_string()),
        pa.field("title", pa.string()),
        pa.field("part", pa.int64()),
        pa.field("digest", pa.binary(16)),
    ]
)


@dataclass(frozen=True, slots=True)
class Pass:
    """One way through all texts, and what is then decided from the notes taken."""

    document_steps: tuple[str, ...]
    corpus_steps: tuple[str, ...]


def plan_passes(steps: Iterable[str]) -> list[Pass]:
    """Return the passes that carry out `steps` in their order; what the last one decides changes no text."""
    passes: list[Pass] = []
    documents: list[str] = []
    decisions: list[str] = []
    for step in steps:
        one_by_one = step in DOCUMENT_STEPS
        if decisions and (one_by_one or any(decision in EDITING for decision in decisions)):
            passes.append(Pass(tuple(documents), tuple(decisions)))
            documents, decisions = [], []
        (documents if one_by_one else decisions).append(step)
    passes.append(Pass(tuple(documents), tuple(decisions)))
    # Documents that the last decisions set aside are left out where the corpus is written.
    return [*passes, Pass((), ())] if any(decision in EDITING for decision in decisions) else passes


Piece = tuple[Path, int, int]
"""A part of a file: (path, where it begins, where it ends)."""


class InputGone(Exception):
    """A task has to be carried out again, and the texts it starts from are spent."""


SPENT = "spent"
"""In the folder of a pass whose texts the next one has taken over, and which are gone."""


@dataclass(frozen=True, slots=True)
class Task:
    """What one worker does with one part of the documents."""

    number: int
    lake: Path | None
    """The lake, of which row group `number` is meant; None for a bucket of the pass before."""
    bucket: tuple[Piece, ...]
    edits: Path | None
    """What was decided of this bucket's documents."""
    lines: Path | None
    """Boilerplate to remove."""
    document_steps: tuple[str, ...]
    notes: frozenset[str]
    """What to note: 'exact', 'shingles', 'lines', 'paragraphs', 'words', 'versions'."""
    out: Path
    buckets: int
    parameters: dict[str, Any]
    size_bytes: int = 0
    """About, of the texts."""
    known: Path | None = None
    """An earlier corpus, whose shingles are used."""
    known_outcomes: Path | None = None
    """What an earlier corpus made of texts in this pass."""
    key: str | None = None
    """Of what is remembered of this pass; None remembers nothing."""

    @property
    def texts(self) -> Path:
        """Where the texts that are left are written."""
        return self.out / f"{self.number:06}.arrow"

    @property
    def shingles(self) -> Path:
        """Where the shingles are written, where they are asked for."""
        return self.out / f"{self.number:06}.u64"

    @property
    def outcomes(self) -> Path:
        """Where is written what was made of each text, where that is to be remembered."""
        return self.out / f"{self.number:06}.outcomes"

    @property
    def noted(self) -> Path:
        """Where the notes are written."""
        return self.out / f"{self.number:06}.notes"


@dataclass(frozen=True, slots=True)
class Edits:
    """What was decided of the documents of one bucket."""

    removed: frozenset[str]
    paragraphs: dict[str, list[int]]


def run_tasks(pool: Executor | None, tasks: Iterable[Task], progress: Progress) -> list[Notes]:
    """Carry out those of `tasks` that are not done yet; return the notes of all in the order of the tasks.

    Raises:
        MachineError: a worker was killed.
        InputGone: as it says.
    """
    done: list[Notes] = []

    def left() -> Iterator[Task]:
        # The largest first: whoever is done early takes a small one more.
        for task in sorted(tasks, key=lambda task: -task.size_bytes):
            notes = _notes_of_done(task)
            if notes is None:
                if not all(path.exists() for path, _, _ in task.bucket):
                    raise InputGone
                yield task
            else:
                done.append(notes)
                progress.resume(notes.documents_in)

    results = (
        ((task, run_task(task)) for task in left())
        if pool is None
        else map_in_order(pool, run_task, left(), lambda task: (task,))
    )
    for task, _ in results:
        notes = read_notes(task.noted)
        assert notes is not None
        done.append(notes)
        progress.advance(notes.documents_in)
    return sorted(done, key=lambda notes: notes.number)


def _notes_of_done(task: Task) -> Notes | None:
    """Return the notes of a task that was carried out before, and whose output is whole: a power cut may take some."""
    notes = read_notes(task.noted)
    if notes is None or (task.out / SPENT).exists():
        return notes
    whole = _size_bytes(task.texts) == notes.offsets[-1]
    if "shingles" in task.notes and not joined_shingles(task.out).exists():
        whole &= _size_bytes(task.shingles) == 8 * sum(notes.shingle_counts)
    if task.key is not None:
        whole &= task.outcomes.exists()
    return notes if whole else None


def _size_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1


def joined_shingles(folder: Path) -> Path:
    """Return where the shingles of all tasks of a pass are put together."""
    return folder / "shingles.u64"


def spend_texts(folder: Path) -> None:
    """Remove the texts of a pass; its notes stay."""
    (folder / SPENT).touch()
    for path in folder.glob("*.arrow"):
        path.unlink()


def bucket_count(total_bytes: int) -> int:
    """Return how many buckets documents of `total_bytes` are put in."""
    return max(1, min(MOST_BUCKETS, -(-total_bytes // BUCKET_BYTES)))


def bucket_of(document_id: str, buckets: int) -> int:
    """Return the bucket of a document; buckets in order hold ids in order. Ids begin with eight hexadecimal digits."""
    return int(document_id[:8], 16) * buckets >> 32


def bucket_pieces(folder: Path, notes: Iterable[Notes], bucket: int) -> tuple[Piece, ...]:
    """Return where a bucket of the pass in `folder` lies."""
    return tuple(
        (folder / f"{one.number:06}.arrow", one.offsets[bucket], one.offsets[bucket + 1])
        for one in notes
        if one.offsets[bucket] < one.offsets[bucket + 1]
    )


def read_bucket(pieces: Iterable[Piece]) -> pa.Table:
    """Return the documents of a bucket, in the order of their ids."""
    batches: list[pa.RecordBatch] = []
    for path, begin, end in pieces:
        with path.open("rb") as file:
            file.seek(begin)
            batches.extend(ipc.open_stream(file.read(end - begin)))
    return pa.Table.from_batches(batches, DRAFTS).sort_by("document_id")


def write_edits(folder: Path, buckets: int, removed: Iterable[str], edited: dict[str, list[int]]) -> None:
    """Write what was decided of each bucket's documents."""
    removed_of: list[set[str]] = [set() for _ in range(buckets)]
    for document_id in removed:
        removed_of[bucket_of(document_id, buckets)].add(document_id)
    paragraphs_of: list[dict[str, list[int]]] = [{} for _ in range(buckets)]
    for document_id, places in edited.items():
        paragraphs_of[bucket_of(document_id, buckets)][document_id] = places
    folder.mkdir(exist_ok=True)
    for bucket in range(buckets):
        content = {"removed": sorted(removed_of[bucket]), "paragraphs": paragraphs_of[bucket]}
        (folder / str(bucket)).write_text(json.dumps(content), encoding="utf-8")


def _read_edits(path: Path | None) -> Edits:
    if path is None:
        return Edits(frozenset(), {})
    content = json.loads(path.read_text(encoding="utf-8"))
    return Edits(frozenset(content["removed"]), content["paragraphs"])


def write_lines(path: Path, lines: boilerplate.Lines) -> None:
    """Write which lines are boilerplate."""
    content = {group: sorted(line.hex() for line in some) for group, some in lines.items()}
    path.write_text(json.dumps(content), encoding="utf-8")


def _read_lines(path: Path | None) -> boilerplate.Lines | None:
    if path is None:
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    return {group: frozenset(map(bytes.fromhex, some)) for group, some in content.items()}


def run_task(task: Task) -> int:
    """Carry out one task: edit, step, note, and write what is left by bucket. Return its number."""
    notes = Notes(task.number)
    edits, lines = _read_edits(task.edits), _read_lines(task.lines)
    found_shingles: list[Uint64] = []
    left: dict[int, list[pa.RecordBatch]] = {}
    made: list[Outcome] = []
    for table in _slices(task):
        notes.documents_in += len(table)
        drafts = [draft for draft in _drafts(table) if draft.document_id not in edits.removed]
        for draft in drafts:
            if lines is not None:
                boilerplate.remove(draft, lines, task.parameters)
            if draft.document_id in edits.paragraphs:
                paragraphs.remove(draft, edits.paragraphs[draft.document_id])
        outcomes = _outcomes(drafts, task)
        drafts = _take(drafts, outcomes, notes)
        _note(drafts, [one for one in outcomes if one.finding is None], task, notes, found_shingles)
        made += outcomes if task.key is not None else ()
        for bucket, batch in _by_bucket(drafts, task.buckets):
            left.setdefault(bucket, []).append(batch)
    notes.offsets = _write_texts(task, left)
    if "shingles" in task.notes:
        with _beside(task.shingles) as path:
            np.concatenate([*found_shingles, np.empty(0, np.uint64)]).tofile(path)
    if task.key is not None:
        write_outcomes(task.outcomes, made, task.key)
    with _beside(task.noted) as path:
        write_notes(path, notes)
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
            if outcome.levelled is None:
                outcome.levelled = levelled(draft.text)
            notes.levelled.append(outcome.levelled)
        if "paragraphs" in task.notes:
            notes.paragraphs.append(
                paragraphs.paragraph_hashes(draft.text, task.parameters["min_paragraph_words"])
            )
        if "versions" in task.notes:
            notes.versions.append(dated(draft))
        if "lines" in task.notes:
            group = boilerplate.group_of(draft)
            notes.lines.setdefault(group, Counter()).update(boilerplate.edge_hashes(draft.text))
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
    if task.lake is None:
        table = read_bucket(task.bucket)
        for start in range(0, len(table), SLICE_ROWS):
            yield table.slice(start, SLICE_ROWS)
        return
    with parquet.ParquetFile(task.lake) as file:
        dates = [name for name in ("modified", "created") if name in file.schema_arrow.names]
        columns = ["document_id", "source", "path", "mime", "text", "title", "part", "sha256", *dates]
        for batch in file.iter_batches(SLICE_ROWS, row_groups=[task.number], columns=columns):
            yield pa.Table.from_batches([batch])


def _drafts(table: pa.Table) -> list[Draft]:
    columns = {name: table[name].to_pylist() for name in table.column_names}
    empty: list[Any] = [None] * len(table)
    dates = [
        given or str(modified or created or "")
        for given, modified, created in zip(
            columns.get("date", empty),
            columns.get("modified", empty),
            columns.get("created", empty),
            strict=True,
        )
    ]
    names = ("document_id", "source", "path", "mime")
    rows = zip(*(columns[name] for name in names), dates, columns["text"], strict=True)
    drafts = [Draft(*values) for values in rows]
    digests = columns.get("digest") or [bytes.fromhex(one)[:16] for one in columns["sha256"]]
    for draft, title, part, digest in zip(drafts, columns["title"], columns["part"], digests, strict=True):
        draft.title, draft.part, draft.digest = title, part, digest
    return drafts


def _by_bucket(drafts: list[Draft], buckets: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    parts: dict[int, list[Draft]] = {}
    for draft in drafts:
        parts.setdefault(bucket_of(draft.document_id, buckets), []).append(draft)
    for bucket, part in parts.items():
        columns = [[getattr(draft, name) for draft in part] for name in DRAFTS.names]
        arrays = [pa.array(values, kind.type) for values, kind in zip(columns, DRAFTS, strict=True)]
        yield bucket, pa.RecordBatch.from_arrays(arrays, schema=DRAFTS)


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
