from __future__ import annotations

from typing import Any

import pytest

from forge.engine.identity import training_id
from tests.factories import tiny_plan

BASE = tiny_plan(layout={"micro_batch_sequences": 4, "gradient_accumulation_steps": 2})


@pytest.mark.parametrize(
    "change",
    [
        {"layout": {"micro_batch_sequences": 4, "processes_per_node": 2}},
        {"layout": {"micro_batch_sequences": 8, "zero_stage": 3, "activation_checkpointing": "full"}},
        {
            "layout": {"micro_batch_sequences": 2, "gradient_accumulation_steps": 4},
            "schedule": {"checkpoint_every_steps": 5, "keep_checkpoints": 9, "log_every_steps": 3},
        },
    ],
)
def test_layout_and_watching_make_no_other_training(change: dict[str, Any]) -> None:
    assert training_id(tiny_plan(**change)) == training_id(BASE)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8},
        {"model": {"rope_theta": 5e5}},
        {"schedule": {"learning_rate": 1e-3}},
        {"schedule": {"steps": 7}},
        {"layout": {"micro_batch_sequences": 4, "gradient_accumulation_steps": 2, "precision": "bf16"}},
        {"layout": {"micro_batch_sequences": 4}},
    ],
)
def test_what_changes_losses_makes_another_training(change: dict[str, Any]) -> None:
    layout = {"micro_batch_sequences": 4, "gradient_accumulation_steps": 2}
    assert training_id(tiny_plan(**({"layout": layout} | change))) != training_id(BASE)
