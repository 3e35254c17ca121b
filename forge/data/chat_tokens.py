"""Conversations and preferences as tokens with labels: which are learnt, and where a conversation begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from forge.data import conversations, preferences
from forge.data.conversations import NoConversation
from forge.data.loading import BEGINS, LEARNT, PREFERRED, REJECTED

if TYPE_CHECKING:
    from forge.data.chat_template import ChatEncoder, EncodedChat

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

    def encode(text: str) -> tuple[npt.NDArray[Any], Note]:
        chat = encoder.encode(conversations.from_text(text))
        return _piece(chat, LEARNT, BEGINS, dtype), _note(chat)

    return _encoded(texts, encode, dtype, longest_tokens)


def encode_preferences(
    encoder: ChatEncoder, texts: Sequence[str], dtype: np.dtype[Any], longest_tokens: int
) -> tuple[bytes, list[Note]]:
    """Return the labelled tokens of preferences one after the other, and a note of each.

    A preference is two conversations, the preferred one first: the prompt and an answer, each as the template renders
    it. What is noted is of the preferred answer. One whose two conversations have together more than `longest_tokens`
    is set aside.
    """

    def encode(text: str) -> tuple[npt.NDArray[Any], Note]:
        pair = preferences.from_text(text)
        first = len(pair.prompt)
        chosen = encoder.encode([*pair.prompt, *pair.chosen], first)
        rejected = encoder.encode([*pair.prompt, *pair.rejected], first)
        both = (
            _piece(chosen, LEARNT, BEGINS | PREFERRED, dtype),
            _piece(rejected, REJECTED, BEGINS, dtype),
        )
        tokens, learnt, size = _note(chosen)
        return np.concatenate(both), (tokens + len(rejected.ids), learnt, size)

    return _encoded(texts, encode, dtype, longest_tokens)


def _encoded(
    texts: Sequence[str],
    encode: Callable[[str], tuple[npt.NDArray[Any], Note]],
    dtype: np.dtype[Any],
    longest_tokens: int,
) -> tuple[bytes, list[Note]]:
    pieces: list[npt.NDArray[Any]] = [np.empty(0, dtype)]
    notes: list[Note] = []
    for text in texts:
        try:
            piece, note = encode(text)
        except NoConversation as error:
            notes.append((error.reason, error.detail))
            continue
        if len(piece) > longest_tokens:
            detail = f"{len(piece)} tokens, train.sequence_length is {longest_tokens}"
            notes.append(("longer than a sequence", detail))
            continue
        pieces.append(piece)
        notes.append(note)
    return np.concatenate(pieces).tobytes(), notes


def _piece(chat: EncodedChat, answer: int, begins: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    piece = np.empty(len(chat.ids), dtype)
    piece["id"] = chat.ids
    piece["label"] = chat.learnt * np.uint8(answer)
    piece["label"][0] |= begins
    return piece


def _note(chat: EncodedChat) -> tuple[int, int, int]:
    return len(chat.ids), int(chat.learnt.sum()), chat.answer_bytes
