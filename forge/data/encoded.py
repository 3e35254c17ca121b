"""The documents of a split as token ids: encoded on all cores a block at a time, or remembered from earlier tokens."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forge.data.chat_template import ChatEncoder
from forge.data.chat_tokens import Note, encode_conversations, encode_preferences
from forge.data.corpus_rows import CorpusBlock, block_texts, corpus_blocks
from forge.data.encoding import Encoder, SpecialIds
from forge.data.journal import JournalledFile
from forge.data.known_tokens import known_tokens, text_digest
from forge.data.workers import map_in_order
from forge.progress import Progress

BLOCK_BYTES = 2 * 1024 * 1024
"""Text that a worker encodes at once."""


@dataclass
class Encoded:
    """The documents of a split, encoded one after the other in corpus order."""

    path: Path
    _ids: list[pa.Array] = field(default_factory=list)
    source_names: dict[str, int] = field(default_factory=dict)
    """Numbered as they come."""
    source_numbers: array[int] = field(default_factory=lambda: array("i"))
    lengths: array[int] = field(default_factory=lambda: array("q"))
    predicted: array[int] = field(default_factory=lambda: array("q"))
    """Tokens that stand for `bytes`."""
    bytes: array[int] = field(default_factory=lambda: array("q"))
    digests: bytearray = field(default_factory=bytearray)
    """What each text is known by, 16 bytes; of documents alone."""
    set_aside: list[tuple[str, str, str, str]] = field(default_factory=list)
    """Rows of SET_ASIDE."""

    @property
    def document_ids(self) -> pa.ChunkedArray:
        """The id of each."""
        return pa.chunked_array(self._ids, pa.string())

    @property
    def sources(self) -> list[str]:
        """The source of each."""
        return list(map(list(self.source_names).__getitem__, self.source_numbers))

    def add(self, block: CorpusBlock, notes: list[Note]) -> int:
        """Add documents and what was noted of each; return the bytes of their text."""
        ids = []
        for document_id, source, note in zip(block.document_ids, block.sources, notes, strict=True):
            if isinstance(note[0], str):
                self.set_aside.append((document_id, block.split, note[0], str(note[1])))
                continue
            tokens, predicted, size = (int(number) for number in note[:3])
            self.digests += bytes.fromhex("".join(map(str, note[3:])))
            self.lengths.append(tokens)
            self.predicted.append(predicted)
            self.bytes.append(size)
            ids.append(document_id)
            self.source_numbers.append(self.source_names.setdefault(source, len(self.source_names)))
        self._ids.append(pa.array(ids, pa.string()))
        return block.bytes


@dataclass(frozen=True, slots=True)
class How:
    """How documents are encoded; the same in every process."""

    tokenizer: Path
    dtype: np.dtype[Any]
    """Of a token, or of a token and its label."""
    longest_tokens: int | None
    """Of a conversation, or of a preference; None for documents."""
    preferences: bool
    special: SpecialIds
    known: Path | None = None
    """Earlier tokens of documents, whose ids are used."""


def encode_split(
    pool: Executor | None, how: How, corpus: Path, split: str, path: Path, progress: Progress
) -> Encoded:
    """Encode the documents of `split` into the file at `path`, which goes on where an earlier call stopped.

    Raises:
        StageError: the corpus cannot be read.
        MachineError: a worker was killed.
    """
    encoded = Encoded(path)
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
    how: How, corpus: Path, split: str, group: int, first: int, count: int
) -> tuple[bytes, list[Note]]:
    """Return what `encode_block` does of the texts of a block; in a worker, which reads them itself."""
    return encode_block(how, block_texts(corpus, split, group, first, count))


def encode_block(how: How, texts: list[str]) -> tuple[bytes, list[Note]]:
    """Return the tokens of `texts` and a note of each; in a worker, which keeps the tokenizer loaded."""
    if how not in _LOADED:
        _LOADED.clear()
        chat = how.longest_tokens is not None
        _LOADED[how] = ChatEncoder(how.tokenizer) if chat else Encoder(how.tokenizer, how.special)
    encoder = _LOADED[how]
    if isinstance(encoder, ChatEncoder):
        assert how.longest_tokens is not None
        encode = encode_preferences if how.preferences else encode_conversations
        return encode(encoder, texts, how.dtype, how.longest_tokens)
    return _with_borders(encoder, texts, how)


_LOADED: dict[How, Encoder | ChatEncoder] = {}


def _with_borders(encoder: Encoder, texts: list[str], how: How) -> tuple[bytes, list[Note]]:
    bos, eos = (np.array([one], np.uint32) for one in (encoder.special.bos, encoder.special.eos))
    contents = [text.encode() for text in texts]
    digests = list(map(text_digest, contents))
    found: list[npt.NDArray[Any] | None] = [None] * len(texts)
    if how.known is not None:
        found = known_tokens(how.known, how.dtype).find(digests)
    new = iter(encoder.encode([text for text, one in zip(texts, found, strict=True) if one is None]))
    pieces = [
        np.concatenate([bos, next(new), eos]).astype(how.dtype) if one is None else one for one in found
    ]
    notes: list[Note] = [
        (len(piece), len(piece) - 2, len(content), digest.hex())
        for piece, content, digest in zip(pieces, contents, digests, strict=True)
    ]
    return np.concatenate(pieces).tobytes(), notes


def all_of(encoded: Encoded) -> npt.NDArray[np.int64]:
    """Return the places of all documents of a split, in order."""
    return np.arange(len(encoded.lengths))
