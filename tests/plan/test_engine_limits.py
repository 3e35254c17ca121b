from __future__ import annotations

from dataclasses import replace

import pytest

from forge.errors import SpecError
from forge.plan.engine_limits import check_carried_out
from tests.plan.specs import compiled

LONG = (
    "model=llama_7b",
    "hardware=64xh100",
    "train.sequence_length=131072",
    "train.global_batch_tokens=4194304",
    "engine.activation_checkpointing=selective",
)


def test_sequences_over_devices_are_planned_for_devices_that_deepspeed_knows_as_replicas() -> None:
    plan = compiled(*LONG, "engine.sequence_parallel_degree=8")
    assert plan.layout.sequence_parallel_degree == 8
    micro, accumulated = plan.layout.micro_batch_sequences, plan.layout.gradient_accumulation_steps
    assert micro * accumulated * 64 // 8 == plan.schedule.global_batch_sequences
    assert plan.deepspeed["train_batch_size"] == 8 * plan.schedule.global_batch_sequences
    check_carried_out(plan.layout)
    with pytest.raises(SpecError, match="flash attention can be planned and not yet run"):
        check_carried_out(replace(plan.layout, attention="flash"))


def test_more_devices_to_a_sequence_need_less_memory_each() -> None:
    pins = ("zero_stage=3", "micro_batch_sequences=1", "loss_chunks=8", "offload_optimizer=none")
    pinned = (*LONG, *(f"engine.{pin}" for pin in pins))
    peaks = [
        compiled(*pinned, f"engine.sequence_parallel_degree={degree}").estimates.peak_memory_bytes
        for degree in (16, 32)
    ]
    assert peaks == sorted(peaks, reverse=True)
    assert peaks[0] > 1.3 * peaks[1]


def test_nvme_is_slower_than_the_host_and_takes_less_of_it() -> None:
    host, nvme = (
        compiled(
            "model=llama_7b",
            "hardware=1xh100",
            "engine.zero_stage=3",
            f"engine.offload_optimizer={place}",
            "engine.offload_parameters=none",
        )
        for place in ("cpu", "nvme")
    )
    assert nvme.estimates.step_time_s > host.estimates.step_time_s
    assert sum(item.bytes for item in nvme.estimates.host_memory) < sum(
        item.bytes for item in host.estimates.host_memory
    )
    assert nvme.deepspeed["zero_optimization"]["offload_optimizer"]["nvme_path"] == "nvme"
    check_carried_out(nvme.layout)
    disk = {item.name: item.bytes for item in nvme.estimates.disk}
    assert disk["states and parameters on disk"] == 16 * nvme.model.parameters
    assert "states and parameters on disk" not in {item.name for item in host.estimates.disk}


def test_parameters_on_nvme_have_buffers_that_any_weight_fits_in() -> None:
    plan = compiled(
        *("model=llama_7b", "hardware=8xh100", "engine.zero_stage=3"),
        *("engine.offload_optimizer=nvme", "engine.offload_parameters=nvme"),
    )
    model, zero = plan.model, plan.deepspeed["zero_optimization"]
    largest = max(model.vocab_size, model.intermediate_size) * model.hidden_size
    assert zero["offload_param"]["buffer_size"] == largest / 8
    assert zero["offload_param"]["max_in_cpu"] == 0
    disk = {item.name: item.bytes for item in plan.estimates.disk}
    assert disk["states and parameters on disk"] == (16 + 2) * model.parameters


def test_what_depends_on_links_and_disks_is_never_chosen() -> None:
    layout = compiled("model=llama_7b", "hardware=1xh100").layout
    assert layout.sequence_parallel_degree == 1
    assert "nvme" not in (layout.offload_optimizer, layout.offload_parameters)
