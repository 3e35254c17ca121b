"""A GGUF file beside the trained weights: every value, by names and an order of rows that the writer did not choose."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import torch
from gguf import GGMLQuantizationType, GGUFReader

from forge.export.block_quantization import quantize_rows
from forge.export.mismatch import Mismatch
from forge.export.stored_tensors import Floats

WHOLE = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
IN_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
EXPERTS = {
    "mixtral": ("block_sparse_moe", {"ffn_gate_exps": "w1", "ffn_up_exps": "w3", "ffn_down_exps": "w2"}),
    "qwen3_moe": (
        "mlp",
        {"ffn_gate_exps": "gate_proj", "ffn_up_exps": "up_proj", "ffn_down_exps": "down_proj"},
    ),
}
PAIRED_WITH_NEIGHBOUR = ("llama", "mistral", "mixtral")
"""Families whose rotary pairs are neighbours in llama.cpp: it runs them as its `llama` architecture."""

LAYER_TENSOR = re.compile(r"blk\.(\d+)\.(\w+)\.(weight|bias)")

STEP_FRACTION_Q8_0 = 0.5 + 127 * 2**-11
"""Most that a value of a q8_0 block may be off, in steps: rounding to a step, and the step itself rounded to fp16."""

PLAIN_TYPES = (
    GGMLQuantizationType.F32,
    GGMLQuantizationType.F16,
    GGMLQuantizationType.BF16,
    GGMLQuantizationType.Q8_0,
)
"""Whose values follow from the trained ones by themselves."""

ROUNDING_BOUND = 0.2
"""Most that other types may be off, root mean square over that of the trained values: of normal ones Q4_K is off by
0.07, Q6_K by 0.02."""

FREE_FIELDS = ("GGUF.kv_count", "GGUF.tensor_count", "GGUF.version", "general.file_type")


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A GGUF file that is being looked at: reading its vocabulary takes seconds, and is done once."""

    name: str
    reader: GGUFReader

    @classmethod
    def of(cls, path: Path) -> OpenFile:
        """Read where everything lies in the file."""
        return cls(path.name, GGUFReader(path))


def compare_gguf_tensors(file: OpenFile, tensors: Mapping[str, torch.Tensor], config: dict[str, Any]) -> int:
    """Return how many tensors of the file hold the trained values in the types they say.

    Args:
        file: the file.
        tensors: the trained weights by transformers' names, as files hold them.
        config: the trained config.json.

    Raises:
        Mismatch: a value differs by more than its type makes it, or a tensor is on one side only.
    """
    unused = set(tensors)
    found = file.reader.tensors
    for tensor in found:
        sources = _sources(tensor.name, config)
        if absent := [name for name in sources if name not in tensors]:
            raise Mismatch(f"{file.name}: {tensor.name}: the trained model has no {absent[0]}")
        unused -= set(sources)
        trained = np.stack([tensors[name].float().numpy() for name in sources])
        trained = trained if "_exps." in tensor.name else trained[0]
        shape = tuple(int(extent) for extent in reversed(tensor.shape))
        if shape != trained.shape:
            raise Mismatch(f"{file.name}: {tensor.name} is {list(shape)}, trained {list(trained.shape)}")
        data = tensor.data
        if config["model_type"] in PAIRED_WITH_NEIGHBOUR and re.search(r"\.attn_[qk]\.", tensor.name):
            heads = config["num_attention_heads" if ".attn_q." in tensor.name else "num_key_value_heads"]
            data = _halves(data, heads)
        if differing := _differing(data, trained, tensor.tensor_type):
            raise Mismatch(f"{file.name}: {tensor.name}: {differing} of {trained.size} values differ")
    if unused:
        raise Mismatch(f"{file.name}: {min(unused)} of the trained model is missing")
    return len(found)


def compare_gguf_fields(plain: OpenFile, other: OpenFile) -> int:
    """Return how many fields (shape, vocabulary, template) two files of a model share, all of them equal.

    Raises:
        Mismatch: names the first that differs.
    """
    left, right = plain.reader.fields, other.reader.fields
    for name in sorted((set(left) | set(right)) - set(FREE_FIELDS)):
        if name not in left or name not in right or left[name].contents() != right[name].contents():
            raise Mismatch(f"{other.name}: {name} is not that of {plain.name}")
    return len(right)


def _sources(name: str, config: dict[str, Any]) -> list[str]:
    """Return the trained tensors that one of a GGUF file stands for."""
    match = LAYER_TENSOR.fullmatch(name)
    if match is None:
        stem, _, ending = name.rpartition(".")
        return [f"{WHOLE.get(stem, stem)}.{ending}"]
    layer, part, ending = match.groups()
    place, experts = EXPERTS.get(config["model_type"], ("", {}))
    if part == "ffn_gate_inp":
        return [f"model.layers.{layer}.{place}.gate.{ending}"]
    if part in experts:
        count = config["num_local_experts"]
        return [
            f"model.layers.{layer}.{place}.experts.{number}.{experts[part]}.{ending}"
            for number in range(count)
        ]
    return [f"model.layers.{layer}.{IN_LAYER.get(part, part)}.{ending}"]


def _halves(stored: npt.NDArray[Any], heads: int) -> npt.NDArray[Any]:
    """Return the rows of each head with the even ones first, then the odd ones."""
    rows = stored.shape[0] // heads
    order = [head * rows + row for head in range(heads) for row in [*range(0, rows, 2), *range(1, rows, 2)]]
    return stored[order]


def _differing(data: npt.NDArray[Any], trained: Floats, kind: GGMLQuantizationType) -> int:
    """Return how many values are not what `kind` makes of the trained ones; `data` has the rows as the file does."""
    stored = gguf.dequantize(data, kind)
    if kind not in PLAIN_TYPES:
        # One of few steps for many values: a bound lets a wrong step pass, so they are rounded once more. That it is
        # a rounding at all is seen by a reader that the rounding has no part in.
        again = quantize_rows(trained.reshape(-1, trained.shape[-1]), kind)
        values = gguf.GGML_QUANT_SIZES[kind][0]
        count = trained.size // values
        wrong = int((data.reshape(count, -1) != again.reshape(count, -1)).any(axis=1).sum())
        error, scale = (
            float(np.square(some, dtype=np.float64).mean()) for some in (stored - trained, trained)
        )
        return wrong * values if error <= ROUNDING_BOUND**2 * scale else trained.size
    if kind == GGMLQuantizationType.Q8_0:
        blocks, other = trained.reshape(-1, 32), stored.reshape(-1, 32)
        step = np.abs(blocks).max(axis=1, keepdims=True) / 127
        # Written so that NaN counts. A step below fp16's smallest is 0.
        return int((~(np.abs(blocks - other) <= STEP_FRACTION_Q8_0 * step + 127 * 2.0**-25)).sum())
    if kind == GGMLQuantizationType.F16:
        trained = trained.astype(np.float16).astype(np.float32)
    if kind == GGMLQuantizationType.BF16:
        trained = torch.from_numpy(trained).bfloat16().float().numpy()
    return int((np.ascontiguousarray(stored).view(np.int32) != trained.view(np.int32)).sum())
