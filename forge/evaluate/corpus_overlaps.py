"""The training corpus looked through for runs of words of the evaluation, by a process a core."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from forge.data.corpus_rows import CorpusBlock, block_texts, corpus_blocks, split_bytes
from forge.data.word_codes import Uint64
from forge.data.workers import make_pool, map_in_order
from forge.evaluate.contamination import Held, Overlap, Wanted, held_runs
from forge.evaluate.texts import message_texts
from forge.plan.types import Task
from forge.progress import Progress

BLOCK_BYTES = 4 * 1024 * 1024


def overlaps_with_training(
    sets: Mapping[str, Sequence[str]],
    corpus: Path,
    task: Task,
    progress: Progress,
    workers: int | None = None,
) -> dict[str, list[Overlap]]:
    """Return what the training text has of each text of some sets; of conversations each message is a text.

    Args:
        sets: texts by the name of their set.
        corpus: a corpus artifact.
        task: what its documents are for.
        progress: told of bytes.
        workers: processes; None takes all cores where there is enough to do. What is found is the same.

    Raises:
        StageError: there is no readable corpus.
        MachineError: a worker was killed.
    """
    progress.note("looking for runs of words of the evaluation in the training text")
    total_bytes = split_bytes(corpus, "train")
    progress.start(total_bytes, "bytes")
    wanted = Wanted(sets)
    with (
        tempfile.TemporaryDirectory(prefix="forge-runs-") as scratch,
        make_pool(workers, total_bytes) as pool,
    ):
        for width, some in wanted.runs.items():
            np.save(Path(scratch) / f"{width}.npy", some)

        def place(block: CorpusBlock) -> tuple[Any, ...]:
            return Path(scratch), corpus, block.group, block.first, len(block.document_ids), task

        blocks = corpus_blocks(corpus, "train", BLOCK_BYTES)
        done: Iterable[tuple[CorpusBlock, Held]]
        if pool is None:
            done = ((block, held_in_block(*place(block))) for block in blocks)
        else:
            done = map_in_order(pool, held_in_block, blocks, place)
        for block, held in done:
            wanted.note(held)
            progress.advance(block.bytes)
    return wanted.overlaps()


def held_in_block(folder: Path, corpus: Path, group: int, first: int, count: int, task: Task) -> Held:
    """Return which of the runs in the files of `folder` the documents of a block hold."""
    texts = block_texts(corpus, "train", group, first, count)
    return held_runs(_wanted(folder), [part for text in texts for part in message_texts(text, task)])


@functools.lru_cache(maxsize=1)
def _wanted(folder: Path) -> dict[int, Uint64]:
    return {int(path.stem): np.load(path, allow_pickle=False) for path in folder.glob("*.npy")}
