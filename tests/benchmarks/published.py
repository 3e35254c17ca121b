"""Writes small files with the columns of the published measurements."""

from __future__ import annotations

import csv
from pathlib import Path

_NAMES = """
source url_or_path model params_total layers hidden heads kv_heads ffn vocab tied moe_experts moe_topk seq_len
hardware n_gpus gpus_per_node framework sharding tp pp micro_batch_per_gpu global_batch_seqs grad_accum act_ckpt
precision attention compile measured_tokens_per_s_per_gpu measured_tflops_per_gpu flops_convention measured_mfu
measured_peak_mem_gb measured_total_gpu_hours tokens_total notes
"""
COLUMNS = _NAMES.split()

ORDINARY = {
    "source": "lab",
    "model": "llama2-7b",
    "params_total": "6738415616",
    "layers": "32",
    "hidden": "4096",
    "heads": "32",
    "kv_heads": "32",
    "ffn": "11008",
    "vocab": "32000",
    "tied": "False",
    "seq_len": "4096",
    "hardware": "h100-sxm-80gb",
    "n_gpus": "64",
    "gpus_per_node": "8",
    "framework": "torchtitan",
    "sharding": "fsdp-full",
    "tp": "1",
    "pp": "1",
    "micro_batch_per_gpu": "2",
    "global_batch_seqs": "256",
    "grad_accum": "2",
    "act_ckpt": "selective",
    "precision": "bf16",
    "attention": "flash",
    "compile": "yes",
    "measured_tokens_per_s_per_gpu": "9600",
}


def cells(**changes: str) -> dict[str, str]:
    """Return an ordinary row with some cells changed."""
    return {**dict.fromkeys(COLUMNS, ""), **ORDINARY, **changes}


def write_rows(path: Path, *rows: dict[str, str]) -> Path:
    """Write rows as a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path
