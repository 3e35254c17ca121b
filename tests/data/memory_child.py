"""Makes artifacts in less memory than their source has bytes.

python -m tests.data.memory_child corpus FOLDER OUT BYTES     lake and corpus of a folder
python -m tests.data.memory_child tokens CORPUS OUT BYTES     tokenizer and tokens of a corpus
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import pyarrow as pa

from forge.data import batches, encoded, prefixes, sets, tables, task_work, tasks
from forge.data.corpus import build_corpus
from forge.data.corpus_rows import split_bytes
from forge.data.lake import build_lake
from forge.data.loading import SPLITS
from forge.data.tokenizer import train_tokenizer
from forge.data.tokens import build_tokens
from forge.data.word_codes import word_codes
from forge.progress import SilentProgress
from tests.data.builders import CORPUS, LAKE
from tests.factories import TOKENS, tokenizer_defaults


def make_pieces_small() -> None:
    """Scale down what is held at once, as the machine is scaled down."""
    batches.BATCH_BYTES = 1 << 19
    tables.ROW_GROUP_TEXT_BYTES = 1 << 20
    encoded.BLOCK_BYTES = 1 << 18
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


def make_corpus(folder: Path, out: Path) -> int:
    """Make a corpus of a folder; return the bytes of its texts."""
    for name in ("lake", "corpus"):
        (out / name).mkdir(parents=True)
    made = build_lake([str(folder)], LAKE, out / "lake", SilentProgress(), 1)
    steps = ["repair", "exact_duplicates", "near_duplicates"]
    build_corpus(out / "lake", CORPUS | {"curate": steps}, out / "corpus", SilentProgress(), 1)
    return int(made["bytes"])


def make_tokens(corpus: Path, out: Path) -> int:
    """Make a tokenizer and tokens of a corpus; return the bytes of its texts."""
    for name in ("tokenizer", "tokens"):
        (out / name).mkdir(parents=True)
    learnt = tokenizer_defaults() | {"vocab_size": 530, "special_tokens": None, "sample_bytes": 1_000_000}
    train_tokenizer(corpus, learnt, out / "tokenizer", SilentProgress())
    packed = TOKENS | {"packing": "best_fit", "sequence_length": 1_024}
    build_tokens(corpus, out / "tokenizer", packed, out / "tokens", SilentProgress(), 1)
    return sum(split_bytes(corpus, split) for split in SPLITS)


if __name__ == "__main__":
    stages, source, out, allowed_bytes = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    make_pieces_small()
    word_codes(["a table of all characters is made here: \u00e4 \u65e5"])
    limit_memory(allowed_bytes)
    print((make_corpus if stages == "corpus" else make_tokens)(source, out))
