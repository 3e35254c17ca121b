"""Conversations as tokens with labels: which are learnt, and where a conversation begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from forge.data.chat_template import ChatEncoder
from forge.data.conversations import NoConversation, from_text
from forge.data.loading import BEGINS, LEARNT

Note = tuple[int, int, int] | tuple[str, str]
"""Of a document: its tokens, those of them that stand for its text (its answers), and the UTF-8 bytes of that; or why
it is set aside: reason and detail."""


def labelled(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type of a token of type `dtype` with its label."""
    return np.dtype([("id", dtype), ("label", "u1")])


def padding(count: int, pad_id: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return `count` > 0 padding tokens of type `dtype`, which `labelled` made: a piece by themselves."""
    filling = np.zeros(count, dtype)
    filling["id"] = pad_id
    filling["label"][0] = BEGINS
    return filling


def encode_conversations(
    encoder: ChatEncoder, texts: Sequence[str], dtype: np.dtype[Any], longest_tokens: int
) -> tuple[bytes, list[Note]]:
    """Return the labelled tokens of conversations one after the other, and a note of each.

    One longer than `longest_tokens` is set aside: cut, it would lose an answer, or what an answer refers to.
    """
    pieces: list[npt.NDArray[Any]] = [np.empty(0, dtype)]
    notes: list[Note] = []
    for text in texts:
        try:
            chat = encoder.encode(from_text(text))
        except NoConversation as error:
            notes.append((error.reason, error.detail))
            continue
        if len(chat.ids) > longest_tokens:
            detail = f"{len(chat.ids)} tokens, train.sequence_length is {longest_tokens}"
            notes.append(("longer than a sequence", detail))
            continue
        piece = np.empty(len(chat.ids), dtype)
        piece["id"] = chat.ids
        piece["label"] = chat.learnt * LEARNT
        piece["label"][0] |= BEGINS
        pieces.append(piece)
        notes.append((len(chat.ids), int(chat.learnt.sum()), chat.answer_bytes))
    return np.concatenate(pieces).tobytes(), notes
