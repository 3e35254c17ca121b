"""Reading a corpus artifact in blocks: the one place that knows how its rows are stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as parquet

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


def split_bytes(corpus: Path, split: str) -> int:
    """Return the UTF-8 bytes of the text of `split`, without reading the text. Raises as `corpus_rows`."""
    with _open(corpus) as file:
        table = file.read(columns=["split", "bytes"])
    pairs = zip(table["split"].to_pylist(), table["bytes"].to_pylist(), strict=True)
    return sum(size for name, size in pairs if name == split)


def _open(corpus: Path) -> parquet.ParquetFile:
    try:
        return parquet.ParquetFile(corpus / "corpus.parquet")
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise StageError(
            f"{corpus}: not a whole corpus ({reason}): delete this folder and run again"
        ) from None
