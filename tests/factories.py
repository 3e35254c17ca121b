"""A tiny plan and a tokens artifact made by hand, so that a test needs no compiler and no tokenizer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from forge.plan.lora import with_adapters
from forge.plan.stages import NOT_OF_CORPUS
from forge.plan.types import (
    PLAN_FORMAT,
    Estimates,
    LayoutPlan,
    ModelPlan,
    Plan,
    SchedulePlan,
    SearchPlan,
    StagePlan,
    plan_id,
)
from forge.spec.schema import load_schema_file

BOS_ID, EOS_ID, PAD_ID = 0, 1, 2

_MODEL: dict[str, Any] = {
    "family": "llama",
    "layers": 2,
    "hidden_size": 32,
    "attention_heads": 4,
    "kv_heads": 2,
    "head_dim": 8,
    "intermediate_size": 64,
    "vocab_size": 256,
    "max_sequence_length": 64,
    "rope_theta": 10_000.0,
    "rms_norm_epsilon": 1e-5,
    "tied_embeddings": True,
    "initializer_std": 0.02,
    "experts": 0,
    "experts_per_token": 0,
}
_LAYOUT: dict[str, Any] = {
    "hardware": "local",
    "device": "cpu",
    "gpu": "",
    "nodes": 1,
    "processes_per_node": 1,
    "threads_per_process": 1,
    "precision": "fp32",
    "zero_stage": 1,
    "offload_optimizer": "none",
    "offload_parameters": "none",
    "activation_checkpointing": "none",
    "micro_batch_sequences": 4,
    "gradient_accumulation_steps": 1,
    "hpz_partition_size": 1,
    "sequence_parallel_degree": 1,
    "bucket_bytes": 200_000,
}
_SCHEDULE: dict[str, Any] = {
    "sequence_length": 32,
    "steps": 6,
    "learning_rate": 3e-3,
    "min_learning_rate": 3e-4,
    "learning_rate_schedule": "cosine",
    "warmup_steps": 2,
    "decay_steps": 0,
    "weight_decay": 0.1,
    "adam_beta1": 0.9,
    "adam_beta2": 0.95,
    "adam_epsilon": 1e-8,
    "gradient_clip": 1.0,
    "log_every_steps": 1,
    "checkpoint_every_steps": 3,
    "keep_checkpoints": 2,
    "keep_every_steps": 0,
    "evaluate_every_steps": 0,
    "evaluate_tokens": 256,
}
_ESTIMATES = Estimates(
    memory=(),
    peak_memory_bytes=0,
    available_memory_bytes=0,
    memory_error_fraction=0.25,
    host_memory=(),
    host_memory_available_bytes=0,
    disk=(),
    disk_available_bytes=None,
    step_time_s=0.0,
    tokens_per_second=0.0,
    model_flops_utilization=None,
    training_time_s=0.0,
    time_error_fraction=0.5,
    goodput_fraction=1.0,
    wall_clock_s=0.0,
    gpu_hours=0.0,
    cost_usd=None,
    energy_kwh=None,
    expected_failures=0.0,
    best_checkpoint_interval_s=None,
    checkpoint_stall_s=0.0,
    checkpoint_bytes=0,
    corpus_tokens=0,
    corpus_passes=None,
    tokens_per_parameter=0.0,
    compute_optimal_tokens=0,
    warnings=(),
)
_SEARCH = SearchPlan(objective="wall_clock", candidates=1, alternatives=(), rejected=())


def tiny_plan(
    *,
    model: Mapping[str, Any] | None = None,
    layout: Mapping[str, Any] | None = None,
    schedule: Mapping[str, Any] | None = None,
    deepspeed: Mapping[str, Any] | None = None,
    stages: tuple[StagePlan, ...] | None = None,
    **changes: Any,
) -> Plan:
    """Return a plan that trains in a second on one CPU process, with changes by section.

    `tiny_plan(layout={"zero_stage": 3}, seed=5)` changes two values. What follows from others (world size, global
    batch, tokens, parameter counts, the DeepSpeed config) follows, unless it is given; the id fits the content.
    """
    shape = _MODEL | dict(model or {})
    total, active = _parameter_counts(shape)
    the_model = with_adapters(ModelPlan(**({"parameters": total, "active_parameters": active} | shape)))
    places = _LAYOUT | dict(layout or {})
    places.setdefault("world_size", places["nodes"] * places["processes_per_node"])
    the_layout = LayoutPlan(**places)
    pace = _SCHEDULE | dict(schedule or {})
    pace.setdefault(
        "global_batch_sequences",
        the_layout.world_size * the_layout.micro_batch_sequences * the_layout.gradient_accumulation_steps,
    )
    pace.setdefault("global_batch_tokens", pace["global_batch_sequences"] * pace["sequence_length"])
    pace.setdefault("tokens", pace["steps"] * pace["global_batch_tokens"])
    the_schedule = SchedulePlan(**pace)
    content: dict[str, Any] = {
        "id": "",
        "format": PLAN_FORMAT,
        "name": "tiny",
        "seed": 7,
        "forge_version": "0.0",
        "sources": (),
        "model": the_model,
        "layout": the_layout,
        "schedule": the_schedule,
        "deepspeed": deepspeed_config(the_layout, the_schedule) | dict(deepspeed or {}),
        "stages": stages if stages is not None else default_stages(the_model),
        "estimates": _ESTIMATES,
        "search": _SEARCH,
        "spec": {},
    }
    plan = Plan(**(content | changes))
    return plan if plan.id else replace(plan, id=plan_id(plan))


def deepspeed_config(layout: LayoutPlan, schedule: SchedulePlan) -> dict[str, Any]:
    """Return the DeepSpeed config the engine needs for a tiny model."""
    zero: dict[str, Any] = {"stage": layout.zero_stage}
    if layout.zero_stage in (1, 2):
        zero |= {
            "reduce_bucket_size": 100_000,
            "allgather_bucket_size": 100_000,
            "contiguous_gradients": True,
            "reduce_scatter": layout.expert_parallel_degree > 1,
        }
    if layout.zero_stage == 3:
        zero |= {
            "reduce_bucket_size": 100_000,
            "stage3_prefetch_bucket_size": 100_000,
            "stage3_param_persistence_threshold": 1_000,
            "stage3_max_live_parameters": 1_000_000,
            "stage3_max_reuse_distance": 1_000_000,
        }
    if layout.offload_optimizer == "cpu":
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": False}
    return {
        "train_batch_size": schedule.global_batch_sequences,
        "train_micro_batch_size_per_gpu": layout.micro_batch_sequences,
        "gradient_accumulation_steps": layout.gradient_accumulation_steps,
        "gradient_clipping": schedule.gradient_clip,
        "prescale_gradients": layout.zero_stage in (1, 2) and layout.expert_parallel_degree == 1,
        "bf16": {
            "enabled": layout.precision == "bf16",
            "bf16_master_weights_and_grads": layout.optimizer_states == "bf16",
            "bf16_optimizer_states": layout.optimizer_states == "bf16",
        },
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 1_000_000_000,
    }


def corpus_defaults() -> dict[str, Any]:
    """Return what the corpus stage is given where a spec says nothing of `data`."""
    properties = load_schema_file("data")["properties"]
    return {key: node["default"] for key, node in properties.items() if key not in NOT_OF_CORPUS}


TOKENS: dict[str, Any] = {
    "task": "pretrain",
    "packing": "concatenate",
    "sequence_length": None,
    "source_weights": None,
    "phases": None,
}


def tokenizer_defaults() -> dict[str, Any]:
    """Return what the tokenizer stage is given where a spec says nothing of `tokenizer`."""
    properties = load_schema_file("tokenizer")["properties"]
    return {key: node["default"] for key, node in properties.items()} | {
        "given_sha256": None,
        "given_config_sha256": [None, None],
        "chat": False,
        "seed": 7,
    }


def evaluate_defaults() -> dict[str, Any]:
    """Return what the evaluate stage is given where a spec says nothing of `evaluate`."""
    properties = load_schema_file("evaluate")["properties"]
    return {key: node["default"] for key, node in properties.items() if key != "gates"} | {"seed": 7}


def default_stages(model: ModelPlan) -> tuple[StagePlan, ...]:
    """Return the seven stages, with parameters that suit a few short documents."""
    parameters: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
        "lake": ((), {"metadata_allow": {}, "max_file_bytes": 1_000_000}),
        "corpus": (
            ("lake",),
            {
                **corpus_defaults(),
                "min_words": 1,
                "min_alphabetic_fraction": 0.0,
                "max_repeated_line_fraction": 1.0,
                "held_out_fraction": 0.1,
                "seed": 7,
            },
        ),
        "tokenizer": (
            ("corpus",),
            {**tokenizer_defaults(), "vocab_size": model.vocab_size},
        ),
        "tokens": (("corpus", "tokenizer"), TOKENS),
        "train": (("tokens",), {}),
        "evaluate": (
            ("train", "corpus", "tokenizer", "tokens"),
            {
                **evaluate_defaults(),
                "held_out_max_tokens": 10_000,
                "sample_tokens": 8,
                "sample_temperature": 0.0,
            },
        ),
        "export": (
            ("train", "tokenizer", "tokens", "evaluate"),
            {"formats": ["hf"], "gguf_types": ["f16", "q8_0"], "dtype": "fp32"},
        ),
    }
    return tuple(
        StagePlan(
            name=name, inputs=inputs, parameters=values, key=hashlib.sha256(name.encode()).hexdigest()[:12]
        )
        for name, (inputs, values) in parameters.items()
    )


def write_tokens(
    folder: Path,
    train_tokens: int = 4_000,
    held_out_tokens: int = 400,
    vocab_size: int = 256,
    seed: int = 0,
    document_tokens: int = 50,
) -> Path:
    """Write a tokens artifact of seeded, learnable documents into `folder` (made when missing) and return it.

    A document is BOS, a counting run with a random start and stride, EOS; `documents.parquet` lists each one, with
    one byte a token.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    dtype = "uint16" if vocab_size <= 65_535 else "uint32"
    source = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    digests: dict[str, str] = {}
    for split, tokens in (("train", train_tokens), ("held_out", held_out_tokens)):
        flat = np.empty(tokens, dtype=np.dtype(dtype).newbyteorder("<"))
        for start in range(0, tokens, document_tokens):
            length = min(document_tokens, tokens - start)
            first, stride = source.integers(0, vocab_size - 3), source.integers(1, 4)
            body = 3 + (first + stride * np.arange(length)) % (vocab_size - 3)
            body[0] = BOS_ID
            body[-1] = EOS_ID
            flat[start : start + length] = body
            rows.append(
                {
                    "document_id": f"{split}-{start}",
                    "split": split,
                    "start": start,
                    "tokens": length,
                    "bytes": max(length - 2, 0),
                }
            )
        (folder / f"{split}.bin").write_bytes(flat.tobytes())
        digests[f"{split}.bin"] = hashlib.sha256(flat.tobytes()).hexdigest()
    pq.write_table(pa.Table.from_pylist(rows), folder / "documents.parquet")
    facts = {
        "dtype": dtype,
        "train_tokens": train_tokens,
        "held_out_tokens": held_out_tokens,
        "train_bytes": sum(row["bytes"] for row in rows if row["split"] == "train"),
        "held_out_bytes": sum(row["bytes"] for row in rows if row["split"] == "held_out"),
        "vocab_size": vocab_size,
        "bos_id": BOS_ID,
        "eos_id": EOS_ID,
        "pad_id": PAD_ID,
        "sha256": digests,
    }
    (folder / "tokens.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return folder


def _parameter_counts(shape: Mapping[str, Any]) -> tuple[int, int]:
    """Count the parameters of a decoder in all, and those one token passes through."""
    hidden, head = shape["hidden_size"], shape["head_dim"]
    attention = 2 * hidden * head * (shape["attention_heads"] + shape["kv_heads"])
    if shape["family"] == "qwen2":
        attention += head * (shape["attention_heads"] + 2 * shape["kv_heads"])
    if shape["family"] in ("qwen3", "qwen3_moe"):
        attention += 2 * head
    expert = 3 * hidden * shape["intermediate_size"]
    router = hidden * shape["experts"]
    embeddings = hidden * shape["vocab_size"] * (1 if shape["tied_embeddings"] else 2)

    def whole(experts: int) -> int:
        layer = attention + expert * max(experts, 1) + router + 2 * hidden
        return int(shape["layers"] * layer + embeddings + hidden)

    return whole(shape["experts"]), whole(shape["experts_per_token"])
