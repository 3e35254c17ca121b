"""Conversations: how records say them, and how the text of a document holds one.

A document's text is U+001E (the record separator of ASCII), a role, a newline and what was said, message after
message: readable, and nothing in it is escaped, so the steps of curation see it as people wrote it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from forge.data.decode import encodable
from forge.data.formats.items import newlines

SEPARATOR = "\x1e"

ROLES = ("system", "user", "assistant")
ANSWERS = "assistant"

MIME = "application/x-conversation"


@dataclass(frozen=True, slots=True)
class Message:
    """What one side said."""

    role: str
    content: str


class NoConversation(Exception):
    """A record or a text is none. `reason` is a stable short code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def from_record(fields: dict[str, Any]) -> list[Message]:
    """Return the conversation of a record, taking its fields out of `fields`.

    It has `messages`, a list of `{"role", "content"}`, or `prompt` and `completion`, each a text or such a list.

    Raises:
        NoConversation: it has none that an answer can be learnt from.
    """
    messages = fields.pop("messages", None)
    if messages is None and "prompt" in fields and "completion" in fields:
        prompt, completion = fields.pop("prompt"), fields.pop("completion")
        messages = _side(prompt, "user") + _side(completion, ANSWERS)
    if messages is None:
        raise NoConversation("no messages", f"fields: {', '.join(map(str, fields))}")
    conversation = _messages(messages, "messages")
    if all(message.role != ANSWERS for message in conversation):
        raise NoConversation("no assistant answer", "no message has the role `assistant`")
    return conversation


def to_text(messages: list[Message]) -> str:
    """Return the text of a document that holds `messages`."""
    return "".join(f"{SEPARATOR}{message.role}\n{message.content}" for message in messages)


def from_text(text: str) -> list[Message]:
    """Return what `to_text` was given.

    Raises:
        NoConversation: the text is of another kind, or a step of curation broke it.
    """
    before, *parts = text.split(SEPARATOR)
    pairs = [part.partition("\n") for part in parts]
    if before or not pairs or any(role not in ROLES or not end for role, end, _ in pairs):
        raise NoConversation("broken conversation", "its text is not messages with roles any more")
    return [Message(role, content) for role, _, content in pairs]


def messages_of(value: Any, role: str, name: str) -> list[Message]:
    """Return the messages of field `name`: a list of them, or a text that `role` says.

    Raises:
        NoConversation: it is neither.
    """
    return _messages(_side(value, role), name)


def _side(value: Any, role: str) -> list[Any]:
    return value if isinstance(value, list) else [{"role": role, "content": value}]


def _messages(value: Any, name: str) -> list[Message]:
    if not isinstance(value, list) or not value:
        raise NoConversation("no messages", f"`{name}` is {_shown(value)}, not a list of messages")
    return [_message(place, message) for place, message in enumerate(value, start=1)]


def _message(place: int, message: Any) -> Message:
    if not isinstance(message, dict):
        raise NoConversation("no messages", f"message {place} is {_shown(message)}, not an object")
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise NoConversation(
            "unknown role", f"message {place} has role {role!r}, known are {', '.join(ROLES)}"
        )
    if not isinstance(content, str):
        raise NoConversation("no text", f"message {place} has {_shown(content)} as its content, not text")
    if SEPARATOR in content:
        raise NoConversation("control character", f"message {place} holds U+001E, which separates messages")
    if not content.strip():
        raise NoConversation("empty message", f"message {place}, of role {role}, is empty")
    return Message(role, newlines(encodable(content)))


def _shown(value: Any) -> str:
    return "null" if value is None else f"a {type(value).__name__}"
