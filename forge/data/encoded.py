"""The documents of a split as token ids: encoded on all cores a block at a time, or remembered from earlier tokens."""

from __future__ import annotations

import functools
from array import array
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forge.data.chat_tokens import Note, encode_conversations, encode_preferences
from forge.data.corpus_rows import CorpusBlock, block_texts, corpus_blocks
from forge.data.encoding import Encoder, SpecialIds
from forge.data.journal import JournalledFile
from forge.data.known_tokens import Tokens, known_tokens
from forge.data.workers import map_in_order
from forge.progress import Progress

if TYPE_CHECKING:
    from forge.data.chat_template import ChatEncoder

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
        left = list(range(len(notes)))
        if any(isinstance(note[0], str) for note in notes):
            left = [place for place in left if not isinstance(notes[place][0], str)]
            gone = sorted({*range(len(notes))}.difference(left))
            self.set_aside += [
                (block.document_ids[place], block.split, str(notes[place][0]), str(notes[place][1]))
                for place in gone
            ]
        for column, number in ((self.lengths, 0), (self.predicted, 1), (self.bytes, 2)):
            column.extend(int(notes[place][number]) for place in left)
        self._ids.append(pa.array([block.document_ids[place] for place in left], pa.string()))
        self.source_numbers.extend(
            self.source_names.setdefault(block.sources[place], len(self.source_names)) for place in left
        )
        self.digests += b"".join(block.digests[16 * place : 16 * place + 16] for place in left)
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
            where = corpus.resolve(), block.split, block.group, block.first
            return how, *where, array("q", block.sizes), block.digests

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
    how: How, corpus: Path, split: str, group: int, first: int, sizes: array[int], digests: bytes
) -> tuple[bytes, list[Note]]:
    """Return the tokens of the texts of a block and a note of each; in a worker, which reads them and keeps the
    tokenizer loaded.

    Args:
        sizes: UTF-8 bytes of each text.
        digests: what each is known by.
    """
    if how.longest_tokens is not None:
        encode = encode_preferences if how.preferences else encode_conversations
        texts = block_texts(corpus, split, group, first, len(sizes))
        return encode(_chat_encoder(how), texts, how.dtype, how.longest_tokens)
    encoder = _encoder(how)
    found: list[Tokens | None] = [None] * len(sizes)
    if how.known is not None:
        found = known_tokens(how.known, how.dtype).find(np.frombuffer(digests, np.uint64).reshape(-1, 2))
    new = np.array([place for place, one in enumerate(found) if one is None], np.int64)
    for place, ids in zip(
        new.tolist(), encoder.encode(block_texts(corpus, split, group, first, len(sizes), new)), strict=True
    ):
        found[place] = np.concatenate([[how.special.bos], ids, [how.special.eos]]).astype(how.dtype)
    pieces = [one for one in found if one is not None]
    notes: list[Note] = [(len(one), len(one) - 2, size) for one, size in zip(pieces, sizes, strict=True)]
    return np.concatenate(pieces).tobytes(), notes


@functools.lru_cache(maxsize=1)
def _encoder(how: How) -> Encoder:
    return Encoder(how.tokenizer, how.special)


@functools.lru_cache(maxsize=1)
def _chat_encoder(how: How) -> ChatEncoder:
    # Templates are loaded where there are conversations.
    from forge.data import chat_template

    return chat_template.ChatEncoder(how.tokenizer)


def all_of(encoded: Encoded) -> npt.NDArray[np.int64]:
    """Return the places of all documents of a split, in order."""
    return np.arange(len(encoded.lengths))
