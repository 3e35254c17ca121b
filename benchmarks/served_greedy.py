"""Greedy continuations by a server of an exported model, beside those of transformers.

    python -m benchmarks.served_greedy --hf FOLDER --address http://127.0.0.1:8000/v1 --model NAME

The server is asked through an OpenAI-compatible API, one request a prompt, with token ids so that no tokenizer of its
own has a say, and for token ids. vLLM gives them: its text begins with what the prompt left of an unfinished character,
so texts of the same tokens differ. Of a server that gives none (llama.cpp) the text is compared. transformers computes
in fp32, and so should the server. Exit status 1 where a continuation differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer

from forge.export.hard_strings import HARD_STRINGS, random_strings

SEED = 20_254
PROMPTS = 40
PROMPT_TOKENS = 24
CONTINUATION_TOKENS = 32
TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class Pair:
    """What follows one prompt: token ids, or the text where the server gives no ids."""

    here: list[int] | str
    served: list[int] | str


def prompts_of(tokenizer: Tokenizer, limit_tokens: int) -> list[list[int]]:
    """Return PROMPTS prompts as token ids: text that tokenizers disagree on, and random text."""
    texts = [text for text in HARD_STRINGS if text]
    texts += random_strings(SEED, PROMPTS - len(texts))
    return [tokenizer.encode(text).ids[:limit_tokens] for text in texts]


@torch.inference_mode()
def continuations_here(folder: Path, prompts: Sequence[list[int]], new_tokens: int) -> list[list[int]]:
    """Return the token ids transformers continues each prompt with, greedily and in fp32."""
    transformers.utils.logging.disable_progress_bar()
    network = transformers.AutoModelForCausalLM.from_pretrained(
        folder, local_files_only=True, dtype=torch.float32
    ).eval()
    continuations = []
    for ids in prompts:
        batch = torch.tensor([ids])
        written = network.generate(
            input_ids=batch,
            attention_mask=torch.ones_like(batch),
            max_new_tokens=new_tokens,
            do_sample=False,
        )
        continuations.append(written[0, len(ids) :].tolist())
    return continuations


def continuations_served(
    address: str, model: str, prompts: Sequence[list[int]], new_tokens: int
) -> list[list[int] | str]:
    """Return what the server at `address` (up to and with /v1) continues each prompt with, at temperature 0."""
    continuations = []
    for ids in prompts:
        content = {
            "model": model,
            "prompt": ids,
            "max_tokens": new_tokens,
            "temperature": 0,
            "return_token_ids": True,
        }
        request = urllib.request.Request(
            f"{address.rstrip('/')}/completions",
            json.dumps(content).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            answer: dict[str, Any] = json.load(response)
        choice = answer["choices"][0]
        continuations.append(choice.get("token_ids") or choice["text"])
    return continuations


def compare(folder: Path, address: str, model: str) -> list[Pair]:
    """Return what follows each prompt, here and served."""
    context_tokens = json.loads((folder / "config.json").read_text())["max_position_embeddings"]
    new_tokens = min(CONTINUATION_TOKENS, context_tokens // 2)
    prompts = prompts_of(
        Tokenizer.from_file(str(folder / "tokenizer.json")), min(PROMPT_TOKENS, context_tokens // 2 - 1)
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    pairs = []
    for here, served in zip(
        continuations_here(folder, prompts, new_tokens),
        continuations_served(address, model, prompts, new_tokens),
        strict=True,
    ):
        if isinstance(served, list):
            pairs.append(Pair(here, served))
        else:
            pairs.append(Pair(tokenizer.decode(here, skip_special_tokens=True), served))
    return pairs


def main() -> None:
    """Compare, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hf", type=Path, required=True, help="exported Hugging Face folder")
    parser.add_argument("--address", required=True, help="of the API, up to and with /v1")
    parser.add_argument("--model", required=True, help="as the server calls it")
    given = parser.parse_args()
    pairs = compare(given.hf, given.address, given.model)
    for number, pair in enumerate(pairs):
        if pair.here != pair.served:
            print(f"prompt {number}: {pair.served[:40]!a}, transformers {pair.here[:40]!a}")
    equal = sum(pair.here == pair.served for pair in pairs)
    by_ids = sum(isinstance(pair.served, list) for pair in pairs)
    print(
        f"greedy continuations equal to transformers': {equal} of {len(pairs)}, {by_ids} compared by token ids"
    )
    sys.exit(equal < len(pairs))


if __name__ == "__main__":
    main()
