"""A file that a finished model is measured on: questions, facts, or text, told apart by what is in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from forge.data.chat_template import ChatEncoder
from forge.data.conversations import ANSWERS, Message, NoConversation, from_record
from forge.data.encoding import Encoder
from forge.data.loading import BEGINS, LEARNT, TokenShard
from forge.errors import StageError
from forge.evaluate.baselines import XZ_PRESET_NAME, xz_bytes
from forge.evaluate.perplexity import document_loss_nats
from forge.evaluate.questions import json_lines, read_utf8
from forge.plan.types import Plan
from forge.progress import Progress

WHERE = "--on"
Kind = Literal["questions", "facts", "text"]
Document = str | tuple[Message, ...]


def kind_of(path: Path) -> Kind:
    """Return what a file holds: facts where it is .csv or its first record has a `subject`, questions where that has a
    `question`, else text.

    Raises:
        StageError: it cannot be read, or is no JSON where its name says so.
    """
    if path.suffix.lower() == ".csv":
        return "facts"
    if path.suffix.lower() != ".jsonl":
        return "text"
    records = json_lines(path, WHERE)
    first = records[0][1] if records else {}
    return "questions" if "question" in first else "facts" if "subject" in first else "text"


def read_documents(path: Path, is_chat: bool) -> list[Document]:
    """Return the documents of a file: the `text` or the conversation of each JSON line, or a text file's own text.

    Args:
        path: .jsonl, or UTF-8 text.
        is_chat: whether the model was trained on conversations; only such a one is measured on them.

    Raises:
        StageError: it cannot be read, has no text, or has conversations for a model of documents.
    """
    if path.suffix.lower() != ".jsonl":
        text = read_utf8(path, WHERE)
        if not text.strip():
            raise StageError(f"{WHERE}: {path}: has no text: give a file with some")
        return [text]
    documents: list[Document] = []
    for number, record in json_lines(path, WHERE):
        where = f"{WHERE}: {path}:{number}"
        given = record.get("text")
        if isinstance(given, str):
            if given.strip():
                documents.append(given)
            continue
        try:
            documents.append(tuple(from_record(dict(record))))
        except NoConversation as error:
            raise StageError(
                f"{where}: has neither question, text nor a conversation ({error.detail}): mend the line"
            ) from None
        if not is_chat:
            raise StageError(
                f"{where}: is a conversation, and the model was trained on documents: give `text`"
            )
    if not documents:
        raise StageError(f"{WHERE}: {path}: has no text: give a file with some")
    return documents


def text_of(document: Document) -> str:
    """Return what is predicted of a document: its text, or the answers of a conversation."""
    if isinstance(document, str):
        return document
    return "".join(message.content for message in document if message.role == ANSWERS)


@dataclass(frozen=True, slots=True)
class _Encoded:
    shard: TokenShard
    ends: list[int]
    texts: list[bytes]
    """What is predicted of each document."""


def measure_text(
    network: Any, plan: Plan, tokenizer: Path, documents: Sequence[Document], progress: Progress
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the bits per byte of some documents, and a row with the loss of each.

    Measured as held-out text is: in windows of the training's length, of conversations the answers alone.

    Raises:
        StageError: a conversation cannot be put as the chat template has it, or the loss is not finite.
    """
    encoded = _encode(tokenizer, documents)
    special = Encoder(tokenizer).special
    nats = document_loss_nats(
        network,
        encoded.shard,
        encoded.ends,
        plan.schedule.sequence_length,
        plan.layout.micro_batch_sequences,
        special.bos,
        special.eos,
        progress,
    ).tolist()
    size = sum(map(len, encoded.texts))
    progress.start(size, "bytes")
    figures = {
        "documents": len(documents),
        "bytes": size,
        "bits_per_byte": sum(nats) / math.log(2) / size,
        "xz_bits_per_byte": 8 * xz_bytes(encoded.texts, progress) / size,
        "xz_preset": XZ_PRESET_NAME,
    }
    rows = [
        {"document": place, "bytes": len(text), "nats": loss}
        for place, (text, loss) in enumerate(zip(encoded.texts, nats, strict=True), start=1)
    ]
    return figures, rows


def _encode(tokenizer: Path, documents: Sequence[Document]) -> _Encoded:
    encoder = Encoder(tokenizer)
    chat = ChatEncoder(tokenizer) if any(not isinstance(one, str) for one in documents) else None
    ids: list[int] = []
    labels: list[int] = []
    ends, texts = [], []
    for place, document in enumerate(documents, start=1):
        if isinstance(document, str):
            own = [encoder.special.bos, *encoder.encode([document])[0].tolist(), encoder.special.eos]
            marks = [BEGINS, *[LEARNT] * (len(own) - 1)]
            texts.append(text_of(document).encode())
        else:
            assert chat is not None
            try:
                found = chat.encode(list(document))
            except NoConversation as error:
                raise StageError(f"{WHERE}: document {place}: {error.detail}: mend it") from None
            own, marks = found.ids.tolist(), (found.learnt * LEARNT).tolist()
            marks[0] |= BEGINS
            texts.append(text_of(document).encode())
        ids += own
        labels += marks
        ends.append(len(ids))
    # Documents alone are a stream like that of the held-out text, to be compared with it.
    known = None if chat is None else np.array(labels, np.uint8)
    return _Encoded(TokenShard(np.array(ids, np.uint32), labels=known), ends, texts)
