"""The tokens stage: the corpus as flat token files, each document between BOS and EOS, or a conversation, or two."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as parquet

from forge.data.chat_template import ChatEncoder
from forge.data.chat_tokens import Note, encode_conversations, encode_preferences, labelled, padding
from forge.data.corpus_rows import CorpusBlock, block_texts, corpus_blocks, split_bytes
from forge.data.encoding import Encoder, SpecialIds
from forge.data.engine import LOCAL, Engine
from forge.data.journal import JournalledFile
from forge.data.loading import SPLITS
from forge.data.mixture import mixed
from forge.data.packing import Packing, best_fit, concatenate
from forge.data.segments import SourceRun, lay_out_segments
from forge.data.workers import make_pool, map_in_order
from forge.errors import StageError
from forge.files import link_or_copy, work_folder
from forge.progress import Progress

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


SET_ASIDE = pa.schema(
    [
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
    ]
)


@dataclass
class _Encoded:
    """The documents of a split, encoded one after the other in corpus order."""

    path: Path
    document_ids: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    lengths: array[int] = field(default_factory=lambda: array("q"))
    predicted: array[int] = field(default_factory=lambda: array("q"))
    """Tokens that stand for `bytes`."""
    bytes: array[int] = field(default_factory=lambda: array("q"))
    set_aside: list[tuple[str, str, str, str]] = field(default_factory=list)
    """Rows of SET_ASIDE."""

    def add(self, block: CorpusBlock, notes: list[Note]) -> int:
        """Add documents and what was noted of each; return the bytes of their text."""
        for document_id, source, note in zip(block.document_ids, block.sources, notes, strict=True):
            if isinstance(note[0], str):
                self.set_aside.append((document_id, block.split, note[0], str(note[1])))
                continue
            tokens, predicted, size = (int(number) for number in note)
            self.lengths.append(tokens)
            self.predicted.append(predicted)
            self.bytes.append(size)
            self.document_ids.append(document_id)
            self.sources.append(source)
        return block.bytes


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

    With task `sft` a document is a conversation: both splits are packed, <split>.labels.bin says of each token by
    LEARNT and BEGINS whether it is of an answer and whether a conversation begins at it, `bytes` are those of the
    answers, and set_aside.parquet has what is longer than a sequence or what the chat template cannot render. With task
    `dpo` a document is two conversations, the preferred one first (PREFERRED, REJECTED), never parted by packing; what
    is counted as learnt is of the preferred answers.

    A .bin file is `[BOS document EOS]*` in corpus order, little-endian uint16, or uint32 for a vocabulary over 65,535.
    With packing `best_fit` train.bin is sequences of `sequence_length` tokens, each of whole documents and then PAD,
    and one PAD at the very end. `source_weights` say how often each source's tokens are in train.bin; or `phases` do,
    each for its segment of it, and tokens.json says where in it the text of each source is.

    documents.parquet says where each document (or piece of one) starts, how many tokens (BOS and EOS included) and
    bytes it has, and at which of the document's tokens it begins.

    Args:
        corpus: a corpus artifact.
        tokenizer: a tokenizer artifact.
        parameters: the tokens stage's: task, packing, sequence_length, source_weights, phases.
        out: an empty folder.
        progress: told of bytes.
        workers: processes; None takes all cores where there is enough to do. The bytes are the same.
        work: where finished parts are kept, and found again after a kill; None keeps none.
        engine: what carries out the tasks.

    Raises:
        StageError: the corpus or the tokenizer cannot be read, or no conversation of a split is left.
    """
    encoder = Encoder(tokenizer)
    dtype = np.dtype("<u2" if encoder.vocab_size <= 65_535 else "<u4")
    chat = parameters["task"] != "pretrain"
    how = _How(
        tokenizer,
        labelled(dtype) if chat else dtype,
        parameters["sequence_length"] if chat else None,
        parameters["task"] == "dpo",
    )
    total_bytes = sum(split_bytes(corpus, split) for split in SPLITS)
    progress.start(total_bytes, "bytes")
    packed_length = parameters["sequence_length"] if parameters["packing"] == "best_fit" else None
    with work_folder(work, out) as parts:
        with make_pool(workers, total_bytes, engine) as pool:
            splits = {
                split: _encode(pool, how, corpus, split, parts / f"{split}.bin", progress) for split in SPLITS
            }
        if chat:
            _check_left(splits)
        train = splits["train"]
        runs: list[list[SourceRun]] = []
        if parameters["phases"] is not None:
            order, packing, runs = lay_out_segments(
                train.sources, np.array(train.lengths, np.int64), parameters["phases"], packed_length
            )
        else:
            order = _order(train, parameters["source_weights"])
            packing = _pack(train, order, packed_length)
        packings = {
            "train": packing,
            "held_out": _pack(
                splits["held_out"], _all_of(splits["held_out"]), packed_length if chat else None
            ),
        }
        if packed_length is not None or runs or parameters["source_weights"] is not None:
            _lay_out(
                train, out / "train.bin", order, packings["train"], packed_length, encoder.special, how.dtype
            )
        if chat:
            held_out = splits["held_out"]
            _lay_out(
                held_out,
                out / "held_out.bin",
                _all_of(held_out),
                packings["held_out"],
                packed_length,
                encoder.special,
                how.dtype,
            )
            _separate_labels(out, dtype)
            _write_set_aside(splits, out)
        for split, encoded in splits.items():
            if not (out / f"{split}.bin").exists():
                link_or_copy(encoded.path, out / f"{split}.bin")
    with parquet.ParquetWriter(out / "documents.parquet", SCHEMA, compression="zstd") as writer:
        for split, encoded in splits.items():
            places = order if split == "train" else _all_of(encoded)
            writer.write_table(_documents(encoded, places, packings[split], split))
    facts = _facts(splits, packed_length, encoder, dtype, chat, out)
    if runs:
        facts["phases"] = [[asdict(run) for run in phase] for phase in runs]
    (out / "tokens.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return facts | _counts(splits, packings, order, packed_length)


@dataclass(frozen=True, slots=True)
class _How:
    """How documents are encoded; the same in every process."""

    tokenizer: Path
    dtype: np.dtype[Any]
    """Of a token, or of a token and its label."""
    longest_tokens: int | None
    """Of a conversation, or of a preference; None for documents."""
    preferences: bool


def _encode(
    pool: Executor | None, how: _How, corpus: Path, split: str, path: Path, progress: Progress
) -> _Encoded:
    encoded = _Encoded(path)
    blocks = corpus_blocks(corpus, split, BLOCK_BYTES)
    with JournalledFile(path) as file:
        for notes, block in zip(file.noted, blocks, strict=False):
            progress.resume(encoded.add(block, notes))

        def place(block: CorpusBlock) -> tuple[Any, ...]:
            return how, corpus.resolve(), block.split, block.group, block.first, len(block.document_ids)

        done: Iterator[tuple[CorpusBlock, tuple[bytes, list[Note]]]]
        if pool is None:
            done = ((block, encode_stored(*place(block))) for block in blocks)
        else:
            done = map_in_order(pool, encode_stored, blocks, place)
        for block, (content, notes) in done:
            file.append(content, notes)
            progress.advance(encoded.add(block, notes))
    return encoded


def encode_stored(
    how: _How, corpus: Path, split: str, group: int, first: int, count: int
) -> tuple[bytes, list[Note]]:
    """Return what `encode_block` does of the texts of a block; in a worker, which reads them itself."""
    return encode_block(how, block_texts(corpus, split, group, first, count))


def encode_block(how: _How, texts: list[str]) -> tuple[bytes, list[Note]]:
    """Return the tokens of `texts` and a note of each; in a worker, which keeps the tokenizer loaded."""
    if how not in _LOADED:
        _LOADED.clear()
        _LOADED[how] = Encoder(how.tokenizer) if how.longest_tokens is None else ChatEncoder(how.tokenizer)
    encoder = _LOADED[how]
    if isinstance(encoder, ChatEncoder):
        assert how.longest_tokens is not None
        encode = encode_preferences if how.preferences else encode_conversations
        return encode(encoder, texts, how.dtype, how.longest_tokens)
    return _with_borders(encoder, texts, how.dtype)


_LOADED: dict[_How, Encoder | ChatEncoder] = {}


def _with_borders(encoder: Encoder, texts: list[str], dtype: np.dtype[Any]) -> tuple[bytes, list[Note]]:
    bos, eos = (np.array([one], np.uint32) for one in (encoder.special.bos, encoder.special.eos))
    ids = encoder.encode(texts)
    pieces = [piece for one in ids for piece in (bos, one, eos)]
    notes: list[Note] = [
        (len(one) + 2, len(one), len(text.encode())) for one, text in zip(ids, texts, strict=True)
    ]
    return np.concatenate(pieces).astype(dtype).tobytes(), notes


def _all_of(encoded: _Encoded) -> npt.NDArray[np.int64]:
    return np.arange(len(encoded.lengths))


def _order(train: _Encoded, weights: dict[str, float] | None) -> npt.NDArray[np.int64]:
    """Return which documents the training stream has, in order."""
    lengths = np.array(train.lengths, np.int64)
    return np.arange(len(lengths)) if weights is None else mixed(train.sources, lengths, weights)


def _pack(train: _Encoded, order: npt.NDArray[np.int64], packed_length: int | None) -> Packing:
    lengths = np.array(train.lengths, np.int64)[order]
    return concatenate(lengths) if packed_length is None else best_fit(lengths, packed_length)


def _lay_out(
    split: _Encoded,
    path: Path,
    order: npt.NDArray[np.int64],
    packing: Packing,
    packed_length: int | None,
    special: SpecialIds,
    dtype: np.dtype[Any],
) -> None:
    """Write the tokens of `split` to `path`, its pieces where `packing` puts them, PAD between."""
    encoded = split.path
    lengths = np.array(split.lengths, np.int64)
    begins = (np.cumsum(lengths) - lengths)[order]
    flat = np.fromfile(encoded, dtype, 0) if not encoded.stat().st_size else np.memmap(encoded, dtype, "r")
    end = packing.sequences * packed_length + 1 if packed_length else int(packing.tokens.sum())
    with path.open("wb") as file:
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
        # Labels, where there are any, are 0 but for the first: padding is no part of the conversation before it.
        filling = np.full(count, pad, dtype) if dtype.names is None else padding(count, pad, dtype)
        file.write(filling.tobytes())


def _documents(encoded: _Encoded, order: npt.NDArray[np.int64], packing: Packing, split: str) -> pa.Table:
    places = order[packing.document]
    sizes = np.where(packing.offset == 0, np.array(encoded.bytes, np.int64)[places], 0)
    columns = [
        pa.array(encoded.document_ids, pa.string()).take(pa.array(places)),
        pa.array([split] * len(places), pa.string()),
        *(pa.array(values, pa.int64()) for values in (packing.start, packing.tokens, sizes, packing.offset)),
    ]
    return pa.table(columns, schema=SCHEMA)


def _check_left(splits: dict[str, _Encoded]) -> None:
    """Raise StageError where a split has no conversation left."""
    for split, encoded in splits.items():
        if not encoded.lengths:
            counts = Counter(reason for _, _, reason, _ in encoded.set_aside)
            why = ", ".join(f"{count} {reason}" for reason, count in counts.most_common()) or "there is none"
            raise StageError(
                f"tokens: no conversation is left to put into {split} ({why}): raise train.sequence_length or "
                "data.held_out_fraction, or give other conversations"
            )


def _separate_labels(out: Path, dtype: np.dtype[Any]) -> None:
    """Write the labels in <split>.bin to <split>.labels.bin, and leave the tokens."""
    for split in SPLITS:
        both = out / f"{split}.bin"
        marked = np.memmap(both, labelled(dtype), "r")
        tokens = out / f"{split}.tokens"
        with tokens.open("wb") as ids, (out / f"{split}.labels.bin").open("wb") as labels:
            for first in range(0, len(marked), COPY_TOKENS):
                some = marked[first : first + COPY_TOKENS]
                ids.write(some["id"].tobytes())
                labels.write(some["label"].tobytes())
        del marked
        tokens.replace(both)


def _write_set_aside(splits: dict[str, _Encoded], out: Path) -> None:
    rows = [row for encoded in splits.values() for row in encoded.set_aside]
    columns: list[Any] = list(zip(*rows, strict=True)) if rows else [()] * len(SET_ASIDE)
    arrays = [pa.array(values, pa.string()) for values in columns]
    parquet.write_table(pa.table(arrays, schema=SET_ASIDE), out / "set_aside.parquet", compression="zstd")


def _facts(
    splits: dict[str, _Encoded],
    packed_length: int | None,
    encoder: Encoder,
    dtype: np.dtype[Any],
    labels: bool,
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


def _counts(
    splits: dict[str, _Encoded],
    packings: dict[str, Packing],
    order: npt.NDArray[np.int64],
    packed_length: int | None,
) -> dict[str, Any]:
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
    tokens: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    read: Counter[str] = Counter()
    for source, predicted, size in zip(train.sources, train.predicted, train.bytes, strict=True):
        tokens[source] += predicted
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
