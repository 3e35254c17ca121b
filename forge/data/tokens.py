"""The tokens stage: the corpus as flat token files, each document between BOS and EOS."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from forge.data.corpus_rows import CorpusRow, corpus_rows, split_bytes
from forge.data.tables import TableWriter
from forge.data.tokenizer import BOS_ID, EOS_ID, PAD_ID, load_for_documents
from forge.progress import Progress

SPLITS = ("train", "held_out")
BLOCK_BYTES = 4 * 1024 * 1024
"""Text encoded at once: enough to keep every core busy, and its encodings (about 60 bytes a token) still small."""

SCHEMA = pa.schema(
    [
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
    ]
)


def build_tokens(
    corpus: Path, tokenizer: Path, parameters: dict[str, Any], out: Path, progress: Progress
) -> dict[str, Any]:
    """Encode both splits of `corpus`; write train.bin, held_out.bin, documents.parquet and tokens.json to `out`.

    A .bin file is `[BOS document EOS]*` in corpus order, little-endian uint16, or uint32 for a vocabulary over 65,535.
    documents.parquet says where each document starts and how many tokens (BOS and EOS included) and bytes it has.

    Raises:
        StageError: the corpus or the tokenizer cannot be read.
    """
    encoder = load_for_documents(tokenizer)
    vocab_size = encoder.get_vocab_size()
    dtype = np.dtype("<u2" if vocab_size <= 65_535 else "<u4")
    facts: dict[str, Any] = {"dtype": dtype.name}
    digests = {}
    counts: dict[str, Any] = {}
    progress.start(sum(split_bytes(corpus, split) for split in SPLITS), "bytes")
    with TableWriter(out / "documents.parquet", SCHEMA) as documents:
        for split in SPLITS:
            digest = hashlib.sha256()
            tokens = text_bytes = count = 0
            with (out / f"{split}.bin").open("wb") as file:
                for row, ids in _encoded(encoder, corpus, split, dtype):
                    content = ids.tobytes()
                    file.write(content)
                    digest.update(content)
                    documents.append(
                        {
                            "document_id": row.document_id,
                            "split": split,
                            "start": tokens,
                            "tokens": len(ids),
                            "bytes": row.bytes,
                        }
                    )
                    tokens += len(ids)
                    text_bytes += row.bytes
                    count += 1
                    progress.advance(row.bytes)
            facts |= {f"{split}_tokens": tokens, f"{split}_bytes": text_bytes}
            digests[f"{split}.bin"] = digest.hexdigest()
            counts |= {
                f"{split}_documents": count,
                # What a text costs without its BOS and EOS: comparable across document lengths.
                f"{split}_bytes_per_token": text_bytes / max(1, tokens - 2 * count),
            }
    facts |= {
        "vocab_size": vocab_size,
        "bos_id": BOS_ID,
        "eos_id": EOS_ID,
        "pad_id": PAD_ID,
        "sha256": digests,
    }
    (out / "tokens.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return facts | counts


def _encoded(
    encoder: Tokenizer, corpus: Path, split: str, dtype: np.dtype[Any]
) -> Iterator[tuple[CorpusRow, np.ndarray]]:
    for block in _blocks(corpus_rows(corpus, split)):
        encodings = encoder.encode_batch_fast([row.text for row in block], add_special_tokens=False)
        for row, encoding in zip(block, encodings, strict=True):
            yield row, np.fromiter(itertools.chain((BOS_ID,), encoding.ids, (EOS_ID,)), dtype)


def _blocks(rows: Iterator[CorpusRow]) -> Iterator[list[CorpusRow]]:
    block: list[CorpusRow] = []
    size_bytes = 0
    for row in rows:
        block.append(row)
        size_bytes += row.bytes
        if size_bytes >= BLOCK_BYTES:
            yield block
            block, size_bytes = [], 0
    if block:
        yield block
