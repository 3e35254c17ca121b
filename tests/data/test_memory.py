"""A corpus larger than the memory there is."""

from __future__ import annotations

import os
import random
import resource
import string
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from forge.data import element_file, encoded, outcomes, prefixes, sets, tables, tasks
from forge.data.corpus import build_corpus
from forge.data.corpus_tables import CORPUS
from forge.data.draft import text_digest
from forge.data.known_tokens import Earlier
from forge.data.lake import build_lake
from forge.data.signatures import Known
from forge.data.tokenizer import train_tokenizer
from forge.data.tokens import build_tokens
from forge.progress import SilentProgress
from tests.data.builders import CORPUS as CURATE
from tests.data.builders import LAKE
from tests.factories import TOKENS, tokenizer_defaults

CORPUS_BYTES = 128_000_000
MEMORY_BYTES = 80_000_000
FILE_BYTES = 100_000
ENVIRONMENT = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
}
POOLS: list[pa.MemoryPool] = []
"""What Arrow was given meanwhile: what is still kept of it is given back to them."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds private memory")


def made_in_little_memory(stages: str, source: Path, out: Path, memory_bytes: int) -> int:
    """Make artifacts with so much memory; return the bytes of the texts they are made of."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.data.memory_child", stages, str(source), str(out), str(memory_bytes)],
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        # A thread's stack is private memory too, used or not.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 20)),
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return int(done.stdout)


@pytest.mark.soak
def test_a_folder_larger_than_memory_becomes_a_corpus(tmp_path: Path) -> None:
    chance = random.Random(1)
    # Long words: many bytes, and few words to work on.
    words = [chance.randbytes(40).hex() for _ in range(500)]
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(CORPUS_BYTES // FILE_BYTES):
        lines = (" ".join(chance.choices(words, k=12)) for _ in range(FILE_BYTES // 12 // 81))
        (folder / f"{number:04}.txt").write_text("\n".join(lines))
    size_bytes = made_in_little_memory("corpus", folder, tmp_path / "out", MEMORY_BYTES)
    assert size_bytes > 1.3 * MEMORY_BYTES


def test_a_document_takes_some_bytes_and_no_object_for_each_thing_known_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What grows with their number is, of millions of documents, most of what the first process holds."""
    for module, name, least in (
        (sets, "BLOCK_ELEMENTS", 2_000),
        (prefixes, "PART_POSTINGS", 2_000),
        (prefixes, "COUNTER_BITS", (12, 12)),
        (prefixes, "CELL_BITS", (12, 12)),
        (element_file, "PART_ENTRIES", 2_048),
        (tables, "ROW_GROUP_ROWS", 500),
        (tasks, "BUCKET_BYTES", 10_000),
        (outcomes, "MERGED_BYTES", 50_000),
        (encoded, "BLOCK_BYTES", 10_000),
    ):
        monkeypatch.setattr(module, name, least)
    peaks: dict[tuple[int, str], int] = {}
    # The first time loads what all the others have.
    for count in (500, 1_500, 4_500):
        place = tmp_path / str(count)
        for name in ("in", "lake", "corpus", "tokens"):
            (place / name).mkdir(parents=True)
        for first in range(0, count, 500):
            texts = (
                f"number {number} of many: w{number * 7 % 1_009}" for number in range(first, first + 500)
            )
            (place / "in" / f"{first}.jsonl").write_text("".join(f'{{"text": "{text}"}}\n' for text in texts))
        build_lake([str(place / "in")], LAKE, place / "lake", SilentProgress(), 1)
        parameters = CURATE | {"curate": ["exact_duplicates", "near_duplicates"]}
        progress, known = SilentProgress(), Known("so", None)
        with traced(peaks, count, "corpus"):
            build_corpus(place / "lake", parameters, place / "corpus", progress, 1, known=known)
        learnt = tokenizer_defaults() | {"vocab_size": 270}
        train_tokenizer(place / "corpus", learnt, place, progress)
        with traced(peaks, count, "tokens"):
            build_tokens(
                place / "corpus", place, TOKENS, place / "tokens", progress, 1, earlier=Earlier("so", None)
            )
    for stage in ("corpus", "tokens"):
        grown_bytes = (peaks[4_500, stage] - peaks[1_500, stage]) / 3_000
        assert 50 < grown_bytes < 250


@contextmanager
def traced(peaks: dict[tuple[int, str], int], count: int, stage: str) -> Iterator[None]:
    """Note the most bytes that Python, NumPy and Arrow hold meanwhile, each at its own time."""
    before = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(before)
    POOLS.append(pool)
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        yield
        peaks[count, stage] = tracemalloc.get_traced_memory()[1] + pool.max_memory()
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(before)


def test_a_corpus_larger_than_memory_becomes_a_tokenizer_and_tokens(tmp_path: Path) -> None:
    chance = random.Random(1)
    # Few words and long ones: each becomes a token, and the work is in the bytes.
    words = ["".join(chance.choices(string.ascii_lowercase, k=80)) for _ in range(4)]
    rows, groups, memory_bytes = 10, 80, 56_000_000
    with parquet.ParquetWriter(tmp_path / "corpus.parquet", CORPUS, compression="zstd") as writer:
        for group in range(groups):
            ids = [f"{rows * group + row:016x}" for row in range(rows)]
            texts = [" ".join(chance.choices(words, k=FILE_BYTES // 81)) for _ in ids]
            columns = {
                "document_id": ids,
                "source": ["in"] * rows,
                "path": ids,
                "text": texts,
                "bytes": [len(text) for text in texts],
                "words": [len(text.split()) for text in texts],
                "group": ids,
                "split": ["held_out" if group % 16 == 0 else "train"] * rows,
                "digest": [text_digest(text) for text in texts],
            }
            writer.write_table(pa.table(columns, schema=CORPUS))
    size_bytes = made_in_little_memory("tokens", tmp_path, tmp_path / "out", memory_bytes)
    assert size_bytes > 1.3 * memory_bytes
