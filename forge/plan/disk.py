"""Disk that a run fills, item by item, for its whole length."""

from __future__ import annotations

from collections.abc import Sequence

from forge.plan.activations import WIDTH_BYTES
from forge.plan.layout import Layout, stored_precision
from forge.plan.states import checkpoint_bytes
from forge.plan.types import MemoryItem, ModelPlan

LAKE_FRACTION = 1.0
"""Of the sources' bytes: Parquet under zstd; text shrinks by two thirds, what is already compressed does not."""

CORPUS_FRACTION = 2.5
"""Of the lake: nothing is dropped without a row, so the texts can be as large; the sets by which near duplicates are
found, kept for the next time, are about 1.3 times as large again."""

GGUF_WIDTH_BYTES = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32}
"""Bytes a parameter, by the type of a GGUF file."""

GGUF_K_BLOCK_VALUES = 256
GGUF_K_WIDTH_BYTES = 210 / 256
"""Of the other types: that of Q6_K, the largest in their mixtures. Rows that are no multiple of a block have q8_0's at
most."""

SWAPPED_STATES_BYTES = 16
"""Of a parameter on NVMe: its fp32 weight, both moments and the gradient, each in a file of its own."""

SMALL_VOCABULARY = 65_535
"""Up to here a token is two bytes on disk, above four (forge.data.tokens)."""


def disk_items(
    model: ModelPlan,
    layout: Layout,
    source_bytes: int,
    corpus_tokens: int,
    keep_checkpoints: int,
    export_formats: Sequence[str] = ("hf",),
    gguf_types: Sequence[str] = (),
) -> tuple[MemoryItem, ...]:
    """Return what a run needs on disk, upper bounds, item by item.

    Args:
        model: the network.
        layout: its precision is that of the trained weights.
        source_bytes: of the raw documents, which stay where they are.
        corpus_tokens: tokens the data is expected to yield.
        keep_checkpoints: checkpoints that stay; one more is written before the oldest goes.
        export_formats: what is exported.
        gguf_types: of the GGUF files, where there are any; the proof needs one in f32 as long as it runs.
    """
    lake = LAKE_FRACTION * source_bytes
    token_bytes = 2 if model.vocab_size <= SMALL_VOCABULARY else 4
    # fp16 weights leave the training in fp32.
    weights = (
        WIDTH_BYTES["bf16" if stored_precision(layout.precision) == "bf16" else "fp32"] * model.parameters
    )
    checkpoint = checkpoint_bytes(model, layout.optimizer)
    exports = float(weights) if "hf" in export_formats else 0.0
    if "gguf" in export_formats or "ollama" in export_formats:
        exports += sum(_gguf_width_bytes(name, model) for name in {*gguf_types, "f32"}) * model.parameters
    swapped = 0
    if layout.offload_optimizer == "nvme":
        swapped += SWAPPED_STATES_BYTES * model.trainable_parameters
    if layout.offload_parameters == "nvme":
        swapped += WIDTH_BYTES[layout.precision] * (model.parameters + model.adapter_parameters)
    sizes = [
        ("lake", lake),
        ("corpus", CORPUS_FRACTION * lake),
        ("tokens", token_bytes * corpus_tokens),
        ("states and parameters on disk", swapped),
        ("checkpoints", (keep_checkpoints + 1) * checkpoint),
        ("trained weights", weights),
        ("export", exports),
    ]
    return tuple(MemoryItem(name, round(size)) for name, size in sizes if size)


def _gguf_width_bytes(kind: str, model: ModelPlan) -> float:
    rows = (model.hidden_size, model.intermediate_size, model.attention_heads * model.head_dim)
    fits = not any(values % GGUF_K_BLOCK_VALUES for values in rows)
    return GGUF_WIDTH_BYTES.get(kind, GGUF_K_WIDTH_BYTES if fits else GGUF_WIDTH_BYTES["q8_0"])
