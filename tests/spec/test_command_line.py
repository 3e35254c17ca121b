from __future__ import annotations

from typing import Any

import pytest

from forge.spec.command_line import MAX_TOKEN_CHARACTERS, read_command_line
from forge.spec.schema import spec_schema
from tests.spec.workspace import Workspace


def _read(workspace: Workspace, *tokens: str) -> Any:
    line = read_command_line(tokens, workspace.search_path(), spec_schema())
    assert line.problems == []
    return line


def _value(workspace: Workspace, token: str) -> Any:
    (setting,) = _read(workspace, token).settings
    return setting.value


@pytest.mark.parametrize(
    ("token", "value"),
    [
        # Paths as people type them, after the shell took the quotes away.
        ("data.path=/my/folder", "/my/folder"),
        ("data.path=/my/folder with spaces", "/my/folder with spaces"),
        ("data.path=~/x", "~/x"),
        ("data.path=./x-1_2.3", "./x-1_2.3"),
        ("data.path=../x", "../x"),
        ("data.path=C:\\Users\\me\\docs", "C:\\Users\\me\\docs"),
        ("data.path=C:\\Users\\Müller\\docs", "C:\\Users\\Müller\\docs"),
        ("data.path=/home/joe's docs", "/home/joe's docs"),
        ('data.path=/a "quoted" b', '/a "quoted" b'),
        ("data.path=/docs (old)", "/docs (old)"),
        ("data.path=/docs [2024]", "/docs [2024]"),
        ("data.path=/docs {a}", "/docs {a}"),
        ("data.path=/a&b;c#d!e", "/a&b;c#d!e"),
        ("data.path=/übung/日本/🙂", "/übung/日本/🙂"),
        ("data.path=a:b=c", "a:b=c"),
        ("data.path=package:acme/data", "package:acme/data"),
        ("data.path='/x=y,z'", "/x=y,z"),
        ('data.path="/x, y"', "/x, y"),
        ("data.path=[a,b c,'d, e']", ["a", "b c", "d, e"]),
        ("data.path=null", None),
        # Names that look like something else.
        ("data.path=2024", "2024"),
        ("data.path=007", "007"),
        ("data.path=1e5", "1e5"),
        ("data.path=true", "true"),
        ("data.path=nan", "nan"),
        ("name=legal-2", "legal-2"),
        ("name=2024", "2024"),
        ("name=1_000", "1_000"),
        ("hardware.price_source=May 2026: list", "May 2026: list"),
        # Numbers.
        ("train.steps=1e3", 1000.0),
        ("train.tokens=1_500_000", 1_500_000),
        ("train.learning_rate=.003", 0.003),
        ("train.learning_rate=3E-3", 0.003),
        ("train.checkpoint_every_steps=null", None),
        ("model.tied_embeddings=False", False),
        ("engine.zero_stage=auto", "auto"),
        ("engine.zero_stage=2", 2),
        # Lists and mappings.
        ('evaluate.prompts=["a b","c"]', ["a b", "c"]),
        ("evaluate.prompts=[a b, c]", ["a b", "c"]),
        ("evaluate.prompts=[]", []),
        ("evaluate.prompts=['it\\'s']", ["it's"]),
        ("data.metadata_allow={category:[a,b]}", {"category": ["a", "b"]}),
        ("data.metadata_allow.category=[a b,c]", ["a b", "c"]),
        # Hydra's functions that give one value.
        ("train.steps=int(3.7)", 3),
        ("name=str(8)", "8"),
        ("evaluate.prompts=sort([b,a])", ["a", "b"]),
        # References and empty text.
        ("train.steps=${train.tokens}", "${train.tokens}"),
        ("name=x-${seed}", "x-${seed}"),
        ("data.path=", ""),
    ],
)  # fmt: skip
def test_a_value_is_what_was_meant(workspace: Workspace, token: str, value: Any) -> None:
    read = _value(workspace, token)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("prefix", ["", "+", "++"])
def test_a_plus_changes_nothing(workspace: Workspace, prefix: str) -> None:
    workspace.write("recipes/x.yaml", "seed: 1\n")
    line = _read(workspace, f"{prefix}recipe=x", f"{prefix}seed=3", f"{prefix}model=llama_3m")
    assert line.recipe == "x"
    assert [(setting.key, setting.value) for setting in line.settings] == [(("seed",), 3)]
    assert line.choices == {"model": "llama_3m"}


def test_quotes_around_a_name_are_no_part_of_it(workspace: Workspace) -> None:
    workspace.write("recipes/x.yaml", "seed: 1\n")
    line = _read(workspace, "recipe='x'", 'model="llama_3m"')
    assert (line.recipe, line.choices) == ("x", {"model": "llama_3m"})


def test_the_last_of_two_values_counts(workspace: Workspace) -> None:
    spec = workspace.compose("seed=3", "train.steps=null", "seed=4", "train.steps=null")
    assert spec.values["seed"] == 4
    assert spec.notes == ("command line: seed: is given more than once: the last counts, 4",)


def test_the_same_twice_is_once(workspace: Workspace) -> None:
    workspace.write("recipes/x.yaml", "seed: 1\n")
    line = _read(workspace, "recipe=x", "+recipe=x", "model=llama_3m", "model=llama_3m")
    assert (line.recipe, line.choices) == ("x", {"model": "llama_3m"})


def test_what_is_good_is_usable_beside_what_is_not(workspace: Workspace) -> None:
    line = read_command_line(
        ["seed=3", "foo", "model=llama_3m", "x=1"], workspace.search_path(), spec_schema()
    )
    assert line.settings[0].value == 3
    assert line.choices == {"model": "llama_3m"}
    assert len(line.problems) == 2


NO_KEY = "is not a key: a key is letters, digits, - and _, from a letter"


@pytest.mark.parametrize(
    ("token", "shown", "what"),
    [
        ("", "''", "is not an override: write KEY=VALUE, without spaces around ="),
        ("  ", "'  '", "is not an override: write KEY=VALUE, without spaces around ="),
        ("recipe", "recipe", "is not an override: write recipe=NAME, without spaces around ="),
        ("\x1b[31mseed=1", "\\x1b[31mseed=1", "holds control characters: remove them"),
        ("name=a\x00b", "name=a\\x00b", "holds control characters: remove them"),
        ("name=\udc80", "name=\\udc80", "holds control characters: remove them"),
        ("seed=\u202e1", "seed=\\u202e1", "holds control characters: remove them"),
        ("seed=" + "9" * 5000, "seed=" + "9" * 72 + "...", "is too large a number"),
        ("seed=-" + "9" * 41, "seed=-" + "9" * 41, "is too large a number"),
        (
            "evaluate.prompts=" + "[" * 300,
            "evaluate.prompts=" + "[" * 60 + "...",
            "holds more than 200 brackets",
        ),
        ("name=" + "x" * MAX_TOKEN_CHARACTERS, "name=" + "x" * 72 + "...", "is longer than 10000 characters"),
        (
            "data.path=[a,range(1,3)]",
            "data.path=[a,range(1,3)]",
            "values to run one after the other cannot stand inside a list",
        ),
        (
            "data.path=[glob(*)]",
            "data.path=[glob(*)]",
            "values to run one after the other cannot stand inside a list",
        ),
        ("data.metadata_allow={1:[a]}", "data.metadata_allow={1:[a]}", f"'1' {NO_KEY}"),
        ("data.metadata_allow={a.b:[a]}", "data.metadata_allow={a.b:[a]}", f"'a.b' {NO_KEY}"),
    ],
    ids=range(15),
)
def test_what_no_file_can_hold(workspace: Workspace, token: str, shown: str, what: str) -> None:
    assert workspace.complaints(token) == (f"command line: {shown}: {what}",)


@pytest.mark.parametrize(
    ("typed", "written"), [("1B", "1e9"), ("1.5b", "1.5e9"), ("900k", "900e3"), ("'3 T'", "3e12")]
)
def test_a_number_as_papers_write_it_is_told_how_to_write(
    workspace: Workspace, typed: str, written: str
) -> None:
    (line,) = workspace.complaints(f"train.tokens={typed}")
    assert f"is not a whole number or null: write {written}" in line
    assert workspace.complaints(f"train.tokens={written}") == ()


def test_a_newline_inside_a_value_stays_one_line_in_a_message(workspace: Workspace) -> None:
    assert workspace.complaints("seed=a\nb") == (
        "command line: seed: 'a\\nb' is not a whole number (over conf/config.yaml:17)",
    )
