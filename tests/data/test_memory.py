"""A corpus larger than the memory there is."""

from __future__ import annotations

import json
import os
import random
import resource
import string
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from forge.data.corpus_tables import CORPUS
from forge.data.draft import text_digest

CORPUS_BYTES = 128_000_000
MEMORY_BYTES = 80_000_000
FILE_BYTES = 100_000
ENVIRONMENT = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
}

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


def test_a_document_takes_some_bytes_and_no_object_for_each_thing_known_of_it(tmp_path: Path) -> None:
    """What grows with their number is, of millions of documents, most of what the first process holds."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.data.memory_growth_child", str(tmp_path)],
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    grown_bytes = json.loads(done.stdout)
    for moment, most in {"last join": 130, "tokens": 260}.items():
        assert 50 < grown_bytes[moment] < most


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
