"""Published peaks of device memory beside what forge predicts for the same layout.

Most were measured on other implementations than the one forge runs (other checkpointing policies, fused losses,
other sharding code), so a difference says how far they are apart, not how wrong the formula is; the formula's own
error is that against the oracle.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from forge.plan.layout import Layout
from forge.plan.memory import FRAGMENTATION_FRACTION, allocated_bytes
from forge.plan.model import plan_model

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Row:
    """A published row, predicted where it can be."""

    source: str
    what: str
    measured_gib: float
    predicted_gib: float | None
    reason: str
    """Why it can't be predicted; '' where it can."""


def published_rows(file: Path) -> list[Row]:
    """Return all rows of `file` with a measured peak, in the columns of benchmarks/rows.py."""
    with file.open(encoding="utf-8", newline="") as lines:
        return [_row(row) for row in csv.DictReader(lines) if row["measured_peak_mem_gb"]]


def _row(row: dict[str, str]) -> Row:
    what = ", ".join(
        part
        for part in (
            row["model"],
            f"{row['n_gpus']} x {row['hardware']}",
            row["sharding"],
            f"{row['seq_len']} x {row['micro_batch_per_gpu']}",
            f"checkpointing {row['act_ckpt']}" if row["act_ckpt"] else "",
            row["precision"],
            "compiled" if row["compile"].startswith("yes") else "",
        )
        if part
    )
    measured = float(row["measured_peak_mem_gb"])
    reason = _unusable(row)
    if reason:
        return Row(row["source"], what, measured, None, reason)
    return Row(row["source"], what, measured, _predicted_gib(row), "")


def _unusable(row: dict[str, str]) -> str:
    """Return why forge has no plan like this one, or ''."""
    if any(not row[key] for key in ("seq_len", "micro_batch_per_gpu", "hidden", "ffn", "vocab")):
        return "shape, sequence length or micro-batch not published"
    if row["precision"] != "bf16":
        return f"precision {row['precision']}: forge trains in bf16 with fp32 master weights, or in fp32"
    if row["tp"] not in ("", "1") or row["pp"] not in ("", "1"):
        return "tensor or pipeline parallel"
    if row["act_ckpt"].split()[0] not in ("none", "selective", "full"):
        return f"checkpointing {row['act_ckpt']} is not one of forge's"
    if not row["sharding"].startswith(("fsdp", "zero")):
        return f"sharding {row['sharding'] or 'not published'}"
    return ""


def _predicted_gib(row: dict[str, str]) -> float:
    sequence_length, world = int(row["seq_len"]), int(row["n_gpus"])
    spec: dict[str, Any] = {
        "family": "llama",
        "layers": int(row["layers"]),
        "hidden_size": int(row["hidden"]),
        "attention_heads": int(row["heads"]),
        "kv_heads": int(row["kv_heads"]),
        "head_dim": None,
        "intermediate_size": int(row["ffn"]),
        "rope_theta": 1e4,
        "rms_norm_epsilon": 1e-5,
        "tied_embeddings": row["tied"] == "True",
        "initializer_std": 0.02,
        "experts": 0,
        "experts_per_token": 0,
    }
    model = plan_model(spec, int(row["vocab"]), sequence_length)
    sharding = row["sharding"]
    stage: Literal[1, 2, 3] = 2 if "zero2" in sharding else 1 if "zero1" in sharding else 3
    sequence_parallel = int(sharding.partition(" x cp")[2].rstrip(")") or 1)
    checkpointing: Any = row["act_ckpt"].split()[0]
    layout = Layout(
        zero_stage=stage,
        micro_batch_sequences=int(row["micro_batch_per_gpu"]),
        gradient_accumulation_steps=1,
        activation_checkpointing=checkpointing,
        offload_optimizer="none",
        precision="bf16",
        bucket_bytes=100_000_000,
        sequence_parallel_degree=sequence_parallel,
    )
    tokens = layout.micro_batch_sequences * sequence_length / sequence_parallel
    return (1 + FRAGMENTATION_FRACTION) * allocated_bytes(model, layout, world, sequence_length, tokens) / GIB
