"""From text to token ids, at the speed of tiktoken: four times that of `tokenizers`, with the same ids.

A byte-level BPE whose merges are in the order of their ids is a table of ranks, which is all tiktoken needs. Where the
two could differ (another structure, a run of white space that tiktoken's pattern matcher cannot hold) `tokenizers`
does the work. tests/data/test_encoding.py holds them against each other.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tiktoken
from tokenizers import Tokenizer

from forge.errors import StageError

LONG_SPACE_CHARACTERS = 20_000
LONG_SPACE = re.compile(rf"\s{{{LONG_SPACE_CHARACTERS}}}")
"""tiktoken 0.14 panics at a run of white space somewhere above 100,000 characters."""


@dataclass(frozen=True, slots=True)
class SpecialIds:
    """Ids of the tokens around a document."""

    bos: int
    eos: int
    pad: int


class Encoder:
    """Encodes documents: text that spells a special token stays text, nothing is added."""

    def __init__(self, folder: Path, special: SpecialIds | None = None) -> None:
        """Load the tokenizer of an artifact; where `special` is known already, not before it is needed.

        Raises:
            StageError: tokenizer.json or tokenizer_config.json cannot be read, or the latter names no special tokens.
        """
        self._folder = folder
        self.special = special or special_ids(folder, self._tokenizer)

    @property
    def vocab_size(self) -> int:
        """Tokens there are, special ones included."""
        size: int = self._tokenizer.get_vocab_size()
        return size

    @functools.cached_property
    def _tokenizer(self) -> Tokenizer:
        return load_tokenizer(self._folder)

    @functools.cached_property
    def _quick(self) -> tiktoken.Encoding | None:
        """Made when the first text is encoded: whoever asks for numbers alone need not wait for it."""
        return _as_tiktoken(json.loads((self._folder / "tokenizer.json").read_text(encoding="utf-8")))

    def encode(self, texts: Sequence[str]) -> list[npt.NDArray[np.uint32]]:
        """Return the ids of each text."""
        return [self._encode(text) for text in texts]

    def _encode(self, text: str) -> npt.NDArray[np.uint32]:
        if self._quick is None or (len(text) >= LONG_SPACE_CHARACTERS and LONG_SPACE.search(text)):
            return np.array(self._tokenizer.encode(text, add_special_tokens=False).ids, np.uint32)
        # An array takes numbers out of a list in half the time that NumPy does.
        return np.frombuffer(array("I", self._quick.encode_ordinary(text)), np.uint32)


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load tokenizer.json to encode documents: special tokens spelt out are text, nothing is cut or filled up.

    Raises:
        StageError: there is no readable tokenizer.json.
    """
    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StageError(f"{path}: cannot be read ({error.strerror}): train the tokenizer again") from None
    except Exception as error:  # tokenizers raises no narrower class than Exception
        raise StageError(f"{path}: not a tokenizer ({error}): train the tokenizer again") from None
    # The name misleads: True means "encode them as any other text".
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def special_ids(folder: Path, tokenizer: Tokenizer) -> SpecialIds:
    """Return the ids of the tokens that tokenizer_config.json names. Raises StageError where one is not there."""
    path = folder / "tokenizer_config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        ids = [tokenizer.token_to_id(config[f"{role}_token"]) for role in ("bos", "eos", "pad")]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StageError(f"{path}: names no special tokens ({error}): train the tokenizer again") from None
    found = [one for one in ids if one is not None]
    if len(found) != len(ids):
        raise StageError(f"{path}: names special tokens that tokenizer.json lacks: train the tokenizer again")
    return SpecialIds(*found)


def _as_tiktoken(content: dict[str, Any]) -> tiktoken.Encoding | None:
    """Return the same tokenizer for tiktoken, or None where it is not plainly a table of ranks."""
    model = content["model"]
    parts = (content.get("pre_tokenizer") or {}).get("pretokenizers") or []
    plain = (
        model["type"] == "BPE"
        and content.get("normalizer") is None
        and [part["type"] for part in parts] == ["Split", "ByteLevel"]
        and parts[0]["behavior"] == "Isolated"
        and not parts[0]["invert"]
        and not (parts[1]["use_regex"] or parts[1]["add_prefix_space"])
        and not (model.get("byte_fallback") or model.get("dropout") or model.get("ignore_merges"))
    )
    if not plain:
        return None
    byte_of = {character: byte for byte, character in byte_characters().items()}
    merges = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    merged = [model["vocab"]["".join(pair)] for pair in merges]
    if merged != sorted(merged) or len(set(merged)) != len(merged):
        return None
    singles = [token for token in byte_of if token in model["vocab"]]
    if len(singles) != 256 or (merged and max(model["vocab"][token] for token in singles) > merged[0]):
        return None
    to_bytes = str.maketrans({character: chr(byte) for character, byte in byte_of.items()})
    ranks = {
        token.translate(to_bytes).encode("latin-1"): rank
        for token, rank in itertools.chain(
            ((one, model["vocab"][one]) for one in singles), zip(map("".join, merges), merged, strict=True)
        )
    }
    return tiktoken.Encoding(
        "forge", pat_str=parts[0]["pattern"]["Regex"], mergeable_ranks=ranks, special_tokens={}
    )


def byte_characters() -> dict[int, str]:
    """Return the character that byte-level BPE writes for each byte (GPT-2's table): printable ones as they are."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {
        byte: chr(256 + place) for place, byte in enumerate(others)
    }
