"""Documents out of token files of other trainers, in Megatron-LM's layout, as Parquet that a lake is made of.

What is trained on goes through the lake like anything else, so that it is deduplicated, held out and accounted for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from tokenizers import Tokenizer

from forge.data.megatron import import_megatron
from forge.errors import StageError
from forge.files import sync
from forge.progress import Progress

BATCH_TOKENS = 1 << 20
SCHEMA = pa.schema([("text", pa.string()), ("sequence", pa.int64()), ("tokens", pa.int64())])


@dataclass(frozen=True, slots=True)
class Decoded:
    """What became of the sequences of a dataset."""

    documents: int
    tokens: int
    """Special ones too."""
    same: int
    """Documents whose text the tokenizer makes the same tokens of."""


def decode_megatron(prefix: Path, tokenizer_file: Path, out: Path, progress: Progress) -> Decoded:
    """Write each sequence of `prefix`.bin as a document to the Parquet file `out`, which is new.

    Columns: `text`, without special tokens; `sequence`, its number from 0; `tokens` it had.

    Args:
        prefix: path of .bin and .idx without either.
        tokenizer_file: the tokenizer.json that the tokens were made with.
        out: file to write.
        progress: told of tokens.

    Raises:
        StageError: the files are no such dataset, the tokenizer is another's, or `out` is there.
    """
    if out.exists():
        raise StageError(f"{out}: is there already: name a file that is not")
    ids, lengths = import_megatron(prefix)
    tokenizer = _tokenizer(tokenizer_file)
    count = tokenizer.get_vocab_size()
    wrong = [each for each in (int(ids.max()), int(ids.min())) if not 0 <= each < count] if len(ids) else []
    if wrong:
        raise StageError(
            f"{prefix}.bin: has the token {wrong[0]}, and {tokenizer_file} has {count}: name the "
            "tokenizer it was made with"
        )
    specials = np.array(
        [number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special], np.int64
    )
    same = 0
    beside = out.with_name(f".{out.name}.{os.getpid()}")
    progress.start(float(len(ids)), "tokens")
    try:
        with parquet.ParquetWriter(beside, SCHEMA, compression="zstd") as writer:
            for first, sequences in _batches(ids, lengths):
                texts = tokenizer.decode_batch([each.tolist() for each in sequences])
                again = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
                for each, encoding in zip(sequences, again, strict=True):
                    same += np.array_equal(each[~np.isin(each, specials)], encoding.ids)
                counts = [len(each) for each in sequences]
                numbers = range(first, first + len(sequences))
                writer.write_table(pa.table([texts, numbers, counts], SCHEMA))
                progress.advance(float(sum(counts)))
        sync(beside)
        beside.rename(out)
    finally:
        beside.unlink(missing_ok=True)
    sync(out.parent)
    return Decoded(len(lengths), len(ids), same)


def _tokenizer(file: Path) -> Any:
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        raise StageError(
            f"{file}: is no tokenizer.json ({error}): name the one the tokens were made with"
        ) from None


def _batches(ids: Any, lengths: Any) -> Iterator[tuple[int, list[Any]]]:
    """Yield runs of sequences of about `BATCH_TOKENS`, with the number of the first."""
    ends = np.cumsum(lengths)
    first = 0
    while first < len(lengths):
        start = int(ends[first] - lengths[first])
        last = max(int(np.searchsorted(ends, start + BATCH_TOKENS, "right")), first + 1)
        yield first, np.split(ids[start : ends[last - 1]], ends[first : last - 1] - start)
        first = last
