from __future__ import annotations

import pytest

from forge.errors import SpecError
from forge.spec.search_space import Axis, read_search_space
from tests.spec.workspace import Workspace


@pytest.mark.parametrize(
    ("token", "axis"),
    [
        ("seed=3,1", Axis("seed", ("3", "1"))),
        ("+seed=choice(3,3)", Axis("seed", ("3",))),
        ("model=glob(llama_*)", Axis("model", ("llama_1b", "llama_25m", "llama_3m"))),
        ("train.z_loss=interval(0,0.5)", Axis("train.z_loss", low=0.0, high=0.5)),
        (
            "train.learning_rate=tag(log,interval(1e-5,0.01))",
            Axis("train.learning_rate", low=1e-5, high=0.01, is_log=True),
        ),
        ("seed=int(interval(1,9))", Axis("seed", low=1, high=9, step=1, is_whole=True)),
        ("seed=range(1,10,2)", Axis("seed", low=1, high=9, step=2, is_whole=True)),
        ("seed=range(9,0,-3)", Axis("seed", low=3, high=9, step=3, is_whole=True)),
        ("train.z_loss=range(0.5,1,0.25)", Axis("train.z_loss", low=0.5, high=0.75, step=0.25)),
    ],
)
def test_an_override_that_names_several_values_is_an_axis(
    workspace: Workspace, token: str, axis: Axis
) -> None:
    tokens = ["name=x", token, "evaluate.prompts=[a,b]"]
    assert read_search_space(tokens, workspace.search_path()) == ([tokens[0], tokens[2]], [axis])
    for value in axis.extremes:
        assert workspace.complaints(f"{axis.key}={value}") == ()


def test_an_axis_is_judged_by_its_ends_or_by_each_listed_value() -> None:
    assert Axis("model", ("a", "b", "c")).extremes == ("a", "b", "c")
    assert Axis("train.learning_rate", low=1e-5, high=0.01).extremes == ("1e-05", "0.01")
    assert Axis("seed", low=4, high=4, step=1, is_whole=True).extremes == ("4",)


@pytest.mark.parametrize(
    ("tokens", "line"),
    [
        (["seed=interval(2,1)"], "seed=interval(2,1): names no values: write interval(LOW,HIGH)"),
        (
            ["train.z_loss=tag(log,interval(0,1))"],
            "train.z_loss=tag(log,interval(0,1)): has no logarithm: begin above 0, or leave out tag(log,...)",
        ),
        (
            ["seed=tag(log,range(1,9,2))"],
            "seed=tag(log,range(1,9,2)): is searched by its logarithm in steps of 1 above 0: "
            "write tag(log,interval(LOW,HIGH))",
        ),
        (["seed=1,2", "seed=3,4"], "seed: names several values more than once: name them once"),
        (["model=glob(zzz*)"], "model=glob(zzz*): matches no option"),
    ],
)
def test_what_cannot_be_searched(workspace: Workspace, tokens: list[str], line: str) -> None:
    with pytest.raises(SpecError) as raised:
        read_search_space(tokens, workspace.search_path())
    assert raised.value.lines == (f"command line: {line}",)
