"""Conversations as token ids, by the template that servers render them with, and which of the tokens are answers.

Templates are those of transformers: Jinja, in a sandbox, with what `apply_chat_template` gives them. What people wrote
is encoded as text whatever it spells; only the template's own words can be special tokens.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import jinja2
import numpy as np
import numpy.typing as npt
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from forge.data.conversations import ANSWERS, Message, NoConversation
from forge.data.encoding import Encoder, load_tokenizer
from forge.errors import StageError

DEFAULT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] + '\\n' + message['content'] + eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'assistant\\n' }}{% endif %}"
)
"""For a tokenizer that has none: a turn ends with EOS, and a role follows BOS or EOS, which no text can spell."""

_PLACE = "\ue000{}\ue001"
_PLACES = re.compile("\ue000(\\d+)\ue001")
"""Stand for contents while the template is rendered: from Unicode's private use area."""


@dataclass(frozen=True, slots=True)
class EncodedChat:
    """A conversation in tokens."""

    ids: npt.NDArray[np.uint32]
    learnt: npt.NDArray[np.bool_]
    """Which of them are of an answer, or end one."""
    answer_bytes: int
    """UTF-8 bytes of the answers."""


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    is_content: bool
    is_answer: bool


class ChatEncoder:
    """Encodes conversations with the tokenizer and the chat template of an artifact."""

    def __init__(self, folder: Path) -> None:
        """Load both.

        Raises:
            StageError: they cannot be read, there are several templates, or it is no Jinja.
        """
        self.encoder = Encoder(folder)
        tokenizer = load_tokenizer(folder)
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        self._names = {f"{role}_token": config[f"{role}_token"] for role in ("bos", "eos", "pad")}
        self._ids = {token.content: number for number, token in tokenizer.get_added_tokens_decoder().items()}
        self._ids |= {name: tokenizer.token_to_id(name) for name in self._names.values()}
        longest_first = sorted(self._ids, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, longest_first)))
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _refuse
        template = config.get("chat_template") or DEFAULT_TEMPLATE
        if not isinstance(template, str):
            raise StageError(
                f"{folder}: tokenizer_config.json has several chat templates: leave one, as plain text"
            )
        try:
            self._template = environment.from_string(template)
        except jinja2.TemplateError as error:
            raise StageError(f"{folder}: chat_template is not a template ({error}): mend it") from None

    def encode(self, messages: list[Message], first: int = 0) -> EncodedChat:
        """Return a conversation in tokens, of which the answers from message `first` on are learnt.

        An answer is what the template makes of an assistant's message after what it opens one with, up to the first
        special token after it, which the model has to write to end its turn.

        Raises:
            NoConversation: the template refuses it, or rewrites what was said, or names no end of an answer.
        """
        ids, learnt = self._encoded(self._pieces(messages, first))
        if not learnt.any():
            raise NoConversation("no assistant answer", "the chat template leaves its answers out")
        said = sum(len(message.content.encode()) for message in messages[first:] if message.role == ANSWERS)
        return EncodedChat(ids, learnt, said)

    def answer_end(self) -> str:
        """Return the special token that ends an answer.

        Raises:
            NoConversation: the template cannot say a question and its answer.
        """
        chat = self.encode([Message("user", "question"), Message(ANSWERS, "answer")])
        last = int(chat.ids[chat.learnt][-1])
        return next(name for name, number in self._ids.items() if number == last)

    def opening(self, messages: list[Message]) -> list[int]:
        """Return what a model is given to answer `messages`.

        Raises:
            NoConversation: the template refuses them.
        """
        contents = [message.content for message in messages]
        rendered = self._render(_marked(messages), opens_answer=True)
        if _filled(rendered, contents) != self._render(messages, opens_answer=True):
            contents = [content.strip() for content in contents]
        found: list[int] = self._encoded(_cut(rendered, contents, []))[0].tolist()
        return found

    def _encoded(self, pieces: list[_Piece]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.bool_]]:
        """Return the ids of pieces, and which of them are of an answer."""
        ids: list[npt.NDArray[np.uint32]] = []
        learnt: list[npt.NDArray[np.bool_]] = []

        def add(some: npt.NDArray[np.uint32], is_answer: bool) -> None:
            ids.append(some)
            learnt.append(np.full(len(some), is_answer))

        text, is_answer = "", False
        for piece in pieces:
            if piece.is_answer != is_answer:
                add(self._text(text), is_answer)
                text, is_answer = "", piece.is_answer
            if piece.is_content:
                text += piece.text
                continue
            last = 0
            for found in self._special.finditer(piece.text):
                add(self._text(text + piece.text[last : found.start()]), is_answer)
                add(np.array([self._ids[found[0]]], np.uint32), is_answer)
                text, last = "", found.end()
            text += piece.text[last:]
        add(self._text(text), is_answer)
        return np.concatenate(ids), np.concatenate(learnt)

    def _text(self, text: str) -> npt.NDArray[np.uint32]:
        return self.encoder.encode([text])[0] if text else np.empty(0, np.uint32)

    def _pieces(self, messages: list[Message], first: int) -> list[_Piece]:
        """Return the rendered conversation in pieces of the template and of what was said, from `first` on learnt."""
        marked = _marked(messages)
        rendered = self._render(marked)
        plain = self._render(messages)
        contents = [message.content for message in messages]
        if _filled(rendered, contents) != plain:
            contents = [content.strip() for content in contents]
            if _filled(rendered, contents) != plain:
                raise NoConversation("rewritten by the template", "the chat template changes what was said")
        answers = [self._answer(marked, place, rendered) for place in _answer_places(messages, first)]
        return _cut(rendered, contents, answers)

    def _answer(self, marked: list[Message], place: int, rendered: str) -> tuple[int, int]:
        """Return where the answer in message `place` begins and ends in `rendered`."""
        mark = marked[place].content
        at = rendered.find(mark)
        if at < 0:
            raise NoConversation("rewritten by the template", "the chat template leaves an answer out")
        opened = self._render(marked[:place], opens_answer=True) if place else ""
        begin = len(opened) if opened and rendered.startswith(opened) and len(opened) <= at else at
        after = at + len(mark)
        following = rendered.find("\ue000", after)
        end = self._special.search(rendered, after, len(rendered) if following < 0 else following)
        if end is None:
            raise NoConversation("no end of answer", "the chat template ends an answer with no special token")
        return begin, end.end()

    def _render(self, messages: list[Message], opens_answer: bool = False) -> str:
        said = [{"role": message.role, "content": message.content} for message in messages]
        try:
            return self._template.render(
                messages=said, tools=None, documents=None, add_generation_prompt=opens_answer, **self._names
            )
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            raise NoConversation("refused by the template", str(error)) from None


def _marked(messages: list[Message]) -> list[Message]:
    """Return the messages with a mark in place of each content."""
    return [Message(message.role, _PLACE.format(place)) for place, message in enumerate(messages)]


def _cut(rendered: str, contents: list[str], answers: list[tuple[int, int]]) -> list[_Piece]:
    """Return the pieces of a rendered conversation, marks replaced by contents; `answers` are ranges of it."""
    cuts = sorted({0, len(rendered), *(end for span in answers for end in span)})
    pieces: list[_Piece] = []
    for first, end in itertools.pairwise(cuts):
        is_answer = any(begin <= first < stop for begin, stop in answers)
        last = first
        for found in _PLACES.finditer(rendered, first, end):
            pieces.append(_Piece(rendered[last : found.start()], False, is_answer))
            pieces.append(_Piece(contents[int(found[1])], True, is_answer))
            last = found.end()
        pieces.append(_Piece(rendered[last:end], False, is_answer))
    return [piece for piece in pieces if piece.text]


def _answer_places(messages: list[Message], first: int) -> list[int]:
    return [place for place, message in enumerate(messages) if message.role == ANSWERS and place >= first]


def _filled(rendered: str, contents: list[str]) -> str:
    return _PLACES.sub(lambda found: contents[int(found[1])], rendered)


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _to_json(value: Any, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=False, **options)
