"""What a chat template makes of a chat, and the same in Go's template language where it can be said there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import transformers

from forge.errors import StageError
from forge.export.expressible import read_chat_template

Chat = list[dict[str, str]]


def _chat(*turns: tuple[str, str]) -> Chat:
    return [{"role": role, "content": content} for role, content in turns]


CHATS = (
    _chat(("user", "hello")),
    _chat(("system", "Answer briefly."), ("user", "What does the licence grant?")),
    _chat(("user", "one"), ("assistant", "two"), ("user", "three")),
    _chat(
        ("system", "s"),
        ("user", "Łódź 日本 🙂"),
        ("assistant", "§ 7\n\n- a\n- b"),
        ("user", "{{ .Role }} {% if %}"),
    ),
    _chat(("user", "  spaces around \n"), ("assistant", " and here "), ("user", "<b> & \"quotes\" 'too'")),
)
"""Chats that ways of making a prompt are compared on."""


class JinjaTemplate:
    """The template of a tokenizer, as transformers renders it."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.bos: str = tokenizer.bos_token

    def render(self, messages: Chat, answer_follows: bool = True) -> str | None:
        """Return the prompt of a chat without BOS in front; None where the template refuses the chat."""
        try:
            prompt: str = self._tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=answer_follows
            )
        except jinja2.TemplateError:
            return None
        return prompt.removeprefix(self.bos)


def load_chat_template(tokenizer: Path) -> JinjaTemplate | None:
    """Return the chat template of the tokenizer in a folder, None where it has none."""
    config = json.loads((tokenizer / "tokenizer_config.json").read_text(encoding="utf-8"))
    if read_chat_template(config) is None:
        return None
    return JinjaTemplate(
        transformers.PreTrainedTokenizerFast.from_pretrained(tokenizer, local_files_only=True)
    )


@dataclass(frozen=True, slots=True)
class Frames:
    """A template that puts fixed text around each message, by role, and nothing else."""

    around: dict[str, tuple[str, str]]
    answer: str
    """Before the answer that is asked for."""

    def render(self, messages: Chat) -> str:
        """Return the prompt of a chat."""
        turns = (
            f"{self.around[turn['role']][0]}{turn['content']}{self.around[turn['role']][1]}"
            for turn in messages
        )
        return "".join([*turns, self.answer])

    def in_go(self) -> str:
        """Return the template in the language of Go's text/template, over `.Messages` as Ollama gives them."""
        branches = [
            f'if eq .Role "{role}" }}}}{before}{{{{ .Content }}}}{after}{{{{ '
            for role, (before, after) in self.around.items()
        ]
        return f"{{{{ range .Messages }}}}{{{{ {'else '.join(branches)}end }}}}{{{{ end }}}}{self.answer}"


def find_frames(template: JinjaTemplate) -> Frames:
    """Return the text that a template puts around messages.

    It is found by rendering chats and held against all of `CHATS`.

    Raises:
        StageError: the template does something else.
    """
    refusal = StageError(
        "export.formats: ollama: the tokenizer's chat template does more than put text around each message, "
        "which forge cannot say in Ollama's language: leave ollama out"
    )
    first, second, third = "\u2460", "\u2461", "\u2462"
    asked = template.render(_chat(("user", first)), answer_follows=False)
    answered = template.render(_chat(("user", first), ("assistant", second)), answer_follows=False)
    told = template.render(_chat(("system", third), ("user", first)), answer_follows=False)
    open_end = template.render(_chat(("user", first)))
    if None in (asked, answered, told, open_end):
        raise refusal
    user, answer = str(asked), str(open_end).removeprefix(str(asked))
    around = {
        "system": _around(str(told).removesuffix(user), third),
        "user": _around(user, first),
        "assistant": _around(str(answered).removeprefix(user), second),
    }
    found = {role: frame for role, frame in around.items() if frame is not None}
    frames = Frames(found, answer)
    texts = [answer, *(text for frame in found.values() for text in frame)]
    sayable = len(found) == len(around) and not any("{{" in text or '"""' in text for text in texts)
    if not sayable or any(frames.render(messages) != template.render(messages) for messages in CHATS):
        raise refusal
    return frames


def _around(text: str, content: str) -> tuple[str, str] | None:
    before, found, after = text.partition(content)
    return (before, after) if found and content not in after else None
