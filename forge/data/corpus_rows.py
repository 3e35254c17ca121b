"""Reading a corpus artifact in blocks: the one place that knows how its rows are stored."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet

from forge.data.columns import Ints, digest_keys
from forge.data.word_codes import Uint64
from forge.errors import StageError

BATCH_ROWS = 512


@dataclass(frozen=True, slots=True)
class CorpusRow:
    """What the tokenizer and the tokens are made from."""

    document_id: str
    source: str
    split: str
    text: str
    bytes: int


def corpus_rows(corpus: Path, split: str) -> Iterator[CorpusRow]:
    """Yield the documents of `split` ('train' or 'held_out') in the order they are stored.

    Raises:
        StageError: there is no readable corpus.parquet.
    """
    names = ["document_id", "source", "split", "text", "bytes"]
    with _open(corpus) as file:
        # A batch within a row group, which is bounded in bytes: 512 long documents need not be.
        for group in range(file.num_row_groups):
            for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=names):
                for values in zip(*(batch.column(name).to_pylist() for name in names), strict=True):
                    row = CorpusRow(*values)
                    if row.split == split:
                        yield row


@dataclass(frozen=True, slots=True)
class CorpusBlock:
    """Documents of a split that follow each other in one row group. Their texts are read where they are worked on."""

    split: str
    group: int
    first: int
    """Place of the first among those of the split in the row group."""
    document_ids: list[str]
    sources: list[str]
    sizes: list[int]
    """UTF-8 bytes of each text."""
    digests: bytes
    """What the texts are known by, 16 bytes each."""

    @property
    def bytes(self) -> int:
        """UTF-8 bytes of the texts."""
        return sum(self.sizes)


def corpus_blocks(corpus: Path, split: str, block_bytes: int) -> Iterator[CorpusBlock]:
    """Yield the documents of `split` in the order they are stored, about `block_bytes` at a time. Raises as above."""
    with _open(corpus) as file:
        for group in range(file.num_row_groups):
            names = ["document_id", "source", "split", "bytes", "digest"]
            table = file.read_row_group(group, columns=names)
            table = table.filter(compute.equal(table["split"], split))
            ids, sources, sizes = (table[name].to_pylist() for name in ("document_id", "source", "bytes"))
            digests = digest_keys(table["digest"]).tobytes()
            ends = np.cumsum(sizes)
            first, before = 0, 0
            while first < len(ids):
                last = min(int(np.searchsorted(ends, before + block_bytes)) + 1, len(ids))
                own = slice(first, last)
                yield CorpusBlock(
                    split, group, first, ids[own], sources[own], sizes[own], digests[16 * first : 16 * last]
                )
                first, before = last, int(ends[last - 1])


def block_texts(
    corpus: Path, split: str, group: int, first: int, count: int, places: Ints | None = None
) -> list[str]:
    """Return the texts of a block, or those at some places in it, which ascend.

    The texts of its row group stay in this process until others are asked for.
    """
    if places is not None and not len(places):
        return []
    written_ns = (corpus / "corpus.parquet").stat().st_mtime_ns
    own = _group_texts(corpus, written_ns, split, group).slice(first, count)
    texts: list[str] = (
        own if places is None or len(places) == count else own.take(pa.array(places))
    ).to_pylist()
    return texts


@functools.lru_cache(maxsize=1)
def _group_texts(corpus: Path, written_ns: int, split: str, group: int) -> pa.ChunkedArray:
    with _open(corpus) as file:
        table = file.read_row_group(group, columns=["split", "text"])
        return table.filter(compute.equal(table["split"], split))["text"]


def split_bytes(corpus: Path, split: str) -> int:
    """Return the UTF-8 bytes of the text of `split`, without reading the text. Raises as `corpus_rows`."""
    with _open(corpus) as file:
        table = file.read(columns=["split", "bytes"])
    return compute.sum(table.filter(compute.equal(table["split"], split))["bytes"]).as_py() or 0


def all_digests(corpus: Path) -> tuple[Uint64, Ints]:
    """Return what all texts are known by, (n, 2), and their UTF-8 bytes. Raises as `corpus_rows`."""
    with _open(corpus) as file:
        table = file.read(columns=["digest", "bytes"])
    return digest_keys(table["digest"]), np.asarray(table["bytes"])


def _open(corpus: Path) -> parquet.ParquetFile:
    try:
        return parquet.ParquetFile(corpus / "corpus.parquet")
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise StageError(
            f"{corpus}: not a whole corpus ({reason}): delete this folder and run again"
        ) from None
