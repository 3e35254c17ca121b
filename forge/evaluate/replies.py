"""Greedy replies to many prompts at once, and how likely given continuations of a prompt are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import transformers

from forge.evaluate.samples import cache_argument
from forge.progress import Progress

BATCH_PROMPTS = 32


@torch.inference_mode()
def greedy_replies(
    model: Any,
    prompts: Sequence[Sequence[int]],
    decode: Callable[[list[int]], str],
    *,
    end_ids: frozenset[int],
    one_line: bool,
    reply_tokens: int,
    context_tokens: int,
    progress: Progress,
) -> list[str]:
    """Return what the model goes on with after each prompt, the likeliest token each time, spaces around it left out.

    A reply ends before one of `end_ids`, after `reply_tokens` tokens, where the context is full, and with `one_line`
    at the first line end. Of a prompt that leaves no room in the context the reply is ''. Prompts of one length go
    through the model together, so nothing is padded.

    Args:
        model: a causal language model of transformers.
        prompts: token ids, each with what a sequence begins with.
        decode: from ids to text.
        end_ids: ids that end a reply.
        one_line: whether a line end ends it too.
        reply_tokens: most tokens of a reply.
        context_tokens: longest sequence the model was trained on.
        progress: told of prompts, of a phase that the caller began.
    """
    replies = [""] * len(prompts)
    for places in _batches(prompts):
        length = len(prompts[places[0]])
        room_tokens = min(reply_tokens, context_tokens - length)
        if room_tokens > 0 and length:
            rows = torch.tensor([list(prompts[place]) for place in places], device=_device(model))
            written = _written(model, rows, decode, end_ids, one_line, room_tokens)
            for place, ids in zip(places, written, strict=True):
                text = decode(ids)
                replies[place] = (text.split("\n", 1)[0] if one_line else text).strip()
        progress.advance(len(places))
    return replies


def _written(
    model: Any,
    ids: torch.Tensor,
    decode: Callable[[list[int]], str],
    end_ids: frozenset[int],
    one_line: bool,
    room_tokens: int,
) -> list[list[int]]:
    written: list[list[int]] = [[] for _ in ids]
    going = [True] * len(written)
    cache = {cache_argument(model): transformers.DynamicCache()}
    for _ in range(room_tokens):
        logits = model(input_ids=ids, use_cache=True, **cache).logits[:, -1]
        chosen = logits.float().argmax(dim=-1)
        for row, token in enumerate(chosen.tolist()):
            if not going[row]:
                continue
            if token in end_ids:
                going[row] = False
                continue
            written[row].append(token)
            if one_line and "\n" in decode(written[row]):
                going[row] = False
        if not any(going):
            break
        ids = chosen[:, None]
    return written


@torch.inference_mode()
def continuation_nats(
    model: Any, prompt: Sequence[int], continuations: Sequence[Sequence[int]]
) -> list[float]:
    """Return -log p(continuation | prompt) of each continuation, in nats; infinity of an empty one.

    They go through the model together, filled up at the end, where no token looks.
    """
    width = max(map(len, continuations))
    rows = torch.tensor([[*prompt, *ids, *[0] * (width - len(ids))] for ids in continuations])
    rows = rows.to(_device(model))
    logits = model(input_ids=rows[:, :-1], use_cache=False).logits[:, len(prompt) - 1 :]
    losses = torch.nn.functional.cross_entropy(
        logits.float().transpose(1, 2), rows[:, len(prompt) :], reduction="none"
    )
    return [
        float(row[: len(ids)].double().sum()) if ids else math.inf
        for row, ids in zip(losses, continuations, strict=True)
    ]


def _batches(prompts: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Yield places of prompts of one length, at most BATCH_PROMPTS at a time."""
    by_length: dict[int, list[int]] = {}
    for place, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt), []).append(place)
    for _, places in sorted(by_length.items()):
        for first in range(0, len(places), BATCH_PROMPTS):
            yield places[first : first + BATCH_PROMPTS]


def _device(model: Any) -> torch.device:
    device: torch.device = next(model.parameters()).device
    return device
