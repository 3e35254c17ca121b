from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from forge.errors import FitError
from forge.plan.hardware import Hardware, resolve_hardware
from forge.plan.layout import Layout
from forge.plan.memory import peak_bytes
from forge.plan.model import plan_model
from forge.plan.search import Choice, choose_layout, host_memory_bytes
from forge.plan.space import BUCKET_BYTES, LOSS_CHUNKS
from forge.plan.time import step_time_s
from forge.plan.types import ModelPlan
from tests.plan.specs import LAPTOP, composed

PINS: dict[str, st.SearchStrategy[Any]] = {
    "zero_stage": st.sampled_from(["auto", 1, 2, 3]),
    "activation_checkpointing": st.sampled_from(["auto", "none", "selective", "full"]),
    "offload_optimizer": st.sampled_from(["auto", "none"]),
    "loss_chunks": st.sampled_from(["auto", 1, 4]),
    "bucket_bytes": st.sampled_from(["auto", 50_000_000]),
}


def _grid(hardware: Hardware, engine: dict[str, Any], share: int) -> list[Layout]:
    """Every layout, written out plainly."""

    def values(key: str, every: tuple[Any, ...]) -> tuple[Any, ...]:
        return every if engine[key] == "auto" else (engine[key],)

    cuda = hardware.device == "cuda"
    grid = itertools.product(
        values("zero_stage", (1, 2, 3)),
        [size for size in range(1, share + 1) if share % size == 0],
        values("activation_checkpointing", ("none", "selective", "full")),
        values("offload_optimizer", ("none", "cpu") if cuda else ("none",)),
        values("offload_parameters", ("none", "cpu") if cuda else ("none",)),
        (1, 8) if cuda and hardware.nodes > 1 else (1,),
        values("loss_chunks", LOSS_CHUNKS),
        values("bucket_bytes", BUCKET_BYTES if hardware.world_size > 1 else BUCKET_BYTES[:1]),
    )
    return [
        Layout(
            zero_stage=stage,
            micro_batch_sequences=size,
            gradient_accumulation_steps=share // size,
            activation_checkpointing=checkpointing,
            offload_optimizer=optimizer,
            offload_parameters=parameters,
            hpz_partition_size=hpz,
            precision="bf16" if hardware.native_bf16 else "fp32",
            bucket_bytes=bucket,
            loss_chunks=chunks,
        )
        for stage, size, checkpointing, optimizer, parameters, hpz, chunks, bucket in grid
        if (parameters == "none" or (stage == 3 and optimizer == "cpu")) and (hpz == 1 or stage == 3)
    ]


def _fits(model: ModelPlan, layout: Layout, hardware: Hardware, engine: dict[str, Any], length: int) -> bool:
    peak = peak_bytes(model, layout, hardware, length)
    if peak > int(hardware.device_memory_bytes * (1 - engine["memory_headroom_fraction"])):
        return False
    if hardware.device == "cpu":
        return True
    return host_memory_bytes(model, layout, hardware, length) <= 0.9 * hardware.host_memory_bytes


@settings(deadline=None, max_examples=40)
# At ZeRO stage 1 the whole batch at once fits, and half of it does not.
@example("llama_7b", "8xh100", 512, 4, 0.5, {})
@given(
    option=st.sampled_from(["llama_25m", "llama_1b", "llama_7b", "mixtral_8x1b"]),
    hardware_name=st.sampled_from(["1xh100", "8xh100", "8xa10g", "16xa100_40", "8xv100", "cpu"]),
    sequence_length=st.sampled_from([512, 2048, 16384]),
    share=st.integers(1, 8),
    headroom=st.floats(0, 0.8),
    pins=st.fixed_dictionaries({}, optional=PINS),
)
def test_the_choice_is_the_best_of_the_whole_grid(
    option: str, hardware_name: str, sequence_length: int, share: int, headroom: float, pins: dict[str, Any]
) -> None:
    values, name = composed(f"model={option}", f"hardware={hardware_name}")
    hardware = resolve_hardware(values["hardware"], name, LAPTOP)
    model = plan_model(values["model"], 32_768, sequence_length)
    engine: dict[str, Any] = values["engine"] | {"memory_headroom_fraction": headroom} | pins
    train = values["train"] | {
        "sequence_length": sequence_length,
        "global_batch_tokens": sequence_length * share * hardware.world_size,
    }
    grid = _grid(hardware, engine, share)
    times = [
        step_time_s(model, layout, hardware, sequence_length)
        for layout in grid
        if _fits(model, layout, hardware, engine, sequence_length)
    ]
    if not times:
        with pytest.raises(FitError):
            choose_layout(model, hardware, engine, train)
        return
    choice = choose_layout(model, hardware, engine, train)
    assert choice.winner.step_time_s == min(times)
    assert choice.candidates == len(grid)
    for candidate in (choice.winner, *choice.alternatives):
        assert candidate.layout in grid
        assert _fits(model, candidate.layout, hardware, engine, sequence_length)
        assert candidate.step_time_s >= choice.winner.step_time_s
    for candidate in choice.rejected:
        assert candidate.layout in grid
        assert not _fits(model, candidate.layout, hardware, engine, sequence_length)


def _choose(*overrides: str) -> Choice:
    values, name = composed(*overrides)
    hardware = resolve_hardware(values["hardware"], name, LAPTOP)
    vocab_size, length = values["tokenizer"]["vocab_size"], values["train"]["sequence_length"]
    model = plan_model(values["model"], vocab_size, length)
    return choose_layout(model, hardware, values["engine"], values["train"])


def test_alternatives_are_of_other_kinds_and_in_order() -> None:
    choice = _choose("+recipe=legal_7b", "hardware=8xh100")
    ranked = [choice.winner, *choice.alternatives]
    assert len(ranked) == 5
    assert [each.step_time_s for each in ranked] == sorted(each.step_time_s for each in ranked)
    kinds = {
        (each.layout.zero_stage, each.layout.activation_checkpointing, each.layout.offload_optimizer)
        for each in ranked
    }
    assert len(kinds) == 5


def test_what_does_not_fit_is_shown_at_its_plainest() -> None:
    choice = _choose("+recipe=legal_7b", "hardware=8xh100")
    assert [each.layout.zero_stage for each in choice.rejected] == [1, 2, 3]
    for each in choice.rejected:
        assert each.layout.activation_checkpointing == "none"
        assert each.peak_memory_bytes > 0.95 * 79.6 * 1024**3


def test_of_equals_the_plainer_is_chosen() -> None:
    layout = _choose("+recipe=legal_tiny", "hardware=cpu").winner.layout
    assert (layout.zero_stage, layout.activation_checkpointing, layout.loss_chunks) == (1, "none", 1)


def test_as_many_candidates_for_any_number_of_gpus() -> None:
    few = _choose("+recipe=legal_7b", "hardware=16xh100", "train.global_batch_tokens=1048576")
    many = _choose("+recipe=legal_7b", "hardware=16384xh100", "train.global_batch_tokens=1073741824")
    assert few.candidates == many.candidates


def test_the_cheapest_uses_as_few_machines_as_pay() -> None:
    fast = _choose("+recipe=legal_7b", "hardware=64xh100")
    cheap = _choose("+recipe=legal_7b", "hardware=64xh100", "train.objective=cost")

    def cost(choice: Choice) -> float:
        return choice.winner.hardware.world_size * choice.winner.step_time_s

    assert fast.winner.hardware.nodes == 8
    assert cheap.winner.hardware.nodes < 8
    assert cost(cheap) <= cost(fast)
    assert fast.winner.step_time_s <= cheap.winner.step_time_s
    for fewer in ("8xh100", "16xh100", "32xh100"):
        assert cost(cheap) <= cost(_choose("+recipe=legal_7b", f"hardware={fewer}"))


def test_states_go_to_the_host_only_where_it_has_room() -> None:
    small = ("model=llama_1b", "hardware=1xa10g", "hardware.gpu_memory_gib=12")
    with pytest.raises(FitError):
        _choose(*small, "hardware.host_memory_gib=16")
    assert _choose(*small, "hardware.host_memory_gib=64").winner.layout.offload_optimizer == "cpu"
