"""A byte-level BPE tokenizer in the words of GGUF."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from gguf import TokenType
from tokenizers import Tokenizer

from forge.export.expressible import read_chat_template

TURN_END_NAMES = ("<|im_end|>", "<|eot_id|>")
"""Tokens that end a turn of a chat; a server stops at them as at the end of the text."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a GGUF file says of a tokenizer."""

    tokens: list[str]
    """By id; ids that no text gives have a name all the same."""
    types: list[TokenType]
    merges: list[str]
    special_ids: dict[str, int]
    """Of bos, eos, pad and, where a chat has one, eot."""
    adds_bos: bool
    chat_template: str | None


def read_vocabulary(tokenizer: Path, vocab_size: int) -> Vocabulary:
    """Return the vocabulary of the tokenizer in a folder, one entry for each of the model's `vocab_size` rows."""
    content = json.loads((tokenizer / "tokenizer.json").read_text(encoding="utf-8"))
    config = json.loads((tokenizer / "tokenizer_config.json").read_text(encoding="utf-8"))
    tokens = [f"[PAD{number}]" for number in range(vocab_size)]
    types = [TokenType.UNUSED] * vocab_size
    for text, number in content["model"]["vocab"].items():
        tokens[number], types[number] = text, TokenType.NORMAL
    for added in content["added_tokens"]:
        kind = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
        tokens[added["id"]], types[added["id"]] = added["content"], kind
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in content["model"]["merges"]]
    id_of = {added["content"]: added["id"] for added in content["added_tokens"]}
    special_ids = {role: id_of[config[f"{role}_token"]] for role in ("bos", "eos", "pad")}
    for name in TURN_END_NAMES:
        if name in id_of:
            special_ids.setdefault("eot", id_of[name])
    return Vocabulary(
        tokens=tokens,
        types=types,
        merges=merges,
        special_ids=special_ids,
        adds_bos=Tokenizer.from_file(str(tokenizer / "tokenizer.json")).encode("").ids
        == [special_ids["bos"]],
        chat_template=read_chat_template(config),
    )
