from __future__ import annotations

import json
from pathlib import Path

from forge.export.model_card import model_card
from tests.export.artifacts import MIXTRAL, planned


def test_shows_measured_rivals_and_active_parameters(trained: Path) -> None:
    evaluation = json.loads((trained / "evaluation" / "evaluation.json").read_text())
    evaluation["baselines"]["xz_with_training_text_bits_per_byte"] = 1.98761
    plan = planned(MIXTRAL)
    card = model_card(plan, "fp32", evaluation, steps=6)
    assert f"{plan.model.active_parameters:,} a token" in card
    assert "| xz that has read the training text | 1.9876 |" in card
    assert "| weights here | fp32 |" in card
    assert "{" not in card
