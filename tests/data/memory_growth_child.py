"""Prints how many bytes are held for each document more, at some moments.

    python -m tests.data.memory_growth_child FOLDER

A process of its own: what else a process has loaded, and when it collects, would be most of so little.
"""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from forge.data import corpus, duplicates, element_file, encoded, outcomes, prefixes, sets, tables, tasks
from forge.data.known_tokens import Earlier
from forge.data.lake import build_lake
from forge.data.signatures import Known
from forge.data.tokenizer import train_tokenizer
from forge.data.tokens import build_tokens
from forge.progress import SilentProgress
from tests.data.builders import CORPUS, LAKE
from tests.factories import TOKENS, tokenizer_defaults

Bytes = dict[tuple[int, str], int]
MOMENTS = ("last join", "tokens")
FEW, MANY = 1_500, 6_500
"""Documents."""


def make_pieces_small() -> None:
    """Scale down what is held at once, so that it is the same for few documents and for more."""
    sets.BLOCK_ELEMENTS = 2_000
    prefixes.PART_POSTINGS = 2_000
    prefixes.COUNTER_BITS = prefixes.CELL_BITS = (12, 12)
    element_file.PART_ENTRIES = 2_048
    tables.ROW_GROUP_ROWS = 500
    tasks.BUCKET_BYTES = 10_000
    outcomes.MERGED_BYTES = 50_000
    encoded.BLOCK_BYTES = 10_000


@contextmanager
def traced(peaks: Bytes, count: int, stage: str) -> Iterator[None]:
    """Note the most bytes that Python and NumPy hold meanwhile. (Arrow's most hangs on when its threads write.)

    Of a corpus that says nothing: beside a join a thread writes an index, whose buffers are megabytes however few sets
    there are.
    """
    tracemalloc.start()
    try:
        yield
        peaks[count, stage] = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def note_at_last_join(held: Bytes, count: int) -> None:
    """Note what Python, NumPy and Arrow hold when the last join of a corpus begins."""

    def noted(*given: Any) -> Any:
        held[count, "last join"] = tracemalloc.get_traced_memory()[0] + pa.total_allocated_bytes()
        return duplicates.families(*given)

    setattr(corpus, "families", noted)  # noqa: B010


def make(place: Path, count: int, peaks: Bytes) -> None:
    """Make the artifacts of so many short texts."""
    for name in ("in", "lake", "corpus", "tokens"):
        (place / name).mkdir(parents=True)
    for first in range(0, count, 500):
        texts = (f"number {number} of many: w{number * 7 % 1_009}" for number in range(first, first + 500))
        (place / "in" / f"{first}.jsonl").write_text("".join(f'{{"text": "{text}"}}\n' for text in texts))
    build_lake([str(place / "in")], LAKE, place / "lake", SilentProgress(), 1)
    parameters = CORPUS | {"curate": ["exact_duplicates", "near_duplicates"]}
    progress, known = SilentProgress(), Known("so", None)
    note_at_last_join(peaks, count)
    with traced(peaks, count, "corpus"):  # for the last join alone
        corpus.build_corpus(place / "lake", parameters, place / "corpus", progress, 1, known=known)
    learnt = tokenizer_defaults() | {"vocab_size": 270}
    train_tokenizer(place / "corpus", learnt, place, progress)
    with traced(peaks, count, "tokens"):
        build_tokens(
            place / "corpus", place, TOKENS, place / "tokens", progress, 1, earlier=Earlier("so", None)
        )


if __name__ == "__main__":
    make_pieces_small()
    found: Bytes = {}
    # The first time loads what all others have.
    for name, number in (("first", FEW), ("few", FEW), ("many", MANY)):
        make(Path(sys.argv[1]) / name, number, found)
    print(
        json.dumps({moment: (found[MANY, moment] - found[FEW, moment]) / (MANY - FEW) for moment in MOMENTS})
    )
