"""Makes lake and corpus of a folder in less memory than it has bytes: `... memory_child FOLDER OUT BYTES`."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import pyarrow as pa

from forge.data import batches, prefixes, sets, tables, task_work, tasks
from forge.data.corpus import build_corpus
from forge.data.lake import build_lake
from forge.data.word_codes import word_codes
from forge.progress import SilentProgress
from tests.data.builders import CORPUS, LAKE


def make_pieces_small() -> None:
    """Scale down what is held at once, as the machine is scaled down."""
    batches.BATCH_BYTES = 1 << 19
    tables.ROW_GROUP_TEXT_BYTES = 1 << 20
    tasks.BUCKET_BYTES = 1 << 20
    task_work.SLICE_ROWS = 8
    sets.BLOCK_ELEMENTS = 100_000
    prefixes.PART_POSTINGS = 100_000
    prefixes.COUNTER_BITS = (12, 18)


def limit_memory(more_bytes: int) -> None:
    """Let this process take so many bytes more than it has: private memory, not what is mapped from files."""
    status = Path("/proc/self/status").read_text()
    (now_kib,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData"))
    limit = now_kib * 1024 + more_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


if __name__ == "__main__":
    folder, out, allowed_bytes = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    make_pieces_small()
    word_codes(["a table of all characters is made here: \u00e4 \u65e5"])
    limit_memory(allowed_bytes)
    for name in ("lake", "corpus"):
        (out / name).mkdir(parents=True)
    silent = SilentProgress()
    made = build_lake([str(folder)], LAKE, out / "lake", silent, 1)
    steps = ["repair", "exact_duplicates", "near_duplicates"]
    build_corpus(out / "lake", CORPUS | {"curate": steps}, out / "corpus", silent, 1)
    print(made["bytes"])
