"""The corpus stage: documents carried through the steps of `data.curate`, and split, each drop with its reason."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet

from forge.data import boilerplate
from forge.data.columns import flat_lists
from forge.data.corpus_tables import write_corpus
from forge.data.decisions import Decided, decide, read_decided, write_decided
from forge.data.duplicates import families
from forge.data.engine import LOCAL, Engine
from forge.data.joins import Joins
from forge.data.language import check_languages
from forge.data.notes import Notes
from forge.data.notes import noted as columns_noted
from forge.data.outcomes import REMEMBERED_NOTES, REMEMBERED_STEPS, merge_outcomes, outcome_file
from forge.data.passes import InputGone, Pass, plan_passes, run_tasks, spend_texts
from forge.data.records import Records
from forge.data.roster import Roster, gather
from forge.data.sets import Ints
from forge.data.signatures import INDEX, Known, keep, write_index
from forge.data.spare_memory import give_back
from forge.data.split import held_out_families
from forge.data.tasks import (
    Bucket,
    Edits,
    Task,
    bucket_count,
    bucket_in,
    joined_shingles,
    write_edits,
    write_lines,
)
from forge.data.workers import make_pool
from forge.errors import StageError
from forge.files import work_folder
from forge.progress import Progress

NOT_OF_OUTCOMES = frozenset(
    {
        "curate",
        "seed",
        "held_out_fraction",
        "held_out_group_jaccard",
        "near_duplicate_jaccard",
        "superseded_jaccard",
        "shingle_words",
        "boilerplate_fraction",
        "max_paragraph_documents",
        "source_cap_bytes",
    }
)
"""Parameters that no step on one document looks at."""
NOTED_FOR: dict[str, frozenset[str]] = {
    "boilerplate": frozenset({"lines"}),
    "exact_duplicates": frozenset({"exact"}),
    "near_duplicates": frozenset({"shingles"}),
    "superseded": frozenset({"shingles", "versions"}),
    "paragraphs": frozenset({"paragraphs"}),
    "cap": frozenset(),
}
"""Step over all documents -> what it needs noted of each."""


def build_corpus(
    lake: Path,
    parameters: dict[str, Any],
    out: Path,
    progress: Progress,
    workers: int | None = None,
    work: Path | None = None,
    engine: Engine = LOCAL,
    known: Known | None = None,
) -> dict[str, Any]:
    """Make the corpus of a lake; write corpus.parquet, set_aside.parquet and changed.parquet to `out`.

    Every document of the lake is in exactly one of the first two. Rows are in the order of document_id, a hash: the
    head of either split is a fair sample of it. Of documents that are near copies of each other the longest is kept.
    The same lake gives the same bytes, whatever the order of its rows and the number of workers.

    Args:
        lake: a lake artifact.
        parameters: the corpus stage's.
        out: an empty folder.
        progress: told of documents.
        workers: processes; None takes all cores where there is enough to do.

    Raises:
        StageError: the lake cannot be read, a step cannot be carried out, every document is set aside, or no family
            can be held out.
    """
    steps = tuple(parameters["curate"])
    if "languages" in steps:
        check_languages(parameters)
    if "decontaminate" in steps and not parameters["evaluation_files"]:
        raise StageError("data.evaluation_files: is null and data.curate has `decontaminate`: name files")
    with work_folder(work, out) as parts:
        try:
            return _build(lake, steps, parameters, out, parts, progress, workers, known, engine)
        except InputGone:
            # A power cut took more than its due: nothing to go on from.
            shutil.rmtree(parts)
            parts.mkdir()
            return _build(lake, steps, parameters, out, parts, progress, workers, known, engine)


def _build(
    lake: Path,
    steps: tuple[str, ...],
    parameters: dict[str, Any],
    out: Path,
    parts: Path,
    progress: Progress,
    workers: int | None,
    known: Known | None,
    engine: Engine,
) -> dict[str, Any]:
    records = Records()
    curation = _Curation(lake, parameters, parts, records, progress, known)
    with make_pool(workers, curation.bytes, engine) as pool:
        joins = Joins(None if known is None else known.corpus, None if known is None else parts, pool, parts)
        roster, shingled = curation.carry_out(plan_passes(steps), pool, joins)
        if not len(roster):
            counts = ", ".join(f"{count} {reason}" for reason, count in records.reasons().most_common())
            raise StageError(
                f"corpus: all {len(records.aside)} documents were set aside ({counts}): loosen the data.* limits "
                "they name, or give other documents"
            )
        # Documents come in the order of their ids, so a family bears the smallest id in it.
        heads = _families(parts / "heads.npy", shingled, roster, parameters, progress, joins)
        del shingled
    give_back()
    names = roster["document_id"]
    held_out = held_out_families(
        heads,
        roster.numbers("size_bytes"),
        lambda head: names[head].as_py(),
        parameters["held_out_fraction"],
        parameters["seed"],
    )
    write_corpus(out, curation.last_buckets(), roster, heads, held_out)
    give_back()
    records.write(out)
    if known is not None:
        keep(parts, curation.shingles, out, known.how)
    summary = _summary(steps, curation.documents, roster, heads, held_out, records)
    give_back()
    return summary


def _families(
    path: Path, shingled: Roster, roster: Roster, parameters: dict[str, Any], progress: Progress, joins: Joins
) -> Ints:
    """Return the first document of each one's family; written down, and from then on read."""
    if not path.exists():
        beside = path.with_name(f".{path.name}")
        with beside.open("wb") as file:
            threshold = parameters["held_out_group_jaccard"]
            np.save(file, families(shingled.shingles_of(roster), threshold, progress, joins))
        beside.replace(path)
    heads: Ints = np.load(path)
    return heads


class _Curation:
    """Runs the passes of one corpus."""

    def __init__(
        self,
        lake: Path,
        parameters: dict[str, Any],
        work: Path,
        records: Records,
        progress: Progress,
        known: Known | None,
    ) -> None:
        self._known = None if known is None else known.corpus
        self._how = None if known is None else known.how
        self.shingles = work
        """The file of all shingles, once there is one."""
        self._lake = lake / "lake.parquet"
        self._parameters, self._work, self._records, self._progress = parameters, work, records, progress
        try:
            with parquet.ParquetFile(self._lake) as file:
                self.documents: int = file.metadata.num_rows
                self._row_group_bytes = [
                    file.metadata.row_group(group).total_byte_size for group in range(file.num_row_groups)
                ]
                self.bytes = sum(file.read(columns=["bytes"])["bytes"].to_pylist())
        except (OSError, KeyError, pa.ArrowException) as error:
            reason = str(error).splitlines()[0]
            raise StageError(
                f"{lake}: not a whole lake ({reason}): delete this folder and run again"
            ) from None
        self._buckets = bucket_count(self.bytes)
        self._last: tuple[Path, list[Notes]] | None = None
        self._edits: Path | None = None
        self._lines: Path | None = None

    def carry_out(self, passes: list[Pass], pool: Executor | None, joins: Joins) -> tuple[Roster, Roster]:
        """Return the documents that are left, and those of the pass that noted shingles, which may be more."""
        roster: Roster | None = None
        shingled: Roster | None = None
        expected = self.documents
        for number, one in enumerate(passes):
            noted = frozenset[str]().union(*(NOTED_FOR[step] for step in one.corpus_steps))
            if number == len(passes) - 1:
                noted |= {"words"} if shingled else {"words", "shingles"}
            roster, notes = self._go_through(pool, number, one, noted, expected)
            give_back()
            if "shingles" in noted:
                shingled = roster
            decided = self._decided(number, one, roster, joins)
            give_back()
            if number < len(passes) - 1:
                self._keep(number, one, decided, notes)
            roster = roster.without(decided.removed)
            expected = len(roster)
        assert roster is not None
        assert shingled is not None
        return roster, shingled

    def last_buckets(self) -> Iterator[Bucket]:
        """Yield where each bucket of the last pass lies."""
        assert self._last is not None
        folder, notes = self._last
        return (bucket_in(folder, notes, bucket) for bucket in range(self._buckets))

    def _go_through(
        self, pool: Executor | None, number: int, one: Pass, noted: frozenset[str], expected: int
    ) -> tuple[Roster, list[Notes]]:
        """Carry out the tasks of a pass."""
        folder = self._work / f"pass-{number}"
        folder.mkdir(exist_ok=True)
        self._progress.start(expected, "documents")
        key = self._outcome_key(one, noted)
        tasks = list(self._tasks(folder, number, one, noted, key))
        notes = run_tasks(pool, tasks, self._progress)
        if key is not None and not outcome_file(self._work, number).exists():
            merge_outcomes([task.outcomes for task in tasks], outcome_file(self._work, number), key)
        if self._last is not None:
            spend_texts(self._last[0])
        for part in notes:
            self._records.add(part.aside, part.changes)
        self._last = folder, notes
        if "shingles" not in noted:
            return gather(notes, [], joined_shingles(folder)), notes
        self.shingles = joined_shingles(folder)
        write_index(self._work / INDEX, notes)
        roster = gather(notes, [folder / f"{part.number:06}.u64" for part in notes], self.shingles)
        if self._known is not None:
            count = sum(part.shingled for part in notes)
            self._progress.note(f"{count:,} of {len(roster):,} texts are new")
        return roster, notes

    def _tasks(
        self, folder: Path, number: int, one: Pass, noted: frozenset[str], key: str | None
    ) -> Iterator[Task]:
        before = self._last
        for part in range(len(self._row_group_bytes) if before is None else self._buckets):
            bucket = None if before is None else bucket_in(*before, part)
            yield Task(
                number=part,
                lake=self._lake if before is None else None,
                bucket=bucket,
                size_bytes=self._row_group_bytes[part] if bucket is None else bucket.bytes,
                edits=None if self._edits is None else self._edits / str(part),
                lines=self._lines,
                document_steps=one.document_steps,
                notes=noted,
                out=folder,
                buckets=self._buckets,
                parameters=self._parameters,
                known=self._known,
                known_outcomes=None if self._known is None else outcome_file(self._known, number),
                key=key,
            )

    def _outcome_key(self, one: Pass, noted: frozenset[str]) -> str | None:
        """Return what is remembered of a pass under; None where its steps look at more than texts."""
        if self._how is None or not set(one.document_steps) <= REMEMBERED_STEPS:
            return None
        limits = {key: value for key, value in self._parameters.items() if key not in NOT_OF_OUTCOMES}
        asked = [self._how, one.document_steps, sorted(noted & REMEMBERED_NOTES), limits]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def _decided(self, number: int, one: Pass, roster: Roster, joins: Joins) -> Decided:
        """Decide what the next pass does, or find it decided."""
        path = self._work / f"decided-{number}.arrow"
        if not path.exists():
            write_decided(path, decide(one.corpus_steps, roster, self._parameters, self._progress, joins))
        decided = read_decided(path)
        for table in decided.aside:
            self._records.add(table)
        return decided

    def _keep(self, number: int, one: Pass, decided: Decided, notes: list[Notes]) -> None:
        """Write down what the next pass is to do."""
        self._lines = None
        lined: list[str] = []
        if "boilerplate" in one.corpus_steps:
            table = columns_noted(notes, ["document_id", "source", "path", "mime", "lines"])
            columns = (table[name].to_pylist() for name in ("source", "path", "mime"))
            groups = [boilerplate.group_of(*values) for values in zip(*columns, strict=True)]
            fraction = self._parameters["boilerplate_fraction"]
            found, bearers = boilerplate.repeated(groups, *flat_lists(table["lines"]), fraction)
            lined = table["document_id"].take(pa.array(bearers)).to_pylist()
            self._lines = self._work / f"lines-{number}"
            write_lines(self._lines, found)
        self._edits = self._work / f"edits-{number}"
        edits = Edits(frozenset(decided.removed.to_pylist()), decided.paragraphs, frozenset(lined))
        write_edits(self._edits, self._buckets, edits)


def _summary(
    steps: tuple[str, ...],
    documents_in: int,
    roster: Roster,
    heads: Ints,
    held_out: npt.NDArray[np.bool_],
    records: Records,
) -> dict[str, Any]:
    sizes = roster.numbers("size_bytes")
    members = np.bincount(heads)
    summary = {
        "documents_in": documents_in,
        "documents": len(roster),
        "bytes": int(sizes.sum()),
        "words": int(roster.numbers("words").sum()),
        "repaired": pc.sum(pc.equal(records.changes["step"], "repair")).as_py() or 0,
        "set_aside": dict(sorted(records.reasons().items())),
        "steps": records.by_step(steps, documents_in),
        "families": int(np.count_nonzero(members)),
        "largest_family_documents": int(members.max()),
    }
    for split, own in (("train", sizes[~held_out]), ("held_out", sizes[held_out])):
        summary |= {f"{split}_documents": len(own), f"{split}_bytes": int(own.sum())}
    return summary
