"""What is refused here before anything is done."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from forge.cli.compiling import compile_overrides
from forge.cli.running import check_here
from forge.errors import FitError
from forge.plan.hardware import GIB
from tests.plan.specs import LAPTOP

H100 = replace(
    LAPTOP, memory_bytes=256 * GIB, gpu_names=("NVIDIA H100 80GB HBM3",), gpu_memory_bytes=80 * GIB
)


def test_a_disk_that_cannot_be_reached_is_refused_where_the_plan_would_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CC", "false")  # a compiler that finds no library
    one, other = (
        compile_overrides(
            ["hardware=1xh100", "engine.zero_stage=3", f"engine.offload_optimizer={place}"],
            H100,
            needs_data=False,
        )
        for place in ("nvme", "cpu")
    )
    check_here(other, H100)
    with pytest.raises(
        FitError, match="nvme needs DeepSpeed's async_io, which can't be built here without libaio"
    ):
        check_here(one, H100)


def test_fp8_without_torchao_is_refused_where_the_plan_would_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao", None)
    fp8 = ["hardware=1xh100", "model=llama_7b", "engine.compile_layers=true", "engine.offload_optimizer=cpu"]
    one, other = (
        compile_overrides([*fp8, f"train.precision={precision}"], H100, needs_data=False)
        for precision in ("fp8", "bf16")
    )
    check_here(other, H100)
    with pytest.raises(
        FitError, match=r"train.precision: torchao is not installed: pip install 'forge-run\[fp8\]'"
    ):
        check_here(one, H100)
