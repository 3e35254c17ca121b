"""The text behind the measured tokens: what a byte-level rival is given to compress."""

from __future__ import annotations

from pathlib import Path

from forge.data import conversations, preferences
from forge.data.conversations import ANSWERS
from forge.data.corpus_rows import corpus_rows
from forge.errors import StageError
from forge.evaluate.held_out import HeldOut
from forge.plan.types import Task


def predicted_text(text: str, task: Task) -> str:
    """Return what a model is to predict of a document of the corpus.

    That is its text, or the answers of a conversation, or of a preference those that are preferred.
    """
    if task == "pretrain":
        return text
    messages = conversations.from_text(text) if task == "sft" else preferences.from_text(text).chosen
    return "".join(message.content for message in messages if message.role == ANSWERS)


def held_out_text(corpus: Path, held_out: HeldOut, task: Task) -> bytes:
    """Return what is predicted of the measured documents, as UTF-8, in stream order, nothing between them.

    Raises:
        StageError: the corpus lacks one of them, or their bytes are not those the tokens were made from.
    """
    remedy = "evaluate with the corpus the tokens were made from"
    wanted = set(held_out.document_ids)
    rows = (row for row in corpus_rows(corpus, "held_out") if row.document_id in wanted)
    texts = {row.document_id: predicted_text(row.text, task).encode() for row in rows}
    if absent := wanted - set(texts):
        raise StageError(f"evaluate: {corpus}: lacks document {min(absent)} of the tokens: {remedy}")
    text = b"".join(texts[identifier] for identifier in held_out.document_ids)
    if len(text) != held_out.bytes:
        raise StageError(
            f"evaluate: {corpus}: its held-out text has {len(text)} bytes, "
            f"the tokens stand for {held_out.bytes}: {remedy}"
        )
    return text
