"""A corpus larger than the memory there is."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
from pathlib import Path

import pytest

CORPUS_BYTES = 128_000_000
MEMORY_BYTES = 80_000_000
FILE_BYTES = 100_000


@pytest.mark.soak
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds private memory")
def test_a_folder_larger_than_memory_becomes_a_corpus(tmp_path: Path) -> None:
    chance = random.Random(1)
    # Long words: many bytes, and few words to work on.
    words = [chance.randbytes(40).hex() for _ in range(500)]
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(CORPUS_BYTES // FILE_BYTES):
        lines = (" ".join(chance.choices(words, k=12)) for _ in range(FILE_BYTES // 12 // 81))
        (folder / f"{number:04}.txt").write_text("\n".join(lines))
    environment = os.environ | {
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "MALLOC_ARENA_MAX": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = ["-m", "tests.data.memory_child", str(folder), str(tmp_path / "out"), str(MEMORY_BYTES)]
    done = subprocess.run(
        [sys.executable, *command],
        env=environment,
        capture_output=True,
        text=True,
        # A thread's stack is private memory too, used or not.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 20)),
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    assert int(done.stdout) > 1.3 * MEMORY_BYTES
