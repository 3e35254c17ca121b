from __future__ import annotations

import pytest

from forge.errors import SpecError
from forge.spec.sweep import MAX_POINTS, expand_sweep
from tests.spec.workspace import Workspace

NO_VALUES = "names no values: write range(START,STOP,STEP) with a step that leads from START to STOP"


def _points(workspace: Workspace, *tokens: str) -> list[list[str]]:
    return expand_sweep(tokens, workspace.search_path())


def test_every_combination_is_a_point_the_last_one_fastest(workspace: Workspace) -> None:
    assert _points(workspace, "seed=1,2", "train.steps=5", "model=llama_3m,llama_1b") == [
        ["seed=1", "train.steps=5", "model=llama_3m"],
        ["seed=1", "train.steps=5", "model=llama_1b"],
        ["seed=2", "train.steps=5", "model=llama_3m"],
        ["seed=2", "train.steps=5", "model=llama_1b"],
    ]


@pytest.mark.parametrize(
    ("token", "values"),
    [
        ("seed=range(1,4)", ["1", "2", "3"]),
        ("seed=range(6,0,-2)", ["6", "4", "2"]),
        ("train.weight_decay=range(0,0.3,0.1)", ["0.0", "0.1", "0.2"]),
        ("seed=choice(3,1)", ["3", "1"]),
        ("train.learning_rate=1e-3,0.01", ["0.001", "0.01"]),
        ("data.path='a b','c, d'", ["'a b'", "'c, d'"]),
        ("evaluate.prompts=[a],[b,c]", ["[a]", "[b,c]"]),
        ("model=glob(llama_*)", ["llama_1b", "llama_25m", "llama_3m"]),
        ("train.checkpoint_every_steps=null,5", ["null", "5"]),
        ("+seed=1,2", ["1", "2"]),
    ],
)
def test_an_override_names_its_values(workspace: Workspace, token: str, values: list[str]) -> None:
    key = token.partition("=")[0].lstrip("+")
    points = _points(workspace, token)
    assert points == [[f"{key}={value}"] for value in values]
    for point in points:
        assert workspace.complaints(*point) == ()


def test_recipes_can_be_swept_over(workspace: Workspace) -> None:
    for name in ("a", "b"):
        workspace.write(f"recipes/{name}.yaml", f"name: {name}\n")
    assert _points(workspace, "+recipe=a,b") == [["recipe=a"], ["recipe=b"]]
    assert _points(workspace, "recipe=glob(*)") == [["recipe=a"], ["recipe=b"]]


def test_without_several_values_there_is_one_point_as_typed(workspace: Workspace) -> None:
    tokens = ["+seed=1", "data.path=/a b", "evaluate.prompts=[a,b]", "data.path=/übung"]
    assert _points(workspace, *tokens) == [tokens]
    assert _points(workspace) == [[]]


@pytest.mark.parametrize(
    ("tokens", "line"),
    [
        (
            ["seed=interval(0,1)"],
            "seed=interval(0,1): has no end: name the values, write range(START,STOP,STEP), "
            "or search it with sweep.method=optuna",
        ),
        (["seed=range(1,1e12)"], "seed=range(1,1e12): names more than 1000 values"),
        (["seed=range(0,1,1e-9)"], "seed=range(0,1,1e-9): names more than 1000 values"),
        (
            ["seed=shuffle(range(0,999999999))"],
            "seed=shuffle(range(0,999999999)): names more than 1000 values",
        ),
        (
            ["seed=range(1,5,0)"],
            f"seed=range(1,5,0): {NO_VALUES}",
        ),
        (
            ["seed=range(5,1)"],
            f"seed=range(5,1): {NO_VALUES}",
        ),
        (
            ["seed=range(0,inf)"],
            f"seed=range(0,inf): {NO_VALUES}",
        ),
        (
            ["seed=choice([choice(1,2)],5)"],
            "seed=choice([choice(1,2)],5): values to run one after the other cannot stand inside a list",
        ),
        (["model=glob(zzz*)"], "model=glob(zzz*): matches no option"),
        (["seed"], "seed: is not an override: write seed=VALUE, without spaces around ="),
        (
            ["seed=range(0,100)", "train.steps=range(1,12)"],
            "seed=range(0,100) train.steps=range(1,12): name more than 1000 runs together: name fewer values",
        ),
    ],
)
def test_what_cannot_be_run_one_after_the_other(workspace: Workspace, tokens: list[str], line: str) -> None:
    with pytest.raises(SpecError) as raised:
        _points(workspace, *tokens)
    assert raised.value.lines == (f"command line: {line}",)


def test_a_wrong_key_is_left_to_composing(workspace: Workspace) -> None:
    points = _points(workspace, "größe=1,2", "a b=ü")
    assert points == [["größe=1", "a b=ü"], ["größe=2", "a b=ü"]]
    assert len(workspace.complaints(*points[0])) == 2


def test_all_mistakes_are_told(workspace: Workspace) -> None:
    with pytest.raises(SpecError) as raised:
        _points(workspace, "foo", "seed=interval(0,1)", "bar")
    assert len(raised.value.lines) == 3


def test_as_many_points_as_the_limit_are_fine(workspace: Workspace) -> None:
    assert len(_points(workspace, f"seed=range(0,{MAX_POINTS})")) == MAX_POINTS
