"""The types of GGUF files, and the one in which a file of each keeps a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gguf
from gguf import GGMLQuantizationType, LlamaFileType

from forge.plan.types import ModelPlan


@dataclass(frozen=True, slots=True)
class FileType:
    """A type of file."""

    matrices: GGMLQuantizationType
    """Of most matrices."""
    number: LlamaFileType
    """As the file says it."""


GGUF_TYPES = {
    "f32": FileType(GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    "f16": FileType(GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "bf16": FileType(GGMLQuantizationType.BF16, LlamaFileType.MOSTLY_BF16),
    "q8_0": FileType(GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
    "q6_k": FileType(GGMLQuantizationType.Q6_K, LlamaFileType.MOSTLY_Q6_K),
    "q5_k_m": FileType(GGMLQuantizationType.Q5_K, LlamaFileType.MOSTLY_Q5_K_M),
    "q4_k_m": FileType(GGMLQuantizationType.Q4_K, LlamaFileType.MOSTLY_Q4_K_M),
}
"""By the name in the spec, largest first."""

K_TYPES = {"q6_k", "q5_k_m", "q4_k_m"}
"""Of blocks of 256 values; q5_k_m and q4_k_m are mixtures."""

K_BLOCK_VALUES = 256

SMALLER_BLOCKS = {
    GGMLQuantizationType.Q4_K: GGMLQuantizationType.Q5_0,
    GGMLQuantizationType.Q5_K: GGMLQuantizationType.Q5_1,
    GGMLQuantizationType.Q6_K: GGMLQuantizationType.Q8_0,
}
"""What takes the place of a type whose blocks do not fit a row."""


def gguf_name(kind: str) -> str:
    """Return the name of the file of a type."""
    return f"model-{kind}.gguf"


def stored_type(name: str, shape: Sequence[int], kind: str, model: ModelPlan) -> GGMLQuantizationType:
    """Return the type a tensor has in a file of `kind`, as llama.cpp's converter and its quantizer choose it.

    Vectors and the router of a mixture stay in fp32; a row that is no multiple of a block has the next type of smaller
    blocks, and where those do not fit either, fp16. The mixtures are those of `llama_tensor_get_type` in
    llama.cpp's src/llama-quant.cpp, for the families that forge trains.

    Args:
        name: in the file.
        shape: outermost dimension first.
        kind: one of GGUF_TYPES.
        model: whose tensor it is.
    """
    if len(shape) == 1 or name.endswith(".ffn_gate_inp.weight"):
        return GGMLQuantizationType.F32
    wanted = _mixed_type(name, kind, model) if kind in K_TYPES else GGUF_TYPES[kind].matrices
    while shape[-1] % gguf.GGML_QUANT_SIZES[wanted][0]:
        wanted = SMALLER_BLOCKS.get(wanted, GGMLQuantizationType.F16)
    return wanted


def _mixed_type(name: str, kind: str, model: ModelPlan) -> GGMLQuantizationType:
    types, matrices = GGMLQuantizationType, GGUF_TYPES[kind].matrices
    if name == "output.weight" or (model.tied_embeddings and name == "token_embd.weight"):
        return types.Q6_K
    if not name.startswith("blk."):
        return matrices
    _, layer, part, _ = name.split(".")
    if model.experts == 8 and part in ("attn_k", "attn_v"):
        return types.Q8_0
    if model.experts == 8 and part == "attn_output" and kind == "q4_k_m":
        return types.Q5_K
    if part in ("attn_v", "ffn_down", "ffn_down_exps") and _is_sensitive(int(layer), model.layers):
        return types.Q6_K
    if part == "attn_v" and matrices is types.Q4_K and _shares_values_widely(model):
        return types.Q5_K
    return matrices


def _is_sensitive(layer: int, layers: int) -> bool:
    """Return whether a layer is among the first and last eighth, or every third between."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def _shares_values_widely(model: ModelPlan) -> bool:
    """Return whether llama.cpp takes it for a model of 70 billion parameters."""
    is_llama = model.family in ("llama", "mistral", "mixtral")
    return model.layers == 80 and (
        model.family == "qwen2" or (is_llama and model.attention_heads != model.kv_heads)
    )
