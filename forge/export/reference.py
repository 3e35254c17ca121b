"""The trained model rebuilt without transformers' loader: the other side of the export's proof.

Were both sides read by the same loader, a fault in it would agree with itself.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import safe_open

EXPERT_TENSOR = re.compile(
    r"(model\.layers\.\d+\.)(?:block_sparse_moe|mlp)\.experts\.(\d+)\.(w[123]|(?:gate|up|down)_proj)\.weight"
)
EXPERT_PARTS = {"w1": "gate_proj", "w3": "up_proj", "w2": "down_proj"}
"""Mixtral's names for what Qwen3-MoE names as a dense layer does."""


def checkpoint_tensors(train: Path) -> dict[str, torch.Tensor]:
    """Return every tensor of `train`/model*.safetensors under the name it is stored by."""
    tensors: dict[str, torch.Tensor] = {}
    for path in sorted(train.glob("model*.safetensors")):
        with safe_open(path, framework="pt") as stream:
            tensors |= {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    return tensors


def checkpoint_dtype(tensors: dict[str, torch.Tensor]) -> torch.dtype:
    """Return the one dtype of all `tensors`; ValueError when there are none or several."""
    dtypes = {tensor.dtype for tensor in tensors.values()}
    if len(dtypes) != 1:
        raise ValueError(f"the trained weights have {len(dtypes)} dtypes, not one")
    return dtypes.pop()


def reference_model(train: Path, tensors: dict[str, torch.Tensor], dtype: torch.dtype) -> Any:
    """Return the model of `train`/config.json with `tensors` cast to `dtype`, on the CPU.

    Raises:
        ValueError: the tensors are not exactly those of the model (a tied output matrix may be absent).
    """
    config = transformers.AutoConfig.from_pretrained(train, local_files_only=True)
    # Not built in another dtype and cast: that would round rope's fp32 frequencies, which no loader does.
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)
    found = model.load_state_dict(merge_experts(tensors), strict=False)
    missing = set(found.missing_keys) - ({"lm_head.weight"} if config.tie_word_embeddings else set())
    if wrong := sorted(missing) + sorted(found.unexpected_keys):
        raise ValueError(f"the trained weights do not fit their config.json: {wrong[0]}")
    model.tie_weights()
    return model.eval()


def merge_experts(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return `tensors` with the matrices of single experts stacked as transformers 5 holds them in memory.

    Files keep gate, up and down of each expert apart; the model has `gate_up_proj`
    [experts, 2 x intermediate, hidden] and `down_proj` [experts, hidden, intermediate]. Others pass as they are.
    """
    merged = {}
    experts: dict[str, dict[int, dict[str, torch.Tensor]]] = {}
    for name, tensor in tensors.items():
        if match := EXPERT_TENSOR.fullmatch(name):
            layer, expert, part = match.groups()
            experts.setdefault(layer, {}).setdefault(int(expert), {})[EXPERT_PARTS.get(part, part)] = tensor
        else:
            merged[name.replace(".block_sparse_moe.gate.", ".mlp.gate.")] = tensor
    for layer, parts in experts.items():
        ordered = [parts[expert] for expert in sorted(parts)]
        merged[f"{layer}mlp.experts.gate_up_proj"] = torch.stack(
            [torch.cat([part["gate_proj"], part["up_proj"]]) for part in ordered]
        )
        merged[f"{layer}mlp.experts.down_proj"] = torch.stack([part["down_proj"] for part in ordered])
    return merged
