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

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from forge.data.document_steps import DOCUMENT_STEPS
from forge.data.notes import Notes, noted, read_notes
from forge.data.task_work import run_task
from forge.data.tasks import Task, joined_shingles
from forge.data.workers import map_in_order
from forge.progress import Progress

EDITING = ("boilerplate", "paragraphs")
"""Steps over all documents that change texts; the others only set documents aside."""
SPENT = "spent"
"""In the folder of a pass whose texts the next one has taken over, and which are gone."""


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


class InputGone(Exception):
    """A task has to be carried out again, and the texts it starts from are spent."""


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
                if not all(path.exists() for path, _, _ in task.bucket or ()):
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
        whole &= _size_bytes(task.shingles) == 8 * (
            pc.sum(noted([notes], ["shingle_count"])["shingle_count"]).as_py() or 0
        )
    if task.key is not None:
        whole &= task.outcomes.exists()
    return notes if whole else None


def _size_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1


def spend_texts(folder: Path) -> None:
    """Remove the texts of a pass; its notes stay."""
    (folder / SPENT).touch()
    for path in folder.glob("*.arrow"):
        path.unlink()
