"""A chat as a prompt: the same text from the tokenizer's own template and from llama.cpp's reading of it."""

from __future__ import annotations

from pathlib import Path

from forge.export.chat_template import CHATS, load_chat_template
from forge.export.llama_server import LlamaServer
from forge.export.mismatch import Mismatch


def compare_chats(tokenizer: Path, server: LlamaServer) -> int:
    """Return how many chats become the same prompt; 0 where the tokenizer has no template.

    BOS in front is left out: who feeds the prompt to the model adds it, or not, by itself.

    Raises:
        Mismatch: some prompt differs.
    """
    template = load_chat_template(tokenizer)
    if template is None:
        return 0
    compared = 0
    for messages in CHATS:
        wanted = template.render(messages)
        if wanted is None:  # a template may know no system message
            continue
        found = server.apply_template(messages).removeprefix(template.bos)
        if found != wanted:
            raise Mismatch(f"llama.cpp: a chat becomes {found[:60]!a}, by the template {wanted[:60]!a}")
        compared += 1
    return compared
