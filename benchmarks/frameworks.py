"""Which framework key of `forge.plan.efficiency` a row of published measurements falls under."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal

from forge.plan.efficiency import (
    EAGER,
    EAGER_GPT,
    ELEMENT_WISE_ONLY,
    EVERY_OTHER_LAYER,
    FRAMEWORKS,
    Framework,
)

MEGATRON = ("megatron", "nemo", "internevo", "llm.c", "mcore", "transformer engine", "nanotron", "neox")
"""Data parallelism with ZeRO-1 over modules of their own, most with fused kernels."""

COMPILED = ("fms", "olmo", "tinyllama", "lingua", "maxtext", "jax", "nanochat", "nanogpt", "levanter")
"""Compiled, or with kernels fused by hand, unless the row says not."""

NATIVE = (
    *("torchtitan", "foundry", "composer", "mosaic", "litgpt", "lightning"),
    *("fairscale", "fairseq", "metaseq"),
)
"""PyTorch modules of their own; compiled where the row says so."""

TRANSFORMERS = (
    *("transformers", "accelerate", "axolotl", "llama-factory", "llama factory", "swift", "trl"),
    *("huggingface", "hugging face", "hf ", "pytorch fsdp"),
)
"""transformers' modules under PyTorch FSDP, where DeepSpeed is not named."""

FIRST_FLASH = ("composer", "llm-foundry", "internevo")
"""Measured with FlashAttention 1: flash-attn 1.0.9 and 1.0.5 were what they installed in 2023."""

NEWEST_FLASH = ("flash3", "fa3", "flash-3", "flash attention 3", "cudnn", "fused", "te")
CUDNN_BY_DEFAULT = ("nemo", "bridge", "transformer engine")


OF_TRANSFORMERS = ("deepspeed", "deepcompile", "transformers_fsdp")
"""Keys under which transformers' own modules run."""


def row_framework(text: dict[str, str], gated: bool = True) -> Framework:
    """Return the framework of a row, its cells in lower case, with what is known of it by name.

    Args:
        text: the cells.
        gated: whether the feed-forward has a gate (Llama), not only two matrices (GPT).
    """
    name = text.get("framework", "")
    framework = FRAMEWORKS[framework_key(name, text.get("sharding", ""), text.get("compile", ""))]
    if "torchtitan" in name or "nanotron" in name:
        framework = replace(framework, gradient_bytes=4.0)
    if "meta internal" in name or "fairscale" in name:
        framework = replace(framework, selective=ELEMENT_WISE_ONLY)
    if "fms" in name or "(layer)" in text.get("act_ckpt", ""):
        framework = replace(framework, selective=EVERY_OTHER_LAYER)
    if "internevo" in name:
        # Megatron's way of sharding, over modules that are not fused.
        framework = replace(framework, kernels=EAGER, whole_tensor_shards=True, accumulation_bytes=6.0)
    if "nanotron" in name:
        # Gradients are summed in fp32; parameters are gathered once the optimizer is done.
        framework = replace(framework, kernels=EAGER, accumulation_bytes=10.0, refresh_overlaps=False)
    if framework.key in OF_TRANSFORMERS:
        # Published runs of mixtures of experts under transformers precede its grouped experts (version 5). Its
        # gradient checkpointing re-enters unless told not to.
        framework = replace(framework, looped_experts=True, recompute_stops_early=False)
        if not gated:
            framework = replace(framework, kernels=EAGER_GPT)
    return replace(framework, attention=attention_kernel(name, text.get("attention", ""), framework))


def casts_eagerly(text: dict[str, str], framework: Framework) -> bool:
    """Whether fp8 is cast to kernel by kernel: torchao's casts (torchtitan) without the compiler that fuses them."""
    name = text.get("framework", "")
    return ("torchtitan" in name or "torchao" in name) and framework.key == "fsdp"


def framework_key(name: str, sharding: str, compile_column: str) -> str:
    """Return the key for a framework's name in lower case, what the row says of sharding, and of compilation."""
    compiled = compile_column.startswith(("yes", "true"))
    if "deepcompile" in name or "deepcompile" in sharding:
        return "deepcompile"
    if _named(name, MEGATRON):
        return "megatron"
    if _named(name, COMPILED):
        return "fsdp" if compile_column.startswith(("no", "false")) else "fsdp_compiled"
    if _named(name, NATIVE):
        return "fsdp_compiled" if compiled else "fsdp"
    if "deepspeed" in name or ("zero" in sharding and "fsdp" not in sharding):
        return "deepspeed"
    if _named(f"{name} ", TRANSFORMERS):
        return "transformers_fsdp"
    return "fsdp_compiled" if compiled else "fsdp"


def attention_kernel(
    name: str, attention: str, framework: Framework
) -> Literal["flash1", "flash2", "flash3"]:
    """Return the fused attention kernel behind a row's `flash`."""
    if _named(name, FIRST_FLASH) or "xformers" in attention:
        return "flash1"
    if any(re.search(rf"\b{word}\b", attention) for word in NEWEST_FLASH) or _named(name, CUDNN_BY_DEFAULT):
        return "flash3"
    return framework.attention


def _named(name: str, words: tuple[str, ...]) -> bool:
    return any(word in name for word in words)
