"""The tokens stage: the corpus as flat token files, each document between BOS and EOS, or a conversation, or two."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as parquet

from forge.data.chat_tokens import labelled
from forge.data.corpus_rows import all_digests, split_bytes
from forge.data.encoded import Encoded, How, all_of, encode_split
from forge.data.encoding import Encoder
from forge.data.engine import LOCAL, Engine
from forge.data.known_tokens import Earlier, known_tokens, remember
from forge.data.loading import SPLITS
from forge.data.mixture import mixed
from forge.data.packing import Packing, best_fit, concatenate
from forge.data.segments import SourceRun, lay_out_segments
from forge.data.spare_memory import give_back
from forge.data.token_files import lay_out, separate_labels
from forge.data.token_tables import (
    ROW_GROUP_ROWS,
    SCHEMA,
    documents_table,
    tokens_facts,
    tokens_summary,
    write_set_aside,
)
from forge.data.workers import make_pool
from forge.errors import StageError
from forge.files import link_or_copy, work_folder
from forge.progress import Progress


def build_tokens(
    corpus: Path,
    tokenizer: Path,
    parameters: dict[str, Any],
    out: Path,
    progress: Progress,
    workers: int | None = None,
    work: Path | None = None,
    engine: Engine = LOCAL,
    earlier: Earlier | None = None,
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
        earlier: tokens that know some of the texts of a `pretrain` task; the bytes are the same. None remembers nothing
            for the next ones either.

    Raises:
        StageError: the corpus or the tokenizer cannot be read, or no conversation of a split is left.
    """
    encoder = Encoder(tokenizer)
    dtype = np.dtype("<u2" if encoder.vocab_size <= 65_535 else "<u4")
    chat = parameters["task"] != "pretrain"
    how = How(
        tokenizer,
        labelled(dtype) if chat else dtype,
        parameters["sequence_length"] if chat else None,
        parameters["task"] == "dpo",
        encoder.special,
        None if chat or earlier is None or earlier.tokens is None else earlier.tokens.resolve(),
    )
    total_bytes = sum(split_bytes(corpus, split) for split in SPLITS)
    left_bytes = total_bytes if how.known is None else _new_bytes(corpus, how)
    progress.start(total_bytes, "bytes")
    packed_length = parameters["sequence_length"] if parameters["packing"] == "best_fit" else None
    with work_folder(work, out) as parts:
        with make_pool(workers, left_bytes, engine) as pool:
            splits = {
                split: encode_split(pool, how, corpus, split, parts / f"{split}.bin", progress)
                for split in SPLITS
            }
        if chat:
            _check_left(splits)
        train = splits["train"]
        runs: list[list[SourceRun]] = []
        if parameters["phases"] is not None:
            order, packing, runs = lay_out_segments(
                train.sources, np.asarray(train.lengths), parameters["phases"], packed_length
            )
        else:
            order = _order(train, parameters["source_weights"])
            packing = _pack(train, order, packed_length)
        packings = {
            "train": packing,
            "held_out": _pack(
                splits["held_out"], all_of(splits["held_out"]), packed_length if chat else None
            ),
        }
        if packed_length is not None or runs or parameters["source_weights"] is not None:
            lay_out(
                train, out / "train.bin", order, packings["train"], packed_length, encoder.special, how.dtype
            )
        if chat:
            held_out = splits["held_out"]
            lay_out(
                held_out,
                out / "held_out.bin",
                all_of(held_out),
                packings["held_out"],
                packed_length,
                encoder.special,
                how.dtype,
            )
            separate_labels(out, dtype)
            write_set_aside(splits, out)
        for split, encoded in splits.items():
            if not (out / f"{split}.bin").exists():
                link_or_copy(encoded.path, out / f"{split}.bin")
    give_back()
    with parquet.ParquetWriter(out / "documents.parquet", SCHEMA, compression="zstd") as writer:
        for split, encoded in splits.items():
            places = order if split == "train" else all_of(encoded)
            for some in packings[split].in_blocks(ROW_GROUP_ROWS):
                writer.write_table(documents_table(encoded, places, some, split))
    if earlier is not None and not chat:
        orders = {"train": order, "held_out": all_of(splits["held_out"])}
        most = sum(len(packing.document) for packing in packings.values())
        remember(out, earlier.how, most, (_spans(splits[one], orders[one], packings[one]) for one in SPLITS))
    found = tokens_facts(splits, packed_length, encoder, dtype, chat, out)
    if runs:
        found["phases"] = [[asdict(run) for run in phase] for phase in runs]
    (out / "tokens.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return found | tokens_summary(splits, packings, order, packed_length)


def _new_bytes(corpus: Path, how: How) -> int:
    """Return the bytes of the texts whose tokens are not known."""
    assert how.known is not None
    digests, sizes = all_digests(corpus)
    return int(sizes[known_tokens(how.known, how.dtype).places(digests) < 0].sum())


def _order(train: Encoded, weights: dict[str, float] | None) -> npt.NDArray[np.int64]:
    """Return which documents the training stream has, in order."""
    lengths = np.asarray(train.lengths)
    return np.arange(len(lengths)) if weights is None else mixed(train.sources, lengths, weights)


def _pack(train: Encoded, order: npt.NDArray[np.int64], packed_length: int | None) -> Packing:
    lengths = np.asarray(train.lengths)[order]
    return concatenate(lengths) if packed_length is None else best_fit(lengths, packed_length)


def _spans(
    encoded: Encoded, order: npt.NDArray[np.int64], packing: Packing
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Return (n, 2), the digests of the documents in one piece, and (2, n) where they begin and how long they are."""
    places = order[packing.document]
    whole = packing.tokens == np.asarray(encoded.lengths)[places]
    digests = np.frombuffer(encoded.digests, np.uint64).reshape(-1, 2)[places[whole]]
    return digests, np.stack([packing.start[whole], packing.tokens[whole]])


def _check_left(splits: dict[str, Encoded]) -> None:
    """Raise StageError where a split has no conversation left."""
    for split, encoded in splits.items():
        if not encoded.lengths:
            counts = Counter(reason for _, _, reason, _ in encoded.set_aside)
            why = ", ".join(f"{count} {reason}" for reason, count in counts.most_common()) or "there is none"
            raise StageError(
                f"tokens: no conversation is left to put into {split} ({why}): raise train.sequence_length or "
                "data.held_out_fraction, or give other conversations"
            )
