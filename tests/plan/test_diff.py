from __future__ import annotations

from dataclasses import replace

import pytest

from forge.plan.diff import Change, diff_plans
from forge.plan.types import SourcePlan
from tests.plan.specs import compiled

BASE = ("+recipe=legal_7b", "hardware=8xh100")


def test_a_plan_does_not_differ_from_itself() -> None:
    assert diff_plans(compiled(*BASE), compiled(*BASE)).empty


def test_another_learning_rate_changes_training_and_nothing_of_the_estimate() -> None:
    diff = diff_plans(compiled(*BASE), compiled(*BASE, "train.learning_rate=1e-4"))
    assert diff.asked == (Change("train.learning_rate", 3e-4, 1e-4),)
    assert {change.key for change in diff.decided} == {"schedule.learning_rate", "schedule.min_learning_rate"}
    assert diff.effects == ()
    assert diff.stages == ("train", "evaluate", "export")


def test_another_machine_changes_time_and_cost() -> None:
    diff = diff_plans(compiled(*BASE), compiled("+recipe=legal_7b", "hardware=64xh100"))
    assert Change("hardware.nodes", 1, 8) in diff.asked
    assert Change("layout.world_size", 8, 64) in diff.decided
    ratios = {effect.name: effect.ratio for effect in diff.effects}
    assert ratios["wall-clock time"] is not None
    assert 1 / 9 < ratios["wall-clock time"] < 1 / 4
    assert ratios["cost"] == pytest.approx(8 * ratios["wall-clock time"])


def test_what_only_one_plan_knows_has_no_ratio() -> None:
    diff = diff_plans(compiled(*BASE), compiled("+recipe=legal_7b", "hardware=8xb200"))
    (cost,) = [effect for effect in diff.effects if effect.name == "cost"]
    assert cost.before is not None
    assert (cost.after, cost.ratio) == (None, None)


def test_documents_and_code_are_compared_too() -> None:
    first = SourcePlan("/a", 1, 10, "0" * 64)
    before = compiled(*BASE, sources=(first,))
    after = replace(compiled(*BASE, sources=(first, SourcePlan("/b", 2, 20, "1" * 64))), forge_version="9.9")
    diff = diff_plans(before, after)
    assert Change("documents./b", None, "2 files, 20 bytes, 111111111111") in diff.asked
    assert Change("forge", before.forge_version, "9.9") in diff.asked
    assert diff.stages[0] == "lake"


def test_a_key_of_deepspeeds_that_one_plan_has_is_a_change() -> None:
    override = "engine.deepspeed.wall_clock_breakdown=true"
    diff = diff_plans(compiled(*BASE), compiled(*BASE, override))
    assert Change("engine.deepspeed.wall_clock_breakdown", None, True) in diff.asked
    assert Change("deepspeed.wall_clock_breakdown", False, True) in diff.decided
