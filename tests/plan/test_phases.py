from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.errors import SpecError
from forge.plan.phases import plan_phases, stream_tokens
from forge.plan.types import PhasePlan, SourcePlan, load_plan, plan_to_json
from forge.spec.compose import compose_spec
from forge.spec.schema import validator
from tests.plan.specs import compiled

SOURCES = (SourcePlan("general", 3, 9_000, "a" * 64), SourcePlan("fine", 1, 1_000, "b" * 64))


def planned(phases: list[dict[str, Any]], steps: int = 100) -> tuple[PhasePlan, ...]:
    return plan_phases({"phases": phases}, steps, 10, SOURCES)


def test_ninety_percent_general_and_then_ten_percent_of_the_best() -> None:
    general, fine = {"general": 1.0, "fine": 0.0}, {"general": 0.1, "fine": 2.0}
    expected = (PhasePlan(1, 90, general), PhasePlan(91, 10, fine))
    weights = {"source_weights": [1.0, 0.0]}, {"source_weights": [0.1, 2.0]}
    assert planned([{"fraction": 0.9} | weights[0], {"fraction": 0.1} | weights[1]]) == expected
    # Tokens are of whole steps, as those of the budget are.
    assert planned([{"tokens": 896} | weights[0], {"tokens": 100} | weights[1]]) == expected
    assert plan_phases({"phases": None}, 100, 10, SOURCES) == ()


@given(parts=st.lists(st.integers(1, 50), min_size=1, max_size=8), steps=st.integers(50, 10_000))
def test_phases_follow_each_other_and_fill_the_run(parts: list[int], steps: int) -> None:
    phases = [{"fraction": part / sum(parts), "source_weights": [1.0, 1.0]} for part in parts]
    if steps * min(parts) < sum(parts):
        return
    found = planned(phases, steps)
    assert found[0].first_step == 1
    for one, other in itertools.pairwise(found):
        assert other.first_step == one.first_step + one.steps
    assert sum(phase.steps for phase in found) == steps
    for phase, part in zip(found, parts, strict=True):
        assert abs(phase.steps - steps * part / sum(parts)) <= 1


@pytest.mark.parametrize(
    ("phases", "said"),
    [
        ([{"fraction": 0.999, "w": 2}, {"fraction": 0.001, "w": 2}], "phase 2 is less than one of the run's"),
        ([{"tokens": 990, "w": 2}], "the phases have 990 tokens, and the run 1000"),
        ([{"tokens": 1_001, "w": 2}], "the phases have 1001 tokens, and the run 1000"),
        ([{"fraction": 1.0, "w": 3}], "phase 1: source_weights: 3 weights for 2 sources of data.path"),
    ],
)
def test_what_does_not_fit_the_run_is_one_line(phases: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        planned([phase | {"source_weights": [1.0] * phase["w"]} for phase in phases])
    assert len(caught.value.lines) == 1


ALL = "train.phases=[{fraction:1,source_weights:[1]}]"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("train.phases=[]",), "train.phases: is an empty list: give one"),
        (
            ("train.phases=[{fraction:0.5,source_weights:[1]}]",),
            "train.phases: the fractions add up to 0.5: make it 1",
        ),
        (
            ("train.phases=[{source_weights:[1]}]",),
            "train.phases: phase 1 has neither fraction nor tokens: give one of them",
        ),
        (
            ("train.phases=[{fraction:1,tokens:9,source_weights:[1]}]",),
            "train.phases: phase 1 has both fraction and tokens: give one of them",
        ),
        (
            ("train.phases=[{fraction:1,source_weights:[1]},{tokens:9,source_weights:[1]}]",),
            "train.phases: phase 1 is given as fraction, phase 2 as tokens: give all in one way",
        ),
        (
            ("train.phases=[{fraction:1,source_weights:[0]}]",),
            "train.phases: phase 1 reads nothing: give one of its source_weights above 0",
        ),
        (("train.phases=[{fraction:1}]",), "train.phases[0].source_weights: is missing: give one"),
        (
            ("train.phases=[{fraction:1,weights:[1],source_weights:[1]}]",),
            "train.phases[0].weights: no such key: it has fraction, tokens, source_weights",
        ),
        (
            ("train.phases=[{fraction:1,source_weights:[1,x]}]",),
            "train.phases[0].source_weights[1]: 'x' is not a number",
        ),
        (
            ("train.phases=[{fraction:1.5,source_weights:[1]}]",),
            "train.phases[0].fraction: 1.5 is above the most allowed, 1",
        ),
        (("train.phases=[3]",), "train.phases[0]: 3 is not a mapping"),
        (
            (ALL, "data.source_weights=[1]"),
            "sources are weighted in train.phases and in data.source_weights",
        ),
    ],
)
def test_a_mistake_in_phases_is_one_line_with_its_place(overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        compose_spec(overrides)
    (line,) = caught.value.lines
    assert line.startswith("command line: ")  # the place
    assert said in line


def test_a_plan_holds_its_phases_and_so_do_its_tokens(tmp_path: Path) -> None:
    phases = "train.phases=[{fraction:0.75,source_weights:[1,0]},{fraction:0.25,source_weights:[0.5,2]}]"
    plan = compiled(phases, "train.steps=8", "hardware=cpu", sources=SOURCES)
    assert [(phase.first_step, phase.steps) for phase in plan.schedule.phases] == [(1, 6), (7, 2)]
    weights = [{"general": 1.0, "fine": 0.0}, {"general": 0.5, "fine": 2.0}]
    assert [phase.source_weights for phase in plan.schedule.phases] == weights
    assert plan.stage("tokens").parameters["phases"] == weights
    assert not list(validator("plan").iter_errors(json.loads(plan_to_json(plan))))
    (tmp_path / "plan.json").write_text(plan_to_json(plan))
    assert load_plan(tmp_path / "plan.json") == plan
    # Another length of the run leaves the tokens as they are.
    longer = compiled(phases, "train.steps=80", "hardware=cpu", sources=SOURCES)
    assert longer.stage("tokens").key == plan.stage("tokens").key
    assert longer.stage("train").key != plan.stage("train").key


def test_whole_numbers_and_fractions_of_one_value_make_one_plan() -> None:
    one, other = (
        compiled(f"train.phases=[{{fraction:{share},source_weights:[{share}]}}]", "hardware=cpu")
        for share in ("1", "1.0")
    )
    assert one.id == other.id


def test_the_stream_has_a_segment_for_each_phase() -> None:
    phases = (PhasePlan(1, 5, {"general": 1.0, "fine": 0.0}), PhasePlan(6, 5, {"general": 0.5, "fine": 4.0}))
    assert stream_tokens(phases, SOURCES, 100) == 90 + 45 + 40
    assert stream_tokens((), SOURCES, 100) == 100
    assert stream_tokens(phases, (), 100) == 100
