from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from forge.resources import data_dir
from tests.plan.specs import compiled

COST = re.compile(r"Costs (?P<time>[\d.]+) (?P<unit>hours|days) and \$(?P<usd>[\d,]+) on (?P<hardware>\w+)")
FREE = ("legal_tiny", "company_tiny")
"""They run on the CPU of a laptop, on documents that are at hand."""
CONTINUED = ("continue_7b",)


def _shipped() -> list[str]:
    return sorted(file.stem for file in data_dir("recipes").glob("*.yaml"))


PRICED = [recipe for recipe in _shipped() if recipe not in FREE]


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


@pytest.mark.parametrize("recipe", FREE)
def test_a_recipe_that_costs_nothing_says_so(recipe: str) -> None:
    assert COST.search(_comment(recipe)) is None
    plan = compiled(f"+recipe={recipe}", "hardware=cpu")
    assert "costs nothing" in _comment(recipe)
    assert plan.layout.device == "cpu"
    assert plan.estimates.wall_clock_s < 3600


@pytest.mark.parametrize("recipe", _shipped())
def test_a_recipe_is_short_and_opens_with_whom_it_is_for(recipe: str) -> None:
    lines = (data_dir("recipes") / f"{recipe}.yaml").read_text(encoding="utf-8").splitlines()
    opening = list(itertools.takewhile(lambda line: line.startswith("# "), lines))
    assert 2 <= len(opening) <= 4
    assert opening[0].startswith("# For ")
    assert len(lines) <= 35


READ = re.compile(r"read (?:(once)|(twice)|(?P<times>[\d.]+) times)\b")


@pytest.mark.parametrize("recipe", PRICED)
def test_the_comment_says_how_often_the_text_is_read(recipe: str) -> None:
    said = READ.search(_comment(recipe))
    assert said is not None
    times = float(said["times"] or said.lastindex or 0)
    passes = compiled(f"+recipe={recipe}", "hardware=8xh100").estimates.corpus_passes
    assert passes == pytest.approx(times, rel=0.02)


@pytest.mark.parametrize("recipe", PRICED)
def test_the_comment_says_how_many_tokens_the_text_has(recipe: str) -> None:
    said = re.search(r"\(([\d.]+)B tokens\)", _comment(recipe))
    assert said is not None
    assert (
        float(said[1]) * 1e9
        == compiled(f"+recipe={recipe}", "hardware=8xh100").spec["data"]["assumed_tokens"]
    )


@pytest.mark.parametrize("recipe", PRICED)
def test_budgets_are_compute_optimal_or_beyond_and_the_text_is_read_at_most_four_times(recipe: str) -> None:
    plan = compiled(f"+recipe={recipe}", "hardware=8xh100")
    if recipe not in CONTINUED:
        assert 20 <= plan.schedule.tokens / plan.model.active_parameters <= 30  # Hoffmann 2022
    assert plan.schedule.tokens <= 4.01 * plan.estimates.corpus_tokens  # Muennighoff 2023
    assert 500_000 <= plan.schedule.global_batch_tokens <= 4_200_000


@pytest.mark.parametrize("recipe", PRICED)
def test_a_recipe_compiles_without_its_documents(recipe: str) -> None:
    plan = compiled(f"+recipe={recipe}", "hardware=8xh100")
    assert plan.sources == ()
    assert plan.estimates.corpus_tokens == plan.spec["data"]["assumed_tokens"] > 0


def test_the_recipe_of_the_page_costs_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "ours.yaml").write_text(text)
    said = COST.search(text)
    assert said is not None
    estimates = compiled("+recipe=ours").estimates
    assert float(said["time"]) * 3600 == pytest.approx(estimates.wall_clock_s, rel=0.03)
    assert float(said["usd"]) == pytest.approx(estimates.cost_usd, rel=0.03)
    assert estimates.corpus_passes == pytest.approx(2.0, rel=0.02)
