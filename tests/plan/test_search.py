from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.errors import FitError, SpecError
from forge.plan.hardware import resolve_hardware
from forge.plan.layout import Layout
from forge.plan.memory import memory_items
from forge.plan.model import plan_model
from forge.plan.search import choose_layout
from forge.plan.time import step_time_s
from tests.plan.specs import LAPTOP, composed


@settings(deadline=None, max_examples=60)
@given(
    option=st.sampled_from(["llama_25m", "llama_1b", "llama_7b", "mixtral_8x1b"]),
    hardware_name=st.sampled_from(["1xh100", "8xh100", "8xa100", "cpu"]),
    sequence_length=st.sampled_from([512, 2048, 16384]),
    share=st.integers(1, 12),
    headroom=st.floats(0, 0.8),
)
def test_the_choice_is_the_best_of_the_whole_grid(
    option: str, hardware_name: str, sequence_length: int, share: int, headroom: float
) -> None:
    values, name = composed(f"model={option}", f"hardware={hardware_name}")
    hardware = resolve_hardware(values["hardware"], name, LAPTOP)
    model = plan_model(values["model"], 32_768, sequence_length)
    engine: dict[str, Any] = values["engine"] | {"memory_headroom_fraction": headroom}
    train = values["train"] | {
        "sequence_length": sequence_length,
        "global_batch_tokens": sequence_length * share * hardware.world_size,
    }
    best = None
    for stage in (1, 2, 3):
        for micro_batch in range(1, share + 1):
            for checkpointing in ("none", "full"):
                for offload in ("none", "cpu") if hardware.device == "cuda" else ("none",):
                    if share % micro_batch:
                        continue
                    layout = Layout(
                        zero_stage=stage,
                        micro_batch_sequences=micro_batch,
                        gradient_accumulation_steps=share // micro_batch,
                        activation_checkpointing=checkpointing,
                        offload_optimizer=offload,
                        precision="bf16" if hardware.native_bf16 else "fp32",
                        bucket_bytes=engine["bucket_bytes"],
                    )
                    items = memory_items(model, layout, hardware, sequence_length)
                    peak = sum(item.bytes for item in items)
                    if peak <= int(hardware.device_memory_bytes * (1 - headroom)):
                        seconds = step_time_s(model, layout, hardware, sequence_length)
                        best = min(best or (seconds, peak), (seconds, peak))
    if best is None:
        with pytest.raises(FitError):
            choose_layout(model, hardware, engine, train)
    else:
        chosen = choose_layout(model, hardware, engine, train)
        assert (chosen.step_time_s, chosen.peak_memory_bytes) == best


def test_a_global_batch_that_devices_cannot_share_is_refused() -> None:
    values, name = composed("hardware=8xh100", "train.global_batch_tokens=12288")
    hardware = resolve_hardware(values["hardware"], name, LAPTOP)
    model = plan_model(values["model"], 32_768, 1024)
    with pytest.raises(SpecError, match=r"12 sequences, which 8 devices cannot share equally: use 8192"):
        choose_layout(model, hardware, values["engine"], values["train"])


def test_a_pinned_micro_batch_must_divide_a_devices_share() -> None:
    values, name = composed("hardware=8xh100", "engine.micro_batch_sequences=3")
    hardware = resolve_hardware(values["hardware"], name, LAPTOP)
    model = plan_model(values["model"], 32_768, 1024)
    with pytest.raises(SpecError, match=r"micro_batch_sequences: 3 does not divide the 8 sequences"):
        choose_layout(model, hardware, values["engine"], values["train"])
