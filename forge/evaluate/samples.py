"""What the model writes after a prompt."""

from __future__ import annotations

import inspect
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer


@torch.inference_mode()
def continue_prompt(
    model: Any,
    tokenizer: Tokenizer,
    prompt_ids: list[int],
    *,
    end_ids: frozenset[int],
    context_tokens: int,
    sample_tokens: int,
    temperature: float,
    seed: int,
) -> str:
    """Return the text that follows a prompt, without the prompt.

    Stops before one of `end_ids`, after `sample_tokens` tokens, or when prompt and text fill the context.

    Args:
        model: a causal language model of transformers.
        tokenizer: the trained tokenizer.
        prompt_ids: as `forge.evaluate.prompts` puts it to the model; it leaves room in the context.
        end_ids: ids of the tokens that end a document, or a turn of a chat.
        context_tokens: longest sequence the model was trained on.
        sample_tokens: most tokens to write.
        temperature: 0 takes the likeliest token each time; else tokens are drawn from softmax(logits / temperature).
        seed: of the draws, which are made on the CPU so that a device does not change them.
    """
    room_tokens = min(sample_tokens, context_tokens - len(prompt_ids))
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    written: list[int] = []
    ids = torch.tensor([prompt_ids], device=device)
    cache = {cache_argument(model): transformers.DynamicCache()}
    while len(written) < room_tokens:
        logits = model(input_ids=ids, use_cache=True, **cache).logits
        token = _choose(logits[0, -1].float().cpu(), temperature, generator)
        if token in end_ids:
            break
        written.append(token)
        ids = torch.tensor([[token]], device=device)
    return str(tokenizer.decode(written, skip_special_tokens=True))


def cache_argument(model: Any) -> str:
    """Return what this version of transformers calls the cache: 5.24 renamed `past_key_values`."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"


def _choose(logits: torch.Tensor, temperature: float, generator: torch.Generator) -> int:
    if temperature == 0:
        return int(logits.argmax())
    return int(torch.multinomial(torch.softmax(logits / temperature, dim=-1), 1, generator=generator))
