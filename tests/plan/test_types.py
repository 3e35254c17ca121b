from __future__ import annotations

import json
from pathlib import Path

import pytest

from forge.errors import SpecError
from forge.plan.types import Plan, content_hash, load_plan, plan_to_json
from tests.factories import tiny_plan
from tests.plan.specs import compiled


def _written(folder: Path, text: str) -> Path:
    path = folder / "plan.json"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "plan", [tiny_plan(), compiled("+recipe=legal_7b", "hardware=8xh100")], ids=["hand", "compiled"]
)
def test_a_plan_comes_back_from_its_file_as_it_was(plan: Plan, tmp_path: Path) -> None:
    text = plan_to_json(plan)
    again = load_plan(_written(tmp_path, text))
    assert again == plan
    assert plan_to_json(again) == text


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda plan: plan | {"seed": 99}, "was changed after it was compiled"),
        (
            lambda plan: plan | {"layout": plan["layout"] | {"zero_stage": 2}},
            "was changed after it was compiled",
        ),
        (lambda plan: plan | {"extra": 1}, "unknown field extra"),
        (lambda plan: {key: value for key, value in plan.items() if key != "model"}, "is not a whole plan"),
        (lambda plan: plan | {"model": []}, "is not a whole plan"),
        (lambda plan: plan | {"format": 99}, "is not a plan of format"),
        (lambda plan: [plan], "is not a plan of format"),
    ],
)
def test_a_file_that_is_not_the_plan_it_says_is_refused(
    change: object, complaint: str, tmp_path: Path
) -> None:
    content = change(json.loads(plan_to_json(tiny_plan())))  # type: ignore[operator]
    with pytest.raises(SpecError, match=complaint) as caught:
        load_plan(_written(tmp_path, json.dumps(content)))
    assert len(str(caught.value).splitlines()) == 1


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read"):
        load_plan(tmp_path / "missing.json")
    with pytest.raises(SpecError, match="is not JSON"):
        load_plan(_written(tmp_path, "{"))


def test_the_hash_is_of_the_content_not_of_its_order() -> None:
    assert content_hash({"a": 1, "b": [1.5, "ä"]}) == content_hash({"b": [1.5, "ä"], "a": 1})
    assert content_hash({"a": 1}) != content_hash({"a": 2})
    with pytest.raises(ValueError, match="JSON"):
        content_hash({"a": float("nan")})
