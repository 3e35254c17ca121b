from __future__ import annotations

import pytest

from tests.plan.specs import compiled


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_no_bucket_is_left_to_deepspeeds_defaults(stage: int) -> None:
    plan = compiled("+recipe=legal_1b", "hardware=8xh100", f"engine.zero_stage={stage}")
    zero = plan.deepspeed["zero_optimization"]
    assert zero["stage"] == stage
    assert zero["reduce_bucket_size"] == plan.layout.bucket_bytes // 2
    if stage == 3:
        for key in (
            "prefetch_bucket_size",
            "max_live_parameters",
            "max_reuse_distance",
            "param_persistence_threshold",
        ):
            assert 0 < zero[f"stage3_{key}"] <= 1e9


def test_the_config_repeats_the_layout() -> None:
    plan = compiled("+recipe=legal_1b", "hardware=8xh100")
    config, layout = plan.deepspeed, plan.layout
    assert config["train_micro_batch_size_per_gpu"] == layout.micro_batch_sequences
    assert config["gradient_accumulation_steps"] == layout.gradient_accumulation_steps
    assert config["gradient_clipping"] == plan.schedule.gradient_clip
    assert config["bf16"]["enabled"] is (layout.precision == "bf16")


def test_optimizer_states_on_the_host_are_in_the_config_where_they_are_in_the_layout() -> None:
    host = compiled("+recipe=legal_1b", "hardware=8xh100", "engine.offload_optimizer=cpu")
    device = compiled("+recipe=legal_1b", "hardware=8xh100", "engine.offload_optimizer=none")
    assert host.deepspeed["zero_optimization"]["offload_optimizer"]["device"] == "cpu"
    assert "offload_optimizer" not in device.deepspeed["zero_optimization"]
