"""The tensors of a GGUF file: their names, and what they are made of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import gguf
import numpy as np
from gguf import MODEL_ARCH

from forge.export.stored_tensors import Floats, StoredTensor
from forge.plan.types import ModelPlan

ARCHITECTURES = {
    "llama": MODEL_ARCH.LLAMA,
    "mistral": MODEL_ARCH.LLAMA,
    "mixtral": MODEL_ARCH.LLAMA,
    "qwen2": MODEL_ARCH.QWEN2,
    "qwen3": MODEL_ARCH.QWEN3,
    "qwen3_moe": MODEL_ARCH.QWEN3MOE,
}
"""llama.cpp's word for each family; without a window Mistral is Llama, and Mixtral is Llama with experts."""

CHUNK_VALUES = 4_000_000
"""Read, converted and written at a time."""

EXPERT = re.compile(r"(.+\.experts)\.(\d+)\.(.+)")
ROTATED = re.compile(r"\.self_attn\.([qk])_proj\.")


@dataclass(frozen=True, slots=True)
class GGUFTensor:
    """One tensor of the file."""

    name: str
    sources: tuple[StoredTensor, ...]
    """What it is made of: one tensor, or that of every expert in turn."""
    shape: tuple[int, ...]
    """Outermost dimension first, as numpy has it."""
    head_rows: int
    """Rows of a head whose halves are interleaved; 0 where rows stay as they are."""

    def chunks(self) -> Iterator[Floats]:
        """Yield the values [rows, row_values] in the order in which the file has them."""
        for source in self.sources:
            step = max(1, CHUNK_VALUES // source.row_values)
            if self.head_rows:
                step = max(1, step // self.head_rows) * self.head_rows
            for first in range(0, source.rows, step):
                rows = source.read_rows(first, min(step, source.rows - first))
                yield interleave_halves(rows, self.head_rows) if self.head_rows else rows


def gguf_tensors(model: ModelPlan, stored: Mapping[str, StoredTensor]) -> list[GGUFTensor]:
    """Return the tensors of a GGUF file of `model`, whose weights are `stored` under transformers' names.

    Raises:
        KeyError: llama.cpp has no name for a tensor.
    """
    names = gguf.get_tensor_name_map(ARCHITECTURES[model.family], model.layers)
    rotated_in_pairs = ARCHITECTURES[model.family] is MODEL_ARCH.LLAMA
    tensors, experts = [], _experts(stored)
    for name, tensor in stored.items():
        if EXPERT.fullmatch(name):
            continue
        stem, _, ending = name.rpartition(".")
        found = names.get_name(stem)
        if found is None:
            raise KeyError(name)
        heads = {"q": model.attention_heads, "k": model.kv_heads}
        rotated = ROTATED.search(name) if rotated_in_pairs else None
        head_rows = tensor.rows // heads[rotated.group(1)] if rotated else 0
        tensors.append(GGUFTensor(f"{found}.{ending}", (tensor,), tensor.shape, head_rows))
    for name, parts in experts.items():
        stem, _, ending = name.rpartition(".")
        found = names.get_name(stem)
        if found is None:
            raise KeyError(name)
        sources = tuple(parts[number] for number in sorted(parts))
        tensors.append(GGUFTensor(f"{found}.{ending}", sources, (len(sources), *sources[0].shape), 0))
    return tensors


def interleave_halves(rows: Floats, head_rows: int) -> Floats:
    """Return the rows of each head in the order first, middle, second, middle + 1, ...

    Rotary embeddings turn pairs of rows. transformers pairs a row with the one half a head away, llama.cpp's llama
    architecture with its neighbour.
    """
    pairs = rows.reshape(-1, 2, head_rows // 2, rows.shape[-1])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(rows.shape)


def _experts(stored: Mapping[str, StoredTensor]) -> dict[str, dict[int, StoredTensor]]:
    """Return the matrices of single experts by the name they have together."""
    experts: dict[str, dict[int, StoredTensor]] = {}
    for name, tensor in stored.items():
        if match := EXPERT.fullmatch(name):
            place, number, part = match.groups()
            experts.setdefault(f"{place}.{part}", {})[int(number)] = tensor
    return experts
