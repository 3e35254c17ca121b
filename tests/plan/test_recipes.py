from __future__ import annotations

import re

import pytest

from forge.resources import data_dir
from tests.plan.specs import compiled

COST = re.compile(r"Costs (?P<time>[\d.]+) (?P<unit>hours|days) and \$(?P<usd>[\d,]+) on (?P<hardware>\w+)")
PRICED = ("legal_125m", "legal_1b", "legal_7b", "code_1b")


def _comment(recipe: str) -> str:
    lines = (data_dir("recipes") / f"{recipe}.yaml").read_text(encoding="utf-8").splitlines()
    return " ".join(line.removeprefix("# ") for line in lines if line.startswith("#"))


@pytest.mark.parametrize("recipe", PRICED)
def test_the_comment_says_what_the_compiled_plan_says(recipe: str) -> None:
    said = COST.search(_comment(recipe))
    assert said is not None
    estimates = compiled(f"+recipe={recipe}", f"hardware={said['hardware']}").estimates
    seconds = float(said["time"]) * (86_400 if said["unit"] == "days" else 3_600)
    usd = float(said["usd"].replace(",", ""))
    assert seconds == pytest.approx(estimates.wall_clock_s, rel=0.03), estimates.wall_clock_s / 3600
    assert usd == pytest.approx(estimates.cost_usd, rel=0.03), estimates.cost_usd


READ = {"once": 1.0, "twice": 2.0, "3.5 times": 3.5}


@pytest.mark.parametrize("recipe", PRICED)
def test_the_comment_says_how_often_the_text_is_read(recipe: str) -> None:
    said = re.search(rf"read ({'|'.join(READ)})\b", _comment(recipe))
    assert said is not None
    passes = compiled(f"+recipe={recipe}", "hardware=8xh100").estimates.corpus_passes
    assert passes == pytest.approx(READ[said[1]], rel=0.02)


@pytest.mark.parametrize("recipe", PRICED)
def test_budgets_are_compute_optimal_or_beyond_and_the_text_is_read_at_most_four_times(recipe: str) -> None:
    plan = compiled(f"+recipe={recipe}", "hardware=8xh100")
    assert 20 <= plan.schedule.tokens / plan.model.parameters <= 30  # Hoffmann 2022
    assert plan.schedule.tokens <= 4.01 * plan.estimates.corpus_tokens  # Muennighoff 2023
    assert 500_000 <= plan.schedule.global_batch_tokens <= 4_200_000


@pytest.mark.parametrize("recipe", PRICED)
def test_a_recipe_compiles_without_its_documents(recipe: str) -> None:
    plan = compiled(f"+recipe={recipe}", "hardware=8xh100")
    assert plan.sources == ()
    assert plan.estimates.corpus_tokens == plan.spec["data"]["assumed_tokens"] > 0
