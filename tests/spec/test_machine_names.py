from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.errors import SpecError
from forge.spec.compose import compose_spec
from forge.spec.machine_names import MOST_MACHINES, machine_document
from forge.spec.schema import spec_schema
from forge.spec.search_path import default_search_path

CHIPS: dict[str, dict[str, Any]] = {"h100": {"host_memory_gib": 2048}, "a100": {}}


@pytest.mark.parametrize(
    ("name", "nodes", "gpus", "memory_gib"),
    [
        ("1xh100", 1, 1, 256),
        ("8xh100", 1, 8, 2048),
        ("16xh100", 2, 8, 2048),
        ("16384xh100", 2048, 8, 2048),
        ("3x4xh100", 3, 4, 1024),
        ("1x16xh100", 1, 16, 4096),
    ],
)
def test_a_name_says_machines_and_gpus(name: str, nodes: int, gpus: int, memory_gib: float) -> None:
    document = machine_document(name, CHIPS.get)
    assert document is not None
    assert not document.errors
    assert document.values == {
        "defaults": ["_h100"],
        "nodes": nodes,
        "gpus_per_node": gpus,
        "host_memory_gib": memory_gib,
    }


@settings(deadline=None)
@given(st.integers(1, 8 * MOST_MACHINES))
def test_every_count_is_machines_of_eight_or_says_which_counts_are(count: int) -> None:
    document = machine_document(f"{count}xa100", CHIPS.get)
    assert document is not None
    if count <= 8 or count % 8 == 0:
        assert not document.errors
        assert document.values["nodes"] * document.values["gpus_per_node"] == count
    else:
        assert f"use {count // 8 * 8}xa100 or {(count // 8 + 1) * 8}xa100" in document.errors[0][1]


@pytest.mark.parametrize(
    "name", ["h100", "0xh100", "8h100", "x8xh100", "8x", "08xh100", "1x1x1xh100", "8xh10", "8x_h100", "cpu"]
)
def test_other_names_are_none_of_its_business(name: str) -> None:
    assert machine_document(name, CHIPS.get) is None


@pytest.mark.parametrize(
    ("option", "line"),
    [
        ("64xh10", "command line: hardware=64xh10: there is no hardware '64xh10'. did you mean 8xh100?"),
        ("8xH200", "command line: hardware=8xH200: there is no hardware '8xH200'. did you mean 8xh200?"),
        (
            "12xh100",
            "hardware=12xh100: is not a whole number of machines of 8: use 8xh100 or 16xh100, or say NODESxGPUSxh100",
        ),
        (
            "999999xh100",
            "hardware=999999xh100: 124999 machines are more than a plan may have, 16384: use at most 131072xh100",
        ),
        (
            "99999999999xh100",
            "hardware=99999999999xh100: 12499999999 machines are more than a plan may have, 16384: "
            "use at most 131072xh100",
        ),
        (
            "99999999999x4xh100",
            "hardware=99999999999x4xh100: 99999999999 machines are more than a plan may have, 16384: "
            "use at most 16384x4xh100",
        ),
        ("0xh100", "command line: hardware=0xh100: there is no hardware '0xh100'. did you mean 8xh100?"),
    ],
)
def test_what_is_wrong_with_a_name_is_one_line(option: str, line: str) -> None:
    with pytest.raises(SpecError) as caught:
        compose_spec([f"hardware={option}"])
    assert caught.value.lines == (line,)


def test_the_most_machines_are_those_of_the_schema() -> None:
    assert spec_schema().leaves["hardware", "nodes"]["maximum"] == MOST_MACHINES
    assert not [*compose_spec([f"hardware={8 * MOST_MACHINES}xh100"]).notes]


def test_lists_of_options_show_the_rule_and_not_the_parts() -> None:
    options = default_search_path().options("hardware")
    assert {"cpu", "local", "1xh100", "8xh100", "8xrtx4090"} <= set(options)
    assert not [option for option in options if option.startswith("_")]


def test_a_value_of_a_named_machine_says_where_it_comes_from() -> None:
    spec = compose_spec(["hardware=64xh100"])
    assert spec.where(("hardware", "nodes")).startswith("hardware=64xh100")
    assert spec.where(("hardware", "gpu")).startswith("conf/hardware/_h100.yaml")
