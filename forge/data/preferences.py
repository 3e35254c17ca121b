"""Preferences: two answers to one prompt, of which one is preferred; how records say them, and how a text holds them.

A document's text is the prompt, the preferred answer and the other one, each as `forge.data.conversations` writes
messages, with U+001D (the group separator of ASCII) between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from forge.data import conversations
from forge.data.conversations import ANSWERS, Message, NoConversation, messages_of

SEPARATOR = "\x1d"

MIME = "application/x-preference"

_SIDES = ("chosen", "rejected")


@dataclass(frozen=True, slots=True)
class Preference:
    """A prompt and what may follow it."""

    prompt: tuple[Message, ...]
    """What both answers have in common, to the last message."""
    chosen: tuple[Message, ...]
    """The preferred answer: messages of which the first is the assistant's."""
    rejected: tuple[Message, ...]


def from_record(fields: dict[str, Any]) -> Preference:
    """Return the preference of a record, taking its fields out of `fields`.

    It has `chosen` and `rejected`, each a text or a list of `{"role", "content"}`, and `prompt`, likewise; without
    `prompt` both are lists, and how they begin alike is the prompt. Lists may repeat the prompt before the answer.

    Raises:
        NoConversation: it has none that can be learnt from.
    """
    if missing := [name for name in _SIDES if fields.get(name) is None]:
        raise NoConversation("no preference", f"no `{missing[0]}`; fields: {', '.join(map(str, fields))}")
    said = {name: fields.pop(name) for name in _SIDES}
    given = fields.pop("prompt", None)
    if given is None and not all(isinstance(side, list) for side in said.values()):
        raise NoConversation(
            "no prompt", "no `prompt`, and `chosen` and `rejected` are not lists of messages"
        )
    prompt = [] if given is None else messages_of(given, "user", "prompt")
    chosen, rejected = (_answer(prompt, messages_of(side, ANSWERS, name)) for name, side in said.items())
    alike = _alike(chosen, rejected)
    if prompt and chosen and chosen[0].role != ANSWERS:  # a whole conversation, which says the prompt itself
        if chosen[:alike][-len(prompt) :] != prompt:
            raise NoConversation("two prompts", "`prompt` is not what `chosen` and `rejected` begin with")
        prompt = []
    prompt, chosen, rejected = prompt + chosen[:alike], chosen[alike:], rejected[alike:]
    if not prompt:
        raise NoConversation("no prompt", "`chosen` and `rejected` have no beginning in common")
    if not chosen and not rejected:
        raise NoConversation("same answer", "`chosen` and `rejected` are the same")
    if any(not side or side[0].role != ANSWERS for side in (chosen, rejected)):
        raise NoConversation(
            "no two answers", "`chosen` and `rejected` differ in more than the answers to a prompt"
        )
    return Preference(tuple(prompt), tuple(chosen), tuple(rejected))


def to_text(preference: Preference) -> str:
    """Return the text of a document that holds `preference`."""
    parts = (preference.prompt, preference.chosen, preference.rejected)
    return SEPARATOR.join(conversations.to_text(list(part)) for part in parts)


def from_text(text: str) -> Preference:
    """Return what `to_text` was given.

    Raises:
        NoConversation: the text is of another kind, or a step of curation broke it.
    """
    parts = text.split(SEPARATOR)
    if len(parts) != 3:
        raise NoConversation("broken preference", "its text is not a prompt and two answers any more")
    return Preference(*(tuple(conversations.from_text(part)) for part in parts))


def _answer(prompt: list[Message], messages: list[Message]) -> list[Message]:
    """Return `messages` without the prompt that they may begin with."""
    if any(SEPARATOR in message.content for message in (*prompt, *messages)):
        raise NoConversation("control character", "a message holds U+001D, which separates answers")
    return messages[len(prompt) :] if prompt and messages[: len(prompt)] == prompt else messages


def _alike(chosen: list[Message], rejected: list[Message]) -> int:
    """Return with how many equal messages both begin."""
    pairs = zip(chosen, rejected, strict=False)
    return next(
        (place for place, (one, other) in enumerate(pairs) if one != other), min(len(chosen), len(rejected))
    )
