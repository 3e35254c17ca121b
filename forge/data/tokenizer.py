"""The tokenizer stage: a byte-level BPE learnt from the training split, or the user's own, as every server reads it."""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from forge.data.chat_template import DEFAULT_TEMPLATE, ChatEncoder
from forge.data.conversations import NoConversation
from forge.data.corpus_rows import corpus_rows, split_bytes
from forge.data.encoding import load_tokenizer
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

COMPARED_BYTES = 2_000_000
"""Held-out text that bytes per token are measured on."""

SAMPLE = "sample.json"
"""What a tokenizer was learnt from, and how: one that would be learnt from the same is not learnt again."""

MIN_PAIR_COUNT = 2
"""A pair seen once would be a token for one place of one document."""

# The published split pattern of the Qwen2 tokenizer. Model servers know a pre-tokenizer by the hash of this very
# string, so not a character may change.
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PATTERNS = {"qwen2": QWEN2_PATTERN}


@dataclass(frozen=True, slots=True)
class Earlier:
    """What the tokenizers before this one know."""

    how: str
    """The code and the parameters that decide what is learnt from a sample."""
    tokenizers: tuple[Path, ...] = ()
    """Tokenizer artifacts."""


def train_tokenizer(
    corpus: Path,
    parameters: dict[str, Any],
    out: Path,
    progress: Progress,
    earlier: Earlier | None = None,
) -> dict[str, Any]:
    """Learn `vocab_size` tokens from the training documents of `corpus`; write tokenizer.json and its config to `out`.

    With `path` nothing is learnt: the tokenizer there is taken. Otherwise it is learnt from a sample of about
    `sample_bytes`, chosen by a hash of `seed` and document_id; the held-out split is not looked at. The same corpus
    gives the same bytes, on any number of threads. The summary says how many bytes a token has in the held-out split,
    and with the tokenizer in `reference` for comparison. With `chat` there is a chat template, its own or forge's.

    A tokenizer in `earlier` that was learnt from the very same sample in the same way is taken; None remembers nothing
    for the next one either.

    Raises:
        StageError: the kind or pattern is unknown, the corpus does not support so many tokens, or the tokenizer given
            is not what it has to be.
    """
    if parameters["path"] is not None:
        summary = _take_given(Path(parameters["path"]), parameters["vocab_size"], out)
    else:
        summary = _train(corpus, parameters, out, progress, earlier)
    if parameters["chat"]:
        _add_chat_template(out)
    summary["held_out_bytes_per_token"] = _bytes_per_token(corpus, load_tokenizer(out))
    if parameters["reference"] is not None:
        reference = load_tokenizer(Path(parameters["reference"]))
        summary["reference_held_out_bytes_per_token"] = _bytes_per_token(corpus, reference)
    return summary


def _train(
    corpus: Path, parameters: dict[str, Any], out: Path, progress: Progress, earlier: Earlier | None
) -> dict[str, Any]:
    vocab_size = parameters["vocab_size"]
    special_tokens = [*SPECIAL_TOKENS, *(parameters["special_tokens"] or [])]
    least = BYTE_TOKENS + len(special_tokens)
    if parameters["kind"] != "byte_level_bpe":
        raise StageError(f"tokenizer.kind: {parameters['kind']}: set byte_level_bpe")
    if parameters["pattern"] not in PATTERNS:
        raise StageError(f"tokenizer.pattern: {parameters['pattern']}: set one of {', '.join(PATTERNS)}")
    if len(set(special_tokens)) != len(special_tokens):
        raise StageError(
            f"tokenizer.special_tokens: {', '.join(special_tokens)} are not all different: drop some"
        )
    if vocab_size < least:
        raise StageError(f"tokenizer.vocab_size: {vocab_size} asked, {least} is the least: set it higher")

    # Set, so that a later fork of this process does not warn and fall back to one thread.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    tokenizer = _untrained(PATTERNS[parameters["pattern"]])
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=MIN_PAIR_COUNT,
        special_tokens=special_tokens,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    train_bytes = split_bytes(corpus, "train")
    sample = _Sample(corpus, train_bytes, parameters["sample_bytes"], parameters["seed"], progress)
    learnt = None if earlier is None else _learnt(earlier, sample, progress)
    if learnt is not None:
        tokenizer = learnt
        progress.note("the sample is that of an earlier tokenizer: not learnt again")
    else:
        progress.start(train_bytes, "bytes")
        tokenizer.train_from_iterator(_then_told(sample.texts(), progress), trainer)
    supported = tokenizer.get_vocab_size()
    if supported < vocab_size:
        raise StageError(_too_large(vocab_size, supported, least))
    # Byte-level BPE never fails on unseen text, so no unknown token. EOS is the tokens stage's to add.
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, BOS_ID)]
    )
    tokenizer.save(str(out / "tokenizer.json"))
    if earlier is not None:
        told = {"how": earlier.how, "sample": sample.sha256, "tokenizer": _sha256(out)}
        (out / SAMPLE).write_text(json.dumps(told) + "\n", encoding="utf-8")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "clean_up_tokenization_spaces": False,
    }
    if parameters["special_tokens"]:
        config["additional_special_tokens"] = parameters["special_tokens"]
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return {
        "vocab_size": supported,
        "kind": parameters["kind"],
        "pattern": parameters["pattern"],
        "train_bytes": train_bytes,
        "sample_bytes": sample.bytes,
        "sample_documents": sample.documents,
    }


def _learnt(earlier: Earlier, sample: _Sample, progress: Progress) -> Tokenizer | None:
    """Return what an earlier tokenizer learnt from the very same sample; None where there is none."""
    same: dict[str, Path] = {}
    for folder in earlier.tokenizers:
        try:
            told = json.loads((folder / SAMPLE).read_text(encoding="utf-8"))
            if told["how"] == earlier.how and told["tokenizer"] == _sha256(folder):
                same[told["sample"]] = folder
        except (OSError, ValueError, KeyError, TypeError):
            continue
    if not same:
        return None
    progress.start(sample.train_bytes, "bytes")
    deque(sample.texts(), maxlen=0)
    return load_tokenizer(same[sample.sha256]) if sample.sha256 in same else None


def _then_told(texts: Iterator[str], progress: Progress) -> Iterator[str]:
    yield from texts
    progress.note("counting pairs and merging them")


def _sha256(folder: Path) -> str:
    return hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest()


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


class _Sample:
    """Documents chosen by a hash of the seed and their id, about `wanted_bytes` of them."""

    def __init__(
        self, corpus: Path, train_bytes: int, wanted_bytes: int, seed: int, progress: Progress
    ) -> None:
        self._corpus, self._seed, self._progress = corpus, seed, progress
        self.train_bytes = train_bytes
        self._limit = min(1.0, wanted_bytes / max(1, train_bytes)) * 2**64
        self.bytes = self.documents = 0
        self.sha256 = ""
        """Of all texts chosen, known when they were gone through."""

    def texts(self) -> Iterator[str]:
        """Yield the texts chosen, in the order of the corpus."""
        self.bytes = self.documents = 0
        digest = hashlib.sha256()
        for row in corpus_rows(self._corpus, "train"):
            name = f"{self._seed}\0{row.document_id}".encode()
            if int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big") < self._limit:
                self.bytes += row.bytes
                self.documents += 1
                digest.update(f"{row.bytes}\0{row.text}".encode())
                yield row.text
            self._progress.advance(row.bytes)
        self.sha256 = digest.hexdigest()


def check_given(path: str | None) -> None:
    """Refuse what is given as a tokenizer, where anything is, and is none.

    Raises:
        StageError: the folder does not have the files of one.
    """
    for name in ("tokenizer.json", "tokenizer_config.json") if path is not None else ():
        if not (Path(str(path)) / name).is_file():
            raise StageError(
                f"tokenizer.path: {path}: has no {name}: name the folder of a tokenizer, which has both files"
            )


def _take_given(folder: Path, vocab_size: int, out: Path) -> dict[str, Any]:
    """Copy the tokenizer in `folder`, with BOS put before a text as forge's own does."""
    check_given(str(folder))
    tokenizer = load_tokenizer(folder)
    found = tokenizer.get_vocab_size()
    if found != vocab_size:
        raise StageError(
            f"tokenizer.vocab_size: {vocab_size} asked, {folder} has {found}: set tokenizer.vocab_size={found}"
        )
    try:
        given = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        names = {role: _token_name(given.get(f"{role}_token")) for role in ("bos", "eos", "pad")}
    except (OSError, ValueError, AttributeError) as error:
        raise StageError(f"{folder}: tokenizer_config.json cannot be read ({error}): put it there") from None
    names["bos"] = names["bos"] or names["eos"]
    for role, name in names.items():
        if name is None or tokenizer.token_to_id(name) is None:
            raise StageError(
                f"{folder}: no {role}_token: name one of the vocabulary in tokenizer_config.json"
            )
    if names["pad"] in (names["bos"], names["eos"]):
        raise StageError(
            f"{folder}: pad_token {names['pad']} is also the eos_token or bos_token: name another one"
        )
    bos = str(names["bos"])
    tokenizer.encode_special_tokens = False
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, tokenizer.token_to_id(bos))]
    )
    tokenizer.save(str(out / "tokenizer.json"))
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"} | {
        f"{role}_token": name for role, name in names.items()
    }
    template = folder / "chat_template.jinja"  # where newer writers put it
    if not given.get("chat_template") and template.is_file():
        given["chat_template"] = template.read_text(encoding="utf-8")
    config |= {key: given[key] for key in ("additional_special_tokens", "chat_template") if given.get(key)}
    config["clean_up_tokenization_spaces"] = False
    (out / "tokenizer_config.json").write_text(
        json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return {"vocab_size": found, "kind": "given", "path": str(folder)}


def _add_chat_template(folder: Path) -> None:
    """Give a tokenizer that has no chat template the one of forge; make what ends an answer its EOS.

    Tokenizers of base models come with templates whose turns end with another token, where servers would not stop.

    Raises:
        StageError: the template cannot say a question and its answer.
    """
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config.setdefault("chat_template", DEFAULT_TEMPLATE)
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    try:
        config["eos_token"] = ChatEncoder(folder).answer_end()
    except NoConversation as error:
        raise StageError(
            f"tokenizer: chat_template: cannot say a question and its answer ({error}): mend it in tokenizer.path, or "
            "remove it there to have forge's own"
        ) from None
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _token_name(value: Any) -> str | None:
    """Return the text of a special token; older files wrap it in an object."""
    return value.get("content") if isinstance(value, dict) else value


def _bytes_per_token(corpus: Path, tokenizer: Tokenizer) -> float:
    """Return UTF-8 bytes a token over the head of the held-out split."""
    read_bytes = tokens = 0
    for row in corpus_rows(corpus, "held_out"):
        tokens += len(tokenizer.encode(row.text, add_special_tokens=False).ids)
        read_bytes += row.bytes
        if read_bytes >= COMPARED_BYTES:
            break
    return read_bytes / max(1, tokens)


def _too_large(asked: int, supported: int, least: int) -> str:
    fits = supported // VOCAB_STEP * VOCAB_STEP
    remedy = "give more documents"
    if fits >= least:
        remedy = f"set tokenizer.vocab_size={fits} or {remedy}"
    return f"tokenizer.vocab_size: {asked} asked, this corpus supports {supported}: {remedy}"
