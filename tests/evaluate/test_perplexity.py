from __future__ import annotations

import math
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from forge.data.loading import BEGINS, LEARNT, TokenShard
from forge.engine.model import build_model
from forge.errors import StageError
from forge.evaluate.perplexity import document_loss_nats, stream_loss_nats, window_blocks
from forge.progress import SilentProgress
from tests.factories import tiny_plan

VOCAB_SIZE = 32
BOS_ID, EOS_ID = IDS = 0, 1


def shard(tokens: int, vocab_size: int = VOCAB_SIZE) -> TokenShard:
    return TokenShard(np.random.default_rng(0).integers(0, vocab_size, tokens).astype(np.uint16))


class Constant(torch.nn.Module):
    """Gives every token but one the same small logit, and remembers what it was asked."""

    def __init__(self, logit: float) -> None:
        super().__init__()
        self.logit = torch.nn.Parameter(torch.tensor(logit))
        self.shapes: list[tuple[int, ...]] = []
        self.inputs: list[int] = []

    def forward(self, input_ids: torch.Tensor, position_ids: torch.Tensor, use_cache: bool) -> Any:
        self.shapes.append(tuple(input_ids.shape))
        self.inputs += input_ids.flatten().tolist()
        return SimpleNamespace(logits=self.logit.expand(*input_ids.shape, VOCAB_SIZE))


@given(predicted=st.integers(1, 400), sequence_length=st.integers(1, 50), batch_sequences=st.integers(1, 5))
def test_each_position_is_an_input_once(predicted: int, sequence_length: int, batch_sequences: int) -> None:
    covered: Counter[int] = Counter()
    for start, rows, length in window_blocks(predicted, sequence_length, batch_sequences):
        assert rows <= batch_sequences
        assert length <= sequence_length
        covered.update(range(start, start + rows * length))
    assert covered == Counter(range(predicted))


@given(tokens=st.integers(2, 200), sequence_length=st.integers(1, 40))
def test_a_uniform_model_costs_log_vocabulary_for_each_token_but_the_first(
    tokens: int, sequence_length: int
) -> None:
    stream, model = shard(200), Constant(0.5)
    nats = stream_loss_nats(model, stream, tokens, sequence_length, 3, *IDS, SilentProgress())
    assert nats == pytest.approx((tokens - 1) * math.log(VOCAB_SIZE))
    assert model.inputs == stream.window(0, tokens - 1).tolist()


def test_equals_a_direct_computation_token_by_token() -> None:
    plan = tiny_plan(model={"initializer_std": 0.3})
    model = build_model(plan.model, seed=3).eval()
    model.set_attn_implementation("sdpa")  # as a model is loaded
    stream, sequence_length, tokens = shard(100), 16, 87
    nats = 0.0
    with torch.inference_mode():
        for position in range(1, tokens):
            start = (position - 1) // sequence_length * sequence_length
            for place in range(start + 1, position):
                if stream.tokens[place] == BOS_ID or stream.tokens[place - 1] == EOS_ID:
                    start = place
            context = torch.from_numpy(stream.window(start, position - start))[None]
            probabilities = model(input_ids=context).logits[0, -1].double().log_softmax(-1)
            nats -= float(probabilities[int(stream.tokens[position])])
    measured = stream_loss_nats(model, stream, tokens, sequence_length, 2, *IDS, SilentProgress())
    assert measured == pytest.approx(nats, rel=1e-6)
    # The comparison can fail: other windows give another sum, and so do documents that end elsewhere.
    other = stream_loss_nats(model, stream, tokens, sequence_length - 1, 2, *IDS, SilentProgress())
    assert other != pytest.approx(nats, rel=1e-6)
    one = stream_loss_nats(model, stream, tokens, sequence_length, 2, -1, -1, SilentProgress())
    assert one != pytest.approx(nats, rel=1e-6)


@given(ends=st.lists(st.integers(2, 150), min_size=1, max_size=6, unique=True).map(sorted))
def test_documents_share_the_loss_of_the_stream(ends: list[int]) -> None:
    stream = shard(200)
    nats = document_loss_nats(Constant(0.5), stream, ends, 16, 3, *IDS, SilentProgress())
    lengths = np.diff([1, *ends])  # the first token of all is not predicted
    assert nats == pytest.approx(lengths * math.log(VOCAB_SIZE))


def test_broken_weights_are_said_not_reported() -> None:
    with pytest.raises(StageError, match="loss is nan"):
        stream_loss_nats(Constant(math.nan), shard(9), 9, 4, 1, *IDS, SilentProgress())


def test_of_conversations_only_answers_are_measured_each_in_its_own() -> None:
    model = build_model(tiny_plan(model={"initializer_std": 0.3}).model, seed=3).eval()
    model.set_attn_implementation("sdpa")  # as a model is loaded
    length, tokens = 16, 48
    ids = shard(tokens + 1).tokens
    labels = np.zeros(tokens + 1, np.uint8)
    labels[[0, 7, 16, 32, 41]] = BEGINS
    learnt = [3, 4, 6, 10, 11, 20, 31, 35, 47]
    labels[learnt] |= LEARNT
    nats = 0.0
    with torch.inference_mode():
        for place in learnt:
            start = max(at for at in (0, 7, 16, 32, 41) if at < place)
            seen = torch.from_numpy(ids[start:place].astype(np.int64))[None]
            logits = model(input_ids=seen).logits[0, -1].double()
            nats -= float(logits.log_softmax(-1)[int(ids[place])])
    stream = TokenShard(ids, length, 2, labels)
    found = stream_loss_nats(model, stream, tokens, length, 2, *IDS, SilentProgress())
    assert found == pytest.approx(nats, rel=1e-5)
