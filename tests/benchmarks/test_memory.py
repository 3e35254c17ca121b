from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.memory_configurations import CONFIGURATIONS, QUICK
from benchmarks.memory_published import published_rows

ROW = {
    "source": "somewhere",
    "model": "llama3-8b",
    "layers": "32",
    "hidden": "4096",
    "heads": "32",
    "kv_heads": "8",
    "ffn": "14336",
    "vocab": "128256",
    "tied": "False",
    "seq_len": "8192",
    "hardware": "h100-sxm-80gb",
    "n_gpus": "8",
    "sharding": "fsdp-full-8",
    "tp": "1",
    "pp": "1",
    "micro_batch_per_gpu": "1",
    "act_ckpt": "full",
    "precision": "bf16",
    "compile": "no",
    "measured_peak_mem_gb": "32.0",
}


def rows(folder: Path, *changes: dict[str, str]) -> list[tuple[float | None, str]]:
    file = folder / "rows.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, ROW)
        writer.writeheader()
        writer.writerows(ROW | change for change in changes)
    return [(row.predicted_gib, row.reason) for row in published_rows(file)]


def test_published_rows_are_predicted_or_refused_with_a_reason(tmp_path: Path) -> None:
    usable, half, long, *refused = rows(
        tmp_path,
        {},
        {"sharding": "fsdp-full-8 (dp4 x cp2)"},
        {"seq_len": "16384"},
        {"precision": "fp8"},
        {"tp": "8"},
        {"ffn": ""},
        {"sharding": "none"},
        {"act_ckpt": "some layers"},
    )
    assert usable[1] == half[1] == long[1] == ""
    assert usable[0] is not None
    assert half[0] is not None
    assert long[0] is not None
    assert 20 < usable[0] < 60
    assert half[0] < usable[0] < long[0]
    assert [predicted for predicted, _ in refused] == [None] * 5
    assert len({reason for _, reason in refused}) == 5


def test_rows_without_a_peak_are_no_memory_rows(tmp_path: Path) -> None:
    assert rows(tmp_path, {"measured_peak_mem_gb": ""}) == []


def test_the_configurations_span_what_they_should() -> None:
    assert len({str(configuration) for configuration in CONFIGURATIONS}) == len(CONFIGURATIONS) >= 60
    layouts = [configuration.layout for configuration in CONFIGURATIONS]
    assert {layout.zero_stage for layout in layouts} == {0, 1, 2, 3}
    assert {layout.activation_checkpointing for layout in layouts} == {"none", "selective", "full"}
    assert {layout.precision for layout in layouts} == {"bf16", "fp16", "fp32"}
    assert {layout.optimizer_states for layout in layouts} == {"bf16", "fp32"}
    assert not [layout for layout in layouts if layout.zero_stage == 0 and layout.precision != "fp32"]
    micro_batches = [layout.micro_batch_sequences for layout in layouts]
    assert (min(micro_batches), max(micro_batches)) == (1, 16)
    lengths = [configuration.sequence_length for configuration in CONFIGURATIONS]
    assert (min(lengths), max(lengths)) == (512, 131072)
    worlds = [configuration.world_size for configuration in CONFIGURATIONS]
    assert (min(worlds), max(worlds)) == (1, 512)
    parameters = [configuration.model_plan().parameters for configuration in CONFIGURATIONS]
    assert min(parameters) < 12e6
    assert max(parameters) > 70e9


@pytest.mark.slow
def test_the_formula_agrees_with_the_engine_on_fake_tensors() -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.memory", "--quick", "--json"]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, timeout=900, check=True
    )
    result = json.loads(done.stdout[done.stdout.index("{\n") :])
    assert result["configurations"] == len(QUICK)
    for what in ("saved", "states", "peak"):
        assert result[what]["median_abs_error"] <= 0.01, result[what]
        assert result[what]["worst_abs_error"] <= 0.05, result[what]
