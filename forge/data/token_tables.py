"""What is told of tokens: documents.parquet, set_aside.parquet, the facts of tokens.json and the summary."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as parquet

from forge.data.encoded import Encoded
from forge.data.encoding import Encoder
from forge.data.packing import Packing

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


ROW_GROUP_ROWS = 1 << 20
"""Pieces of documents that are written at once."""
SET_ASIDE = pa.schema(
    [
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
    ]
)


def documents_table(encoded: Encoded, order: npt.NDArray[np.int64], packing: Packing, split: str) -> pa.Table:
    """Return where each document of a split, or piece of one, is: rows of SCHEMA in one piece."""
    places = order[packing.document]
    sizes = np.where(packing.offset == 0, np.asarray(encoded.bytes)[places], 0)
    columns = [
        pa.concat_arrays(encoded.document_ids.take(pa.array(places)).chunks or [pa.array([], pa.string())]),
        pa.repeat(split, len(places)),
        *(pa.array(values, pa.int64()) for values in (packing.start, packing.tokens, sizes, packing.offset)),
    ]
    return pa.table(columns, schema=SCHEMA)


def write_set_aside(splits: dict[str, Encoded], out: Path) -> None:
    """Write the conversations that are in neither split, and why."""
    rows = [row for encoded in splits.values() for row in encoded.set_aside]
    columns: list[Any] = list(zip(*rows, strict=True)) if rows else [()] * len(SET_ASIDE)
    arrays = [pa.array(values, pa.string()) for values in columns]
    parquet.write_table(pa.table(arrays, schema=SET_ASIDE), out / "set_aside.parquet", compression="zstd")


def tokens_facts(
    splits: dict[str, Encoded],
    packed_length: int | None,
    encoder: Encoder,
    dtype: np.dtype[Any],
    labels: bool,
    out: Path,
) -> dict[str, Any]:
    """Return what tokens.json says of the files in `out`."""
    facts: dict[str, Any] = {"dtype": dtype.name}
    for split, encoded in splits.items():
        facts |= {
            f"{split}_tokens": (out / f"{split}.bin").stat().st_size // dtype.itemsize,
            f"{split}_bytes": sum(encoded.bytes),
        }
    if packed_length is not None:
        facts["packed_length"] = packed_length
    if labels:
        facts["labels"] = True
        facts |= {f"{split}_learnt_tokens": sum(encoded.predicted) for split, encoded in splits.items()}
    digests = {}
    for name in (
        f"{split}{end}" for split in splits for end in ((".bin", ".labels.bin") if labels else (".bin",))
    ):
        with (out / name).open("rb") as file:
            digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return facts | {
        "vocab_size": encoder.vocab_size,
        "bos_id": encoder.special.bos,
        "eos_id": encoder.special.eos,
        "pad_id": encoder.special.pad,
        "sha256": digests,
    }


def tokens_summary(
    splits: dict[str, Encoded],
    packings: dict[str, Packing],
    order: npt.NDArray[np.int64],
    packed_length: int | None,
) -> dict[str, Any]:
    """Return what was counted of documents and sources."""
    counts: dict[str, Any] = {}
    for split, encoded in splits.items():
        counts |= {
            f"{split}_documents": len(encoded.lengths),
            # What a text costs without its BOS and EOS: comparable across document lengths.
            f"{split}_bytes_per_token": sum(encoded.bytes) / max(1, sum(encoded.predicted)),
        }
    if aside := Counter(reason for encoded in splits.values() for _, _, reason, _ in encoded.set_aside):
        counts["set_aside"] = dict(aside.most_common())
    train, packing = splits["train"], packings["train"]
    numbers, lengths = np.asarray(train.source_numbers), np.asarray(train.lengths)
    tokens, sizes = (_sums(numbers, np.asarray(column)) for column in (train.predicted, train.bytes))
    read = _sums(numbers[order], lengths[order])
    counts["sources"] = {
        source: {
            "bytes_per_token": sizes[number] / max(1, tokens[number]),
            "train_tokens": read.get(number, 0),
        }
        for source, number in sorted(train.source_names.items())
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


def _sums(numbers: npt.NDArray[np.int32], values: npt.NDArray[np.int64]) -> dict[int, int]:
    """Return the sum of the values of each number; a float holds it up to 2^53."""
    return {number: int(total) for number, total in enumerate(np.bincount(numbers, values).tolist())}
