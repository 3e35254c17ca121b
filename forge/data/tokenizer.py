"""The tokenizer stage: a byte-level BPE learnt from the training split, in the form every server reads."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from forge.data.corpus_rows import corpus_rows, split_bytes
from forge.errors import StageError
from forge.progress import Progress

BOS = "<|bos|>"
EOS = "<|eos|>"
PAD = "<|pad|>"
BOS_ID = 0
EOS_ID = 1
PAD_ID = 2
SPECIAL_TOKENS = (BOS, EOS, PAD)

BYTE_TOKENS = 256
VOCAB_STEP = 256
"""Sizes suggested are multiples of it: matrix multiplications on GPUs want them."""

MIN_PAIR_COUNT = 2
"""A pair seen once would be a token for one place of one document."""

# The published split pattern of the Qwen2 tokenizer. Model servers know a pre-tokenizer by the hash of this very
# string, so not a character may change.
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PATTERNS = {"qwen2": QWEN2_PATTERN}


def train_tokenizer(
    corpus: Path, parameters: dict[str, Any], out: Path, progress: Progress
) -> dict[str, Any]:
    """Learn `vocab_size` tokens from the training documents of `corpus`; write tokenizer.json and its config to `out`.

    The held-out split is not looked at. The same corpus gives the same bytes, on any number of threads.

    Raises:
        StageError: the kind or pattern is unknown, or the corpus does not support so many tokens.
    """
    vocab_size = parameters["vocab_size"]
    least = BYTE_TOKENS + len(SPECIAL_TOKENS)
    if parameters["kind"] != "byte_level_bpe":
        raise StageError(f"tokenizer.kind: {parameters['kind']}: set byte_level_bpe")
    if parameters["pattern"] not in PATTERNS:
        raise StageError(f"tokenizer.pattern: {parameters['pattern']}: set one of {', '.join(PATTERNS)}")
    if vocab_size < least:
        raise StageError(f"tokenizer.vocab_size: {vocab_size} asked, {least} is the least: set it higher")

    # Set, so that a later fork of this process does not warn and fall back to one thread.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    tokenizer = _untrained(PATTERNS[parameters["pattern"]])
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=MIN_PAIR_COUNT,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    train_bytes = split_bytes(corpus, "train")
    progress.start(train_bytes, "bytes")
    tokenizer.train_from_iterator(_texts(corpus, progress), trainer)
    supported = tokenizer.get_vocab_size()
    if supported < vocab_size:
        raise StageError(_too_large(vocab_size, supported))
    # Byte-level BPE never fails on unseen text, so no unknown token. EOS is the tokens stage's to add.
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, BOS_ID)]
    )
    tokenizer.save(str(out / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "clean_up_tokenization_spaces": False,
    }
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return {
        "vocab_size": supported,
        "kind": parameters["kind"],
        "pattern": parameters["pattern"],
        "train_bytes": train_bytes,
    }


def load_for_documents(folder: Path) -> Tokenizer:
    """Load the tokenizer to encode documents: text that spells a special token stays text, nothing is added.

    Raises:
        StageError: there is no readable tokenizer.json, or its special tokens are not forge's.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StageError(f"{path}: cannot be read ({error.strerror}): train the tokenizer again") from None
    except Exception as error:  # tokenizers raises no narrower class than Exception
        raise StageError(f"{path}: not a tokenizer ({error}): train the tokenizer again") from None
    if [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] != [BOS_ID, EOS_ID, PAD_ID]:
        raise StageError(f"{path}: its special tokens are not forge's: train the tokenizer with forge")
    # The name misleads: True means "encode them as any other text".
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _untrained(pattern: str) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _texts(corpus: Path, progress: Progress) -> Iterator[str]:
    for row in corpus_rows(corpus, "train"):
        yield row.text
        progress.advance(row.bytes)
    progress.note("counting pairs and merging them")


def _too_large(asked: int, supported: int) -> str:
    fits = supported // VOCAB_STEP * VOCAB_STEP
    remedy = "give more documents"
    if fits >= BYTE_TOKENS + len(SPECIAL_TOKENS):
        remedy = f"set tokenizer.vocab_size={fits} or {remedy}"
    return f"tokenizer.vocab_size: {asked} asked, this corpus supports {supported}: {remedy}"
