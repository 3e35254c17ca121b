"""No token sees another document, and every way to compute that gives the same."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from forge.engine import documents
from forge.engine.documents import Documents, attend, attend_laid_end_to_end
from forge.engine.loss import compute_loss_inside, micro_batch_loss
from forge.engine.model import ActivationCheckpointing, Attention, build_model
from tests.engine.test_model import FAMILIES, Made
from tests.factories import BOS_ID, EOS_ID, tiny_plan

CPU = torch.device("cpu")
# Two sequences: the end of one document, two whole ones, the begin of another; and one document alone.
LENGTH = 24
FIRST = [
    *range(40, 46),
    EOS_ID,
    BOS_ID,
    *range(50, 55),
    EOS_ID,
    BOS_ID,
    60,
    61,
    EOS_ID,
    BOS_ID,
    *range(70, 75),
]
IDS = np.array([FIRST, [BOS_ID, *range(80, 80 + LENGTH - 1)]])
SPANS = ((0, 0, 7), (0, 7, 14), (0, 14, 18), (0, 18, 24), (1, 0, 24))
ATTENTIONS: list[Attention] = ["sdpa", "eager"]
Tensors = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def find(ids: np.ndarray[Any, np.dtype[np.int64]]) -> Documents:
    return Documents.find(ids, BOS_ID, EOS_ID, CPU)


def logits(network: Any, ids: np.ndarray[Any, np.dtype[np.int64]]) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = network(
            input_ids=torch.from_numpy(ids), use_cache=False, **find(ids).options()
        ).logits
    return found


def test_documents_are_found() -> None:
    found = find(IDS)
    assert found.spans == SPANS
    assert found.ends.tolist() == [0, 7, 14, 18, 24, 48]
    assert found.longest == 24


@pytest.mark.parametrize("model", FAMILIES)
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_another_document_changes_nothing(model: dict[str, Any], attention: Attention) -> None:
    network = build_model(tiny_plan(model=model).model, seed=1, attention=attention).eval()
    before = logits(network, IDS)
    for row, first, end in SPANS:
        changed = IDS.copy()
        inner = [place for place in range(first, end) if IDS[row, place] not in (BOS_ID, EOS_ID)]
        changed[row, inner] += 100
        after = logits(network, changed)
        same = torch.ones(IDS.shape, dtype=torch.bool)
        same[row, first:end] = False
        # How many tokens come to an expert decides how its products are added up.
        rounding = 1e-6 if "experts" in model else 0.0
        assert torch.allclose(before[same], after[same], rtol=0, atol=rounding)
        assert (before[row, inner] != after[row, inner]).any(dim=-1).all()


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_each_document_is_computed_as_if_it_were_alone(attention: Attention) -> None:
    network = build_model(tiny_plan().model, seed=1, attention=attention).eval()
    packed = logits(network, IDS)
    for row, first, end in SPANS:
        with torch.no_grad():
            alone = network(input_ids=torch.from_numpy(IDS[row : row + 1, first:end]), use_cache=False).logits
        assert torch.allclose(packed[row, first:end], alone[0], atol=1e-6)


def gradients(
    attention: Attention, checkpointing: ActivationCheckpointing, loss_chunks: int = 1
) -> tuple[float, dict[str, torch.Tensor]]:
    network = build_model(tiny_plan().model, 1, checkpointing, attention)
    if loss_chunks > 1:
        compute_loss_inside(network, loss_chunks)
    ids, targets = torch.from_numpy(IDS[:, :-1].copy()), torch.from_numpy(IDS[:, 1:].copy())
    documents = find(IDS[:, :-1].copy())
    loss = micro_batch_loss(network, ids, targets, tiny_plan().model, loss_chunks, documents).total
    torch.autograd.backward(loss)
    return float(loss.detach()), {
        name: each.grad for name, each in network.named_parameters() if each.grad is not None
    }


@pytest.mark.parametrize(
    ("attention", "checkpointing", "loss_chunks"),
    [("eager", "none", 1), ("sdpa", "selective", 1), ("sdpa", "full", 1), ("sdpa", "none", 3)],
)
def test_every_way_gives_the_same_gradients(
    attention: Attention, checkpointing: ActivationCheckpointing, loss_chunks: int
) -> None:
    loss, expected = gradients("sdpa", "none")
    other_loss, found = gradients(attention, checkpointing, loss_chunks)
    assert other_loss == pytest.approx(loss, abs=1e-6)
    assert set(found) == set(expected)
    for name, gradient in expected.items():
        if attention == "sdpa" and loss_chunks == 1:
            assert torch.equal(found[name], gradient)
        assert torch.allclose(found[name], gradient, atol=1e-6)


def tensors(requires_grad: bool = False) -> Tensors:
    """Return queries, keys and values; four heads on two."""
    source = torch.Generator().manual_seed(0)
    shapes = [(2, LENGTH, heads, 8) for heads in (4, 2, 2)]
    query, key, value = (
        torch.randn(shape, generator=source).transpose(1, 2).requires_grad_(requires_grad) for shape in shapes
    )
    return query, key, value


def by_mask(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
    mask = torch.zeros(2, 1, LENGTH, LENGTH, dtype=torch.bool)
    for row, first, end in SPANS:
        mask[row, 0, first:end, first:end] = torch.ones(end - first, end - first, dtype=torch.bool).tril()
    return torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, scale=scale, enable_gqa=True
    ).transpose(1, 2)


def on_this_device(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
    module = SimpleNamespace(num_key_value_groups=2, is_causal=True)
    out, _ = attend(module, query, key, value, None, scaling=scale, documents=find(IDS))
    return out


def one_after_another(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
) -> torch.Tensor:
    return documents._each_alone(query, key, value, SPANS, scale).transpose(1, 2)


@pytest.mark.parametrize("way", [on_this_device, one_after_another])
def test_attention_equals_that_under_a_mask_forward_and_backward(
    way: Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor],
) -> None:
    expected, found = tensors(True), tensors(True)
    weights = torch.randn(2, LENGTH, 4, 8, generator=torch.Generator().manual_seed(1))
    results = by_mask(*expected, 0.3), way(*found, 0.3)
    assert torch.allclose(*results, atol=1e-6)
    for result in results:
        torch.autograd.backward((result * weights).sum())
    for one, other in zip(expected, found, strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.allclose(one.grad, other.grad, atol=1e-6)


def test_a_gpu_is_given_all_documents_end_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel needs a GPU; here the arguments it gets are carried out by hand."""

    def kernel(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        ends: torch.Tensor,
        key_ends: torch.Tensor,
        longest: int,
        longest_key: int,
        *,
        scale: float,
        window_size: tuple[int, int],
        enable_gqa: bool,
    ) -> torch.Tensor:
        assert (window_size, enable_gqa, longest, longest_key) == ((-1, 0), True, 24, 24)
        assert ends.dtype == key_ends.dtype == torch.int32
        parts = []
        for first, end in zip(ends.tolist(), ends.tolist()[1:], strict=False):
            q, k, v = (each[first:end].transpose(0, 1)[None] for each in (query, key, value))
            part = torch.nn.functional.scaled_dot_product_attention(
                q, k, v, is_causal=True, scale=scale, enable_gqa=True
            )
            parts.append(part[0].transpose(0, 1))
        return torch.cat(parts)

    assert documents._varlen_attention is not None
    monkeypatch.setattr(documents, "_varlen_attention", kernel)
    found = attend_laid_end_to_end(*tensors(), find(IDS), 0.3)
    assert torch.allclose(found, by_mask(*tensors(), 0.3), atol=1e-6)


@pytest.mark.parametrize("checkpointing", ["none", "selective", "full"])
def test_keeping_to_documents_keeps_no_more_for_the_backward_pass(
    checkpointing: ActivationCheckpointing,
) -> None:
    length = 256
    shape = tiny_plan(model={"max_sequence_length": length}).model
    ids = np.arange(length)[None] % 50 + 3
    ids[0, ::50] = BOS_ID
    kept = []
    for options in ({}, find(ids).options()):
        network = build_model(shape, 1, checkpointing)
        with Made() as made:
            hidden = network.model(input_ids=torch.from_numpy(ids), use_cache=False, **options)
        assert hidden.last_hidden_state.requires_grad
        kept.append(made.alive_bytes())
    plain, within = kept
    assert within <= plain * 1.01
