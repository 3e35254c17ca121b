"""The proof that GGUF files are the trained model, run in a process that has seen nothing of the export.

    python -m forge.export.verify_gguf --train DIR --tokenizer DIR --tokens DIR --f32 FILE --gguf DIR --report FILE

The f32 file, published or not, is held against the trained weights: ids of text, every value, the probabilities that
llama.cpp computes, the prompt it makes of a chat. Each other file is held against both.

Exit status 0: proven, the report holds the figures. 1: it holds `mismatch`, one line.
"""

from __future__ import annotations

import hashlib
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from forge.export.checksums import read_checksums
from forge.export.compare_chats import compare_chats
from forge.export.compare_gguf import OpenFile, compare_gguf_fields, compare_gguf_tensors
from forge.export.compare_tokenizers import vocabulary_strings
from forge.export.gguf_types import K_TYPES, gguf_name
from forge.export.hard_strings import HARD_STRINGS, random_strings
from forge.export.held_out_sequences import held_out_sequences
from forge.export.llama_server import LIKELY_TOKENS, PACKAGE, LlamaServer
from forge.export.mismatch import Mismatch
from forge.export.probe_sequences import SEQUENCE_LIMIT_TOKENS, probe_sequences
from forge.export.proof import main_of
from forge.export.reference import checkpoint_tensors, reference_model
from forge.quiet import quiet_transformers

SEED = 20_253
RANDOM_STRINGS = 3_000

LOGIT_BOUND = 1e-3
"""Most that a log-probability of the f32 file may be off. Tiny models are off by 1e-5, the sum being in another order;
rows of q and k in a wrong order by more than 1. A log-probability is a logit up to a number that is the same for all
tokens of a place, which no reader of logits depends on."""

UNDERFLOW = -80.0
"""Below this llama.cpp's fp32 probability loses digits (its logarithm is what the server gives)."""

NLL_BOUND_NATS = 0.05
"""Most that rounding may change the mean loss on held-out text. q8_0 changed a trained model's by 3e-5, bf16 less."""

K_NLL_BOUND_NATS = 0.25
"""The same of K types. Of models of billions of parameters q4_k_m takes 0.03, of small ones more; a file that is wrong
is off by whole nats."""

COMPARED_LOG_PROBABILITIES = 200_000
"""Of the f32 file, in all: the server needs 10 microseconds to write down each. At as many places as that is enough for
all tokens are compared, and at one at least."""

GREEDY_PROMPTS = 4
"""Held-out documents whose first half is continued."""


def verify_gguf(train: Path, tokenizer: Path, tokens: Path, f32: Path, folder: Path) -> dict[str, Any]:
    """Compare the GGUF files of `folder`, and the f32 file, with what was trained; return the figures.

    Raises:
        Mismatch: the first thing that differs.
    """
    quiet_transformers()
    config = json.loads((train / "config.json").read_text(encoding="utf-8"))
    for path in sorted({f32, *folder.glob("*.gguf")}):
        _check_bytes(path)
    tensors = checkpoint_tensors(train)
    # The server wants room for an answer, and gives no more than the trained length.
    context = min(SEQUENCE_LIMIT_TOKENS, config["max_position_embeddings"] - 1)
    server = LlamaServer(f32, context + 1)
    trained_tokenizer = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    strings = _compare_ids(trained_tokenizer, server)
    plain = OpenFile.of(f32)
    values = compare_gguf_tensors(plain, tensors, config)
    reference = reference_model(train, tensors, torch.float32)
    sequences = probe_sequences(trained_tokenizer, config["vocab_size"], context)
    logits, whole = _compare_logits(reference, server, sequences)
    chats = compare_chats(tokenizer, server)
    documents = held_out_sequences(tokens, context)
    if not documents:
        raise Mismatch("no held-out text can show it: raise data.held_out_fraction")
    files = {}
    for path in sorted(folder.glob("*.gguf")):
        if path != f32:
            file = OpenFile.of(path)
            compare_gguf_fields(plain, file)
            compare_gguf_tensors(file, tensors, config)
            server = LlamaServer(path, context + 1)
        files[path.name] = _quality(path.name, reference, server, documents)
    return {
        "tokenizer_strings_equal": strings,
        "tensors_equal": values,
        "f32_log_probability_max_abs_difference": logits,
        "f32_log_probability_bound": LOGIT_BOUND,
        "positions_compared": len(sequences),
        "positions_compared_in_all_tokens": whole,
        "likeliest_tokens_compared_elsewhere": min(LIKELY_TOKENS, config["vocab_size"]),
        "chats_equal": chats,
        "files": files,
        "versions": {
            name: version(name) for name in ("torch", "transformers", "tokenizers", "gguf", PACKAGE)
        },
    }


def main() -> int:
    """Run the proof that the command line asks for and return the exit status."""
    paths = {
        "train": "folder of the trained weights",
        "tokenizer": "folder of the trained tokenizer",
        "tokens": "folder of tokens, for those held out",
        "f32": "GGUF file in fp32, SHA256SUMS beside it",
        "gguf": "exported folder, SHA256SUMS in it",
    }
    return main_of(verify_gguf, __doc__, paths)


def _check_bytes(path: Path) -> None:
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != read_checksums(path.parent).get(path.name):
        raise Mismatch(f"{path.name}: its bytes are not those that were written")


def _compare_ids(tokenizer: Tokenizer, server: LlamaServer) -> int:
    """Return how many strings have the same ids in llama.cpp as in the trained tokenizer.

    The text of tokens is among them: only there may a cut that is made elsewhere separate what was merged.
    """
    strings = [*HARD_STRINGS, *random_strings(SEED, RANDOM_STRINGS), *vocabulary_strings(tokenizer)]
    for text, encoding in zip(strings, tokenizer.encode_batch(strings), strict=True):
        found = server.tokenize(text)
        if found != encoding.ids:
            raise Mismatch(
                f"llama.cpp: ids of {text[:40]!a} are {found[:8]}, trained {encoding.ids[:8]}, of {len(encoding.ids)}"
            )
    return len(strings)


@torch.inference_mode()
def _compare_logits(reference: Any, server: LlamaServer, sequences: list[list[int]]) -> tuple[float, int]:
    """Return the largest difference of a log-probability of the token after each sequence, and how many were whole.

    Whole are all tokens of a vocabulary. Where it is large that is so after the last sequences, which are the longest;
    after others the likeliest tokens are compared. Each is a logit less a sum over all logits, so that a token which
    is wrong elsewhere shows as well, unless it is an unlikely one.
    """
    greatest = 0.0
    vocab_size = reference.config.vocab_size
    whole = min(len(sequences), max(1, COMPARED_LOG_PROBABILITIES // vocab_size))
    for number, ids in enumerate(reversed(sequences)):
        trained = _log_probabilities(reference, ids)[-1].tolist()
        wanted = vocab_size if number < whole else min(LIKELY_TOKENS, vocab_size)
        found = server.next_log_probabilities(ids, wanted)
        if len(found) != wanted:
            raise Mismatch(f"llama.cpp: has {len(found)} tokens, trained {len(trained)}")
        difference = max(
            abs(trained[number] - value) for number, value in found.items() if trained[number] > UNDERFLOW
        )
        # Written so that NaN is refused too.
        if not difference <= LOGIT_BOUND:
            raise Mismatch(
                f"llama.cpp: log-probabilities after {len(ids)} tokens differ by {difference:.3g}, "
                f"more than {LOGIT_BOUND}"
            )
        greatest = max(greatest, difference)
    return greatest, whole


@torch.inference_mode()
def _quality(name: str, reference: Any, server: LlamaServer, documents: list[list[int]]) -> dict[str, Any]:
    """Return how far a file is from the trained model on held-out text, and how often both choose the same token."""
    trained_nats, found_nats, chosen_equal, count = 0.0, 0.0, 0, 0
    for ids in documents:
        trained = _log_probabilities(reference, ids)
        for place in range(1, len(ids)):
            likeliest, log_probability = server.likeliest_and(ids[:place], ids[place], len(trained[0]))
            chosen_equal += likeliest == int(trained[place - 1].argmax())
            trained_nats -= float(trained[place - 1][ids[place]])
            found_nats -= log_probability
        count += len(ids) - 1
    delta_nats = (found_nats - trained_nats) / count
    bound_nats = K_NLL_BOUND_NATS if name in map(gguf_name, K_TYPES) else NLL_BOUND_NATS
    if not abs(delta_nats) <= bound_nats:
        raise Mismatch(
            f"{name}: loss on held-out text is {delta_nats:+.3g} nats a token from the trained model's, "
            f"more than {bound_nats}"
        )
    greedy_equal, identical = _greedy(reference, server, documents)
    return {
        "held_out_nll_nats_per_token": found_nats / count,
        "held_out_nll_delta_nats_per_token": delta_nats,
        "held_out_nll_bound_nats_per_token": bound_nats,
        "held_out_positions": count,
        "held_out_same_choice_fraction": chosen_equal / count,
        "greedy_same_choice_fraction": greedy_equal,
        "greedy_texts_equal": identical,
        "greedy_texts": len(documents[:GREEDY_PROMPTS]),
    }


def _greedy(reference: Any, server: LlamaServer, documents: list[list[int]]) -> tuple[float, int]:
    """Return the fraction of equal choices on llama.cpp's way through greedy texts, and how many texts are equal."""
    equal, total, identical = 0, 0, 0
    for document in documents[:GREEDY_PROMPTS]:
        prompt = document[: len(document) // 2]
        ids = list(prompt)
        for _ in document[len(prompt) :]:
            ids.append(next(iter(server.next_log_probabilities(ids, 1))))
        wanted = _log_probabilities(reference, ids)[len(prompt) - 1 : -1].argmax(-1).tolist()
        found = ids[len(prompt) :]
        equal += sum(left == right for left, right in zip(wanted, found, strict=True))
        total += len(found)
        identical += wanted == found
    return equal / total, identical


def _log_probabilities(reference: Any, ids: list[int]) -> torch.Tensor:
    """Return the log-probabilities [length, vocabulary] of the token after each of `ids`."""
    return torch.log_softmax(reference(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double(), -1)


if __name__ == "__main__":
    sys.exit(main())
