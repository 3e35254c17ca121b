"""The tokens stage: the corpus as flat token files, each document between BOS and EOS."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as parquet

from forge.data.corpus_rows import CorpusRow, corpus_rows, split_bytes
from forge.data.encoding import Encoder, SpecialIds
from forge.data.engine import LOCAL, Engine
from forge.data.journal import JournalledFile
from forge.data.mixture import mixed
from forge.data.packing import Packing, best_fit, concatenate
from forge.data.workers import make_pool, map_in_order
from forge.files import link_or_copy, work_folder
from forge.progress import Progress

SPLITS = ("train", "held_out")
BLOCK_BYTES = 2 * 1024 * 1024
"""Text that a worker encodes at once."""
COPY_TOKENS = 1 << 22
"""Tokens copied or checked at once."""

SCHEMA = pa.schema(
    [
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
    ]
)


@dataclass
class _Encoded:
    """The documents of a split, encoded one after the other in corpus order."""

    path: Path
    document_ids: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    lengths: array[int] = field(default_factory=lambda: array("q"))
    bytes: array[int] = field(default_factory=lambda: array("q"))

    def add(self, block: list[CorpusRow], lengths: list[int]) -> int:
        """Add documents and how many tokens each has; return their bytes."""
        self.lengths.extend(lengths)
        self.document_ids.extend(row.document_id for row in block)
        self.sources.extend(row.source for row in block)
        self.bytes.extend(row.bytes for row in block)
        return sum(row.bytes for row in block)


def build_tokens(
    corpus: Path,
    tokenizer: Path,
    parameters: dict[str, Any],
    out: Path,
    progress: Progress,
    workers: int | None = None,
    work: Path | None = None,
    engine: Engine = LOCAL,
) -> dict[str, Any]:
    """Encode both splits of `corpus`; write train.bin, held_out.bin, documents.parquet and tokens.json to `out`.

    A .bin file is `[BOS document EOS]*` in corpus order, little-endian uint16, or uint32 for a vocabulary over 65,535.
    With packing `best_fit` train.bin is sequences of `sequence_length` tokens, each of whole documents and then PAD,
    and one PAD at the very end. `source_weights` say how often each source's tokens are in train.bin.

    documents.parquet says where each document (or piece of one) starts, how many tokens (BOS and EOS included) and
    bytes it has, and at which of the document's tokens it begins.

    Args:
        corpus: a corpus artifact.
        tokenizer: a tokenizer artifact.
        parameters: the tokens stage's: packing, sequence_length, source_weights.
        out: an empty folder.
        progress: told of bytes.
        workers: processes; None takes all cores where there is enough to do. The bytes are the same.
        work: where finished parts are kept, and found again after a kill; None keeps none.
        engine: what carries out the tasks.

    Raises:
        StageError: the corpus or the tokenizer cannot be read.
    """
    encoder = Encoder(tokenizer)
    dtype = np.dtype("<u2" if encoder.vocab_size <= 65_535 else "<u4")
    total_bytes = sum(split_bytes(corpus, split) for split in SPLITS)
    progress.start(total_bytes, "bytes")
    packed_length = parameters["sequence_length"] if parameters["packing"] == "best_fit" else None
    with work_folder(work, out) as parts:
        with make_pool(workers, total_bytes, engine) as pool:
            splits = {
                split: _encode(
                    pool, encoder, tokenizer, corpus, split, parts / f"{split}.bin", dtype, progress
                )
                for split in SPLITS
            }
        train = splits["train"]
        order = _order(train, parameters["source_weights"])
        packings = {
            "train": _pack(train, order, packed_length),
            "held_out": concatenate(np.array(splits["held_out"].lengths, np.int64)),
        }
        if packed_length is not None or parameters["source_weights"] is not None:
            _lay_out(train, out, order, packings["train"], packed_length, encoder.special, dtype)
        for split, encoded in splits.items():
            if not (out / f"{split}.bin").exists():
                link_or_copy(encoded.path, out / f"{split}.bin")
    with parquet.ParquetWriter(out / "documents.parquet", SCHEMA, compression="zstd") as writer:
        for split, encoded in splits.items():
            places = order if split == "train" else np.arange(len(encoded.lengths))
            writer.write_table(_documents(encoded, places, packings[split], split))
    facts = _facts(splits, packings, packed_length, encoder, dtype, out)
    (out / "tokens.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return facts | _counts(splits, packings, order, packed_length)


def _encode(
    pool: Executor | None,
    encoder: Encoder,
    tokenizer: Path,
    corpus: Path,
    split: str,
    path: Path,
    dtype: np.dtype[Any],
    progress: Progress,
) -> _Encoded:
    encoded = _Encoded(path)
    blocks = _blocks(corpus_rows(corpus, split))
    with JournalledFile(path) as file:
        for lengths, block in zip(file.noted, blocks, strict=False):
            progress.resume(encoded.add(block, lengths))
        done: Iterator[tuple[list[CorpusRow], tuple[bytes, list[int]]]]
        if pool is None:
            done = ((block, _with_borders(encoder, _texts(block), dtype)) for block in blocks)
        else:
            done = map_in_order(pool, encode_block, blocks, lambda block: (tokenizer, _texts(block), dtype))
        for block, (content, lengths) in done:
            file.append(content, lengths)
            progress.advance(encoded.add(block, lengths))
    return encoded


def encode_block(tokenizer: Path, texts: list[str], dtype: np.dtype[Any]) -> tuple[bytes, list[int]]:
    """Return the tokens of `texts` and how many each has; in a worker, which keeps the tokenizer loaded."""
    if tokenizer not in _LOADED:
        _LOADED.clear()
        _LOADED[tokenizer] = Encoder(tokenizer)
    return _with_borders(_LOADED[tokenizer], texts, dtype)


_LOADED: dict[Path, Encoder] = {}


def _with_borders(encoder: Encoder, texts: list[str], dtype: np.dtype[Any]) -> tuple[bytes, list[int]]:
    bos, eos = (np.array([one], np.uint32) for one in (encoder.special.bos, encoder.special.eos))
    ids = encoder.encode(texts)
    pieces = [piece for one in ids for piece in (bos, one, eos)]
    return np.concatenate(pieces).astype(dtype).tobytes(), [len(one) + 2 for one in ids]


def _texts(block: list[CorpusRow]) -> list[str]:
    return [row.text for row in block]


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


def _order(train: _Encoded, weights: dict[str, float] | None) -> npt.NDArray[np.int64]:
    """Return which documents the training stream has, in order."""
    lengths = np.array(train.lengths, np.int64)
    return np.arange(len(lengths)) if weights is None else mixed(train.sources, lengths, weights)


def _pack(train: _Encoded, order: npt.NDArray[np.int64], packed_length: int | None) -> Packing:
    lengths = np.array(train.lengths, np.int64)[order]
    return concatenate(lengths) if packed_length is None else best_fit(lengths, packed_length)


def _lay_out(
    train: _Encoded,
    out: Path,
    order: npt.NDArray[np.int64],
    packing: Packing,
    packed_length: int | None,
    special: SpecialIds,
    dtype: np.dtype[Any],
) -> None:
    """Write train.bin with its pieces where `packing` puts them, PAD between."""
    encoded = train.path
    lengths = np.array(train.lengths, np.int64)
    begins = (np.cumsum(lengths) - lengths)[order]
    flat = np.fromfile(encoded, dtype, 0) if not encoded.stat().st_size else np.memmap(encoded, dtype, "r")
    end = packing.sequences * packed_length + 1 if packed_length else int(packing.tokens.sum())
    with (out / "train.bin").open("wb") as file:
        written = 0
        pieces = zip(packing.document, packing.offset, packing.start, packing.tokens, strict=True)
        for document, offset, start, tokens in pieces:
            _pad(file, int(start) - written, special.pad, dtype)
            first = int(begins[document] + offset)
            file.write(flat[first : first + int(tokens)].tobytes())
            written = int(start + tokens)
        _pad(file, end - written, special.pad, dtype)


def _pad(file: BinaryIO, count: int, pad: int, dtype: np.dtype[Any]) -> None:
    if count:
        file.write(np.full(count, pad, dtype).tobytes())


def _documents(encoded: _Encoded, order: npt.NDArray[np.int64], packing: Packing, split: str) -> pa.Table:
    places = order[packing.document]
    sizes = np.where(packing.offset == 0, np.array(encoded.bytes, np.int64)[places], 0)
    columns = [
        pa.array(encoded.document_ids, pa.string()).take(pa.array(places)),
        pa.array([split] * len(places), pa.string()),
        *(pa.array(values, pa.int64()) for values in (packing.start, packing.tokens, sizes, packing.offset)),
    ]
    return pa.table(columns, schema=SCHEMA)


def _facts(
    splits: dict[str, _Encoded],
    packings: dict[str, Packing],
    packed_length: int | None,
    encoder: Encoder,
    dtype: np.dtype[Any],
    out: Path,
) -> dict[str, Any]:
    facts: dict[str, Any] = {"dtype": dtype.name}
    for split, encoded in splits.items():
        facts |= {
            f"{split}_tokens": (out / f"{split}.bin").stat().st_size // dtype.itemsize,
            f"{split}_bytes": sum(encoded.bytes),
        }
    if packed_length is not None:
        facts["packed_length"] = packed_length
    digests = {}
    for split in splits:
        with (out / f"{split}.bin").open("rb") as file:
            digests[f"{split}.bin"] = hashlib.file_digest(file, "sha256").hexdigest()
    return facts | {
        "vocab_size": encoder.vocab_size,
        "bos_id": encoder.special.bos,
        "eos_id": encoder.special.eos,
        "pad_id": encoder.special.pad,
        "sha256": digests,
    }


def _counts(
    splits: dict[str, _Encoded],
    packings: dict[str, Packing],
    order: npt.NDArray[np.int64],
    packed_length: int | None,
) -> dict[str, Any]:
    counts: dict[str, Any] = {}
    for split, encoded in splits.items():
        count = len(encoded.lengths)
        counts |= {
            f"{split}_documents": count,
            # What a text costs without its BOS and EOS: comparable across document lengths.
            f"{split}_bytes_per_token": sum(encoded.bytes) / max(1, sum(encoded.lengths) - 2 * count),
        }
    train, packing = splits["train"], packings["train"]
    tokens: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    read: Counter[str] = Counter()
    for source, length, size in zip(train.sources, train.lengths, train.bytes, strict=True):
        tokens[source] += length - 2
        sizes[source] += size
    for place in order.tolist():
        read[train.sources[place]] += train.lengths[place]
    counts["sources"] = {
        source: {"bytes_per_token": sizes[source] / max(1, tokens[source]), "train_tokens": read[source]}
        for source in sorted(tokens)
    }
    if packed_length is not None:
        filled = int(packing.tokens.sum())
        capacity = packing.sequences * packed_length
        counts |= {
            "padding_fraction": 1 - filled / max(1, capacity),
            "documents_cut_fraction": len(np.unique(packing.document[packing.offset > 0]))
            / max(1, len(order)),
        }
    return counts
