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


def message_texts(text: str, task: Task) -> list[str]:
    """Return the texts in a document of the corpus: itself, or the messages of a conversation or of both of a pair."""
    if task == "pretrain":
        return [text]
    if task == "sft":
        return [message.content for message in conversations.from_text(text)]
    pair = preferences.from_text(text)
    return [message.content for message in (*pair.prompt, *pair.chosen, *pair.rejected)]


def held_out_sources(corpus: Path) -> dict[str, str]:
    """Return the source of each held-out document of a corpus."""
    return {row.document_id: row.source for row in corpus_rows(corpus, "held_out")}


def held_out_texts(corpus: Path, held_out: HeldOut, task: Task) -> list[str]:
    """Return what is predicted of each measured document, in stream order.

    Raises:
        StageError: the corpus lacks one of them, or their bytes are not those the tokens were made from.
    """
    remedy = "evaluate with the corpus the tokens were made from"
    wanted = set(held_out.document_ids)
    rows = (row for row in corpus_rows(corpus, "held_out") if row.document_id in wanted)
    by_id = {row.document_id: predicted_text(row.text, task) for row in rows}
    if absent := wanted - set(by_id):
        raise StageError(f"evaluate: {corpus}: lacks document {min(absent)} of the tokens: {remedy}")
    texts = [by_id[identifier] for identifier in held_out.document_ids]
    size_bytes = sum(len(text.encode()) for text in texts)
    if size_bytes != held_out.bytes:
        raise StageError(
            f"evaluate: {corpus}: its held-out text has {size_bytes} bytes, "
            f"the tokens stand for {held_out.bytes}: {remedy}"
        )
    return texts
