"""Complaints of the plan room get the place of the value they name."""

from __future__ import annotations

import pytest

from forge.spec.locate import located
from tests.spec.workspace import Workspace


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("train.learning_rate: is odd", "recipes/x.yaml:4: "),
        ("train.precision: is odd", "command line: "),
        ("engine.deepspeed.zero_optimization.sub_group_size: is odd", "command line: "),
        ("hardware=cpu: is odd", "recipes/x.yaml:2: "),
        ("hardware=cpu : is odd", "recipes/x.yaml:2: "),
        ("something else: is odd", ""),
        ("no colon at all", ""),
    ],
)
def test_a_line_gets_the_place_of_the_value_it_names(line: str, place: str, workspace: Workspace) -> None:
    workspace.write(
        "recipes/x.yaml", "defaults:\n  - override /hardware: cpu\ntrain:\n  learning_rate: 1.0e-3\n"
    )
    spec = workspace.compose(
        "recipe=x", "train.precision=fp32", "engine.deepspeed.zero_optimization.sub_group_size=5"
    )
    assert located(spec, line) == place + line
