"""Whatever is written or typed, there is either a spec or a SpecError."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from forge.errors import SpecError
from forge.spec.schema import spec_schema
from forge.spec.show import explain, spec_to_yaml
from forge.spec.sweep import MAX_POINTS, expand_sweep
from forge.spec.types import dotted
from tests.spec.workspace import Workspace

SCHEMA = spec_schema()
KEYS = [dotted(key) for key in SCHEMA.leaves]
WORDS = [
    *SCHEMA.groups,
    *KEYS,
    "recipe",
    "hydra",
    "defaults",
    "llama_3m",
    "8xh100",
    "x",
    "y",
    "override /model",
    "train",
]

relaxed = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

yaml_text = st.text() | st.lists(
    st.sampled_from(
        [
            *WORDS, "\n", "\n  ", "\n    ", ": ", ":\n  ", "- ", "[", "]", "{", "}", ", ", "'", '"', "${", "}", "#",
            "0", "1", "-1", "0.5", "1e5", ".nan", ".inf", "null", "true", "&a ", "*a", "!!str ", "<<", "|", ">", "@",
            "%", "`", "\t", "\r\n", "---\n", "..", "/", "~", "ä", "\x1b", "\x00", "\u202e", "\ufeff", "_self_",
        ]
    ),
    max_size=30,
).map("".join)  # fmt: skip

PIECES = [
    *WORDS, "=", "==", "+", "++", "~", "@", ".", "/", ",", "[", "]", "{", "}", "(", ")", ":", "'", '"', "\\", "${",
    "$", " ", "range", "choice", "glob", "interval", "shuffle", "sort", "int", "float", "str", "*", "1", "-1", "1e999",
    "nan", "null", "true", "ä", "\n", "\x1b", "\udc80", "?", "|", "%", "-", "--",
]  # fmt: skip
tokens = st.lists(
    st.text(max_size=30)
    | st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
    | st.tuples(st.sampled_from(WORDS), st.text(max_size=20)).map("=".join),
    max_size=4,
)

KNOWN_VALUES = [
    "auto",
    "none",
    "full",
    "bf16",
    "cosine",
    "wsd",
    "hf",
    "mixtral",
    "gpu",
    "cpu",
    "???",
    "${seed}",
]
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["auto", "none", "full", "bf16", "cosine", "wsd", "hf", "mixtral", "gpu", "cpu", "???", "${seed}"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


def _either(workspace: Workspace, *overrides: str) -> None:
    """Compose: there is a spec that can be shown and explained, or clean lines, and no warning of any library."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lines = workspace.complaints(*overrides)
        for line in lines:
            assert "\n" not in line
            assert ": " in line
            line.encode("utf-8")
        assert len(set(lines)) == len(lines)
        if not lines:
            spec = workspace.compose(*overrides)
            assert yaml.safe_load(spec_to_yaml(spec)) == spec.values
            for group in spec.choices:
                assert explain(spec, group)


@relaxed
@given(yaml_text)
@example("a:\n  b.c: 1\na: 3\n")
@example("defaults:\n  - x\n  - x\n")
def test_any_text_as_a_recipe(workspace: Workspace, text: str) -> None:
    workspace.write("recipes/x.yaml", text.encode("utf-8", "surrogatepass"))
    _either(workspace, "recipe=x")


@relaxed
@given(st.binary(max_size=200))
def test_any_bytes_as_a_recipe(workspace: Workspace, content: bytes) -> None:
    workspace.write("recipes/x.yaml", content)
    _either(workspace, "recipe=x")


@relaxed
@given(yaml_text, yaml_text)
def test_any_two_recipes_that_extend_each_other(workspace: Workspace, one: str, other: str) -> None:
    workspace.write("recipes/x.yaml", "defaults: [y]\n" + one.replace("\x00", ""))
    workspace.write("recipes/y.yaml", other)
    _either(workspace, "recipe=x", "train=short")


@relaxed
@given(tokens)
@example(["train/learning_rate=3"])
@example(["evaluate.prompts=[choice(a,b)]"])
@example(["seed=" + "9" * 5000])
@example(["train.tokens.x=1", "train.tokens=2"])
@example(["data.metadata_allow={a:{b:[c]}}", "data.metadata_allow.a=[d]"])
def test_any_words_on_the_command_line(workspace: Workspace, words: list[str]) -> None:
    _either(workspace, *words)


@relaxed
@given(tokens)
def test_any_words_as_a_sweep(workspace: Workspace, words: list[str]) -> None:
    try:
        points = expand_sweep(words, workspace.search_path())
    except SpecError:
        return
    assert 1 <= len(points) <= MAX_POINTS
    assert all(len(point) == len(words) for point in points)


@settings(relaxed, max_examples=80)
@given(st.dictionaries(st.sampled_from(KEYS), anything, min_size=1, max_size=4))
def test_any_value_in_any_key_of_a_recipe(workspace: Workspace, values: dict[str, Any]) -> None:
    tree: dict[str, Any] = {}
    for key, value in values.items():
        group, _, name = key.rpartition(".")
        (tree.setdefault(group, {}) if group else tree)[name] = value
    workspace.write("recipes/x.yaml", yaml.safe_dump(tree, allow_unicode=True))
    _either(workspace, "recipe=x")


@settings(relaxed, max_examples=80)
@given(st.sampled_from(KEYS), anything)
def test_any_value_in_any_key_of_one_s_own_conf(workspace: Workspace, key: str, value: Any) -> None:
    group, _, name = key.rpartition(".")
    if not group:
        return
    base = {"train": "pretrain", "data": "folder", "model": "llama_25m", "hardware": "local"}.get(group)
    content = ({"defaults": [base]} if base else {}) | {name: value}
    workspace.write(f"my_conf/{group}/mine.yaml", yaml.safe_dump(content, allow_unicode=True))
    _either(workspace, f"{group}=mine")


@pytest.mark.parametrize("key", KEYS)
def test_a_key_takes_its_default_and_a_value_of_no_kind_is_refused(workspace: Workspace, key: str) -> None:
    workspace.write("recipes/x.yaml", "")
    with pytest.raises(SpecError) as raised:
        workspace.compose(f"{key}={{zz:{{zz:1}}}}")
    assert raised.value.lines[0].startswith(f"command line: {key}")
