"""Two tokenizers: the same ids for any text, and the text back from the ids."""

from __future__ import annotations

import json
import random
import unicodedata
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, normalizers

from forge.export.hard_strings import HARD_STRINGS, random_strings
from forge.export.mismatch import Mismatch

SEED = 20_251
VOCABULARY_STRINGS = 4_000


def compare_tokenizers(trained: Tokenizer, exported: Any) -> int:
    """Return how many strings gave the same ids, with and without special tokens, and came back from them unchanged.

    The strings: the hard ones, random Unicode, and the text of tokens themselves so that merges are used
    (all tokens, or a seeded sample of `VOCABULARY_STRINGS`). They are in NFC where the exported tokenizer brings text
    into NFC: transformers 5 does so for Qwen2, whatever its tokenizer.json says. What forge trains on is in NFC.

    Args:
        trained: the tokenizer as it was trained.
        exported: what AutoTokenizer made of the exported folder.

    Raises:
        Mismatch: some ids or a text differ.
    """
    strings = [*HARD_STRINGS, *random_strings(SEED), *vocabulary_strings(trained)]
    if isinstance(exported.backend_tokenizer.normalizer, normalizers.NFC):
        strings = [unicodedata.normalize("NFC", text) for text in strings]
    for special in (True, False):
        wanted = [encoding.ids for encoding in trained.encode_batch(strings, add_special_tokens=special)]
        found = exported(strings, add_special_tokens=special)["input_ids"]
        for text, left, right in zip(strings, wanted, found, strict=True):
            if left != right:
                place = next(
                    (i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), "the end"
                )
                raise Mismatch(
                    f"tokenizer: ids of {text[:40]!a} differ at {place}: {right[:8]}, trained {left[:8]}"
                )
    for text, ids in zip(strings, found, strict=True):
        # A given tokenizer that rewrites text gives back another, and the exported one the same as it.
        wanted_text = text if trained.normalizer is None else trained.decode(ids, skip_special_tokens=False)
        if exported.decode(ids) != wanted_text:
            raise Mismatch(f"tokenizer: {text[:40]!a} comes back as {exported.decode(ids)[:40]!a}")
    return len(strings)


def compare_tokenizer_files(trained: Path, exported: Path) -> None:
    """Check that two tokenizer.json say the same: a rare merge may be in no string that was tried.

    Raises:
        Mismatch: names the first part that differs.
    """
    left = json.loads(trained.read_text(encoding="utf-8"))
    right = json.loads(exported.read_text(encoding="utf-8"))
    for part in sorted(set(left) | set(right)):
        if left.get(part) != right.get(part):
            raise Mismatch(f"tokenizer: {exported.name}: {part!r} is not what was trained")


def vocabulary_strings(tokenizer: Tokenizer) -> list[str]:
    """Return the text of all tokens, or of a seeded sample of `VOCABULARY_STRINGS`."""
    ids = sorted(tokenizer.get_vocab(with_added_tokens=False).values())
    if len(ids) > VOCABULARY_STRINGS:
        ids = random.Random(SEED).sample(ids, VOCABULARY_STRINGS)
    return [tokenizer.decode([identifier], skip_special_tokens=False) for identifier in ids]
