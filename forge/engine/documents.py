"""Attention that stays within documents, however many are packed into a sequence.

A token sees the tokens before it in its own document and no others; no mask of sequence length squared is ever built.
Each document's attention is computed by itself, so packed short documents cost less than one long sequence.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from forge.data.boundaries import Span, document_positions, document_spans
from forge.engine.sequence_parallel import SequenceGroup, exchange

WITHIN_DOCUMENTS = "within_documents"
"""Name of this attention in transformers. It is torch's SDPA where a forward pass is told of no documents."""

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def _find_varlen() -> Callable[..., Any] | None:
    """Return torch's FlashAttention over rows of any lengths, where this torch has it in its present form."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn if "window_size" in inspect.signature(varlen_attn).parameters else None


_varlen_attention = _find_varlen()


@dataclass(frozen=True, slots=True)
class Documents:
    """The documents in a micro-batch."""

    positions: torch.Tensor
    """Each token's place in its document, int64 [rows, length]."""
    spans: tuple[Span, ...]
    """All documents, row after row."""
    ends: torch.Tensor
    """0, and where each document ends with the rows laid end to end, int32 [documents + 1]."""
    group: SequenceGroup | None = None
    """Ranks that share the rows: `positions` are then of this one's part, spans and ends of whole rows."""

    def shared(self, group: SequenceGroup | None) -> Documents:
        """Return the same documents for a rank of `group`; themselves where there is none."""
        return self if group is None else replace(self, positions=group.part(self.positions), group=group)

    @classmethod
    def find(cls, ids: npt.NDArray[np.int64], bos_id: int, eos_id: int, device: torch.device) -> Documents:
        """Return the documents of the sequences `ids`, int64 [rows, length]."""
        return cls.at(document_positions(ids, bos_id, eos_id), device)

    @classmethod
    def at(cls, positions: npt.NDArray[np.int64], device: torch.device) -> Documents:
        """Return the documents in which each token has the place that `positions`, int64 [rows, length], say."""
        spans = document_spans(positions)
        ends = [0, *(row * positions.shape[1] + end for row, _, end in spans)]
        return cls(
            torch.from_numpy(positions).to(device),
            spans,
            torch.tensor(ends, dtype=torch.int32, device=device),
        )

    @property
    def longest(self) -> int:
        """Tokens of the longest document."""
        return max(end - first for _, first, end in self.spans)

    def options(self) -> dict[str, Any]:
        """Return what a transformers model takes to keep to these documents, under each kind of attention.

        `eager` makes its mask of the positions; FlashAttention takes the ends.
        """
        return {
            "position_ids": self.positions,
            "documents": self,
            "cu_seq_lens_q": self.ends,
            "cu_seq_lens_k": self.ends,
            "max_length_q": self.longest,
            "max_length_k": self.longest,
        }


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    documents: Documents | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Return the attention of each document by itself, [rows, length, heads, head_dim].

    `query` is [rows, heads, length, head_dim]; `key` and `value` may have fewer heads. As transformers calls it. Ranks
    that share rows each give and get their part of the length.
    """
    if documents is not None and (group := documents.group) is not None:
        query, key, value = (exchange(each, group, scattered=1, gathered=2) for each in (query, key, value))
        out, _ = attend(module, query, key, value, None, scaling, replace(documents, group=None), **options)
        return exchange(out, group, scattered=1, gathered=2), None
    if documents is None or len(documents.spans) == len(query):
        options.pop("position_ids", None)
        out, _ = sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **options)
        return out, None
    if query.is_cuda and query.dtype == torch.bfloat16 and _varlen_attention is not None:
        return attend_laid_end_to_end(query, key, value, documents, scaling), None
    if query.device.type == "cpu":
        out = _EachAlone.apply(query, key, value, documents.spans, scaling)  # type: ignore[no-untyped-call]
    else:
        out = _each_alone(query, key, value, documents.spans, scaling)
    return out.transpose(1, 2), None


def attend_laid_end_to_end(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, documents: Documents, scale: float | None
) -> torch.Tensor:
    """Return the same by one FlashAttention kernel over all documents: on a GPU, in bf16."""
    assert _varlen_attention is not None
    rows, heads, length, head_dim = query.shape
    flat = [each.transpose(1, 2).flatten(0, 1) for each in (query, key, value)]
    ends, longest = documents.ends, documents.longest
    out: torch.Tensor = _varlen_attention(
        *(*flat, ends, ends, longest, longest),
        scale=scale,
        window_size=(-1, 0),  # causal
        enable_gqa=key.shape[1] != heads,
    )
    return out.view(rows, length, heads, head_dim)


def _each_alone(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, spans: tuple[Span, ...], scale: float | None
) -> torch.Tensor:
    out = torch.empty_like(query)
    for row, first, end in spans:
        cut = (slice(row, row + 1), slice(None), slice(first, end))
        out[cut] = torch.nn.functional.scaled_dot_product_attention(
            query[cut], key[cut], value[cut], is_causal=True, scale=scale, enable_gqa=True
        )
    return out


class _EachAlone(torch.autograd.Function):
    """Torch's fused CPU attention for one document after another.

    It keeps for its backward pass what one call for whole rows would keep, and no piece twice.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        spans: tuple[Span, ...],
        scale: float | None,
    ) -> torch.Tensor:
        rows, heads, length, head_dim = query.shape
        # In memory the heads of a token lie together, as the projection after it reads them.
        out = query.new_empty(rows, length, heads, head_dim).transpose(1, 2)
        log_sums = torch.empty(rows, length, heads, device=query.device).transpose(1, 2)
        for row, first, end in spans:
            cut = (slice(row, row + 1), slice(None), slice(first, end))
            out[cut], log_sums[cut] = _flash(query[cut], key[cut], value[cut], 0.0, True, scale=scale)
        ctx.save_for_backward(query, key, value, out, log_sums)
        ctx.spans, ctx.scale = spans, scale
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, out, log_sums = ctx.saved_tensors
        (gradient,) = gradients
        found = [
            each.new_empty(each.shape[0], each.shape[2], each.shape[1], each.shape[3]).transpose(1, 2)
            for each in (query, key, value)
        ]
        for row, first, end in ctx.spans:
            cut = (slice(row, row + 1), slice(None), slice(first, end))
            parts = _flash_backward(
                *(gradient[cut], query[cut], key[cut], value[cut], out[cut], log_sums[cut], 0.0, True),
                scale=ctx.scale,
            )
            for whole, part in zip(found, parts, strict=True):
                whole[cut] = part
        return (*found, None, None)


transformers.AttentionInterface.register(WITHIN_DOCUMENTS, attend)
