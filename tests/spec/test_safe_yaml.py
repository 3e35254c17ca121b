from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from forge.spec.safe_yaml import MAX_BYTES, parse, scalar_value


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("10", 10),
        ("-3", -3),
        ("+3", 3),
        ("1_500_000", 1_500_000),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("3.0e-3", 3e-3),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        # Text, whatever YAML 1.1 makes of it.
        ("on", "on"),
        ("No", "No"),
        ("yes", "yes"),
        ("010", "010"),
        ("0x10", "0x10"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("1.2.3", "1.2.3"),
        ("nan", "nan"),
        ("-", "-"),
        ("_1", "_1"),
        ("8xh100", "8xh100"),
    ],
)
def test_plain_scalars_follow_yaml_1_2(written: str, value: Any) -> None:
    assert scalar_value(written, quoted=False) == value
    assert type(scalar_value(written, quoted=False)) is type(value)
    assert scalar_value(written, quoted=True) == written


def test_nan_is_a_float() -> None:
    assert math.isnan(scalar_value(".NaN", quoted=False))


def test_every_key_and_item_knows_its_line() -> None:
    document = parse(
        "# about\n\nname: x\ntrain:\n  tokens: 1\n\n  steps: 2\nlist:\n  - a\n  - b\nflow: [c,\n  d]\n"
    )
    assert document.errors == []
    assert document.lines == {
        ("name",): 3,
        ("train",): 4,
        ("train", "tokens"): 5,
        ("train", "steps"): 7,
        ("list",): 8,
        ("list", 0): 9,
        ("list", 1): 10,
        ("flow",): 11,
        ("flow", 0): 11,
        ("flow", 1): 12,
    }


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "null\n", "{}\n"])
def test_an_empty_file_is_an_empty_mapping(text: str) -> None:
    document = parse(text)
    assert document.values == {}
    assert document.errors == []


def test_block_text_quotes_and_unicode_are_read_as_yaml_reads_them() -> None:
    text = "a: |\n  two\n  lines\nb: >-\n  fol\n  ded\nc: 'it''s'\nd: \"tab\\there\"\ne: 日本 🙂\n\"f\": quoted key\n"
    assert parse(text).values == yaml.safe_load(text)


def test_carriage_returns_are_no_trouble() -> None:
    assert parse("a: 1\r\nb:\r\n  c: x\r\n").values == {"a": 1, "b": {"c": "x"}}


def test_a_refused_key_takes_its_value_along_and_nothing_else() -> None:
    document = parse("a.b: {c: 1}\nd: 2\ne:\n  8: x\n  f: 3\n")
    assert document.values == {"d": 2, "e": {"f": 3}}
    assert [line for line, _ in document.errors] == [1, 4]


def test_a_refused_key_below_a_key_that_is_set_again_breaks_nothing() -> None:
    document = parse("a:\n  b.c: 1\na: 3\n")
    assert document.values == {"a": 3}
    assert len(document.errors) == 2


def test_keys_of_a_defaults_list_may_hold_spaces_and_slashes() -> None:
    document = parse("defaults:\n  - override /model: llama_7b\n")
    assert document.errors == []
    assert document.values == {"defaults": [{"override /model": "llama_7b"}]}


def test_what_comes_before_a_mistake_is_kept_but_not_the_value_it_stands_in() -> None:
    assert parse("seed: 1\nname: 'x\n").values == {"seed": 1}
    assert parse("seed: 1\n  name: x\n").values == {}
    assert parse("seed: 1\nevaluate:\n  prompts: [a, b\n").values == {"seed": 1, "evaluate": {}}
    assert parse("seed: 1\nlist: [a, b\n").values == {"seed": 1}
    assert parse("train:\n  tokens: 5\n  steps: &a 3\n").values == {"train": {"tokens": 5}}


def test_the_size_limit_counts_bytes() -> None:
    assert parse("#" * MAX_BYTES).errors == []
    assert parse("ä" * (MAX_BYTES // 2 + 1)).errors[0][1].startswith("is larger than 64 KiB")


def test_errors_come_in_the_order_of_lines() -> None:
    errors = parse("a: 1\na: 2\n8: x\na: 3\nb: &x y\n").errors
    assert [line for line, _ in errors] == [2, 3, 4, 5]


def test_a_word_beside_a_tag_directive_is_not_a_tag_error() -> None:
    assert parse("%FOO bar\n---\na: 1\n").values == {"a": 1}


keys = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,8}", fullmatch=True).filter(
    lambda key: not isinstance(yaml.safe_load(key), bool) and yaml.safe_load(key) == key
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False).filter(lambda number: "e" not in repr(number))
    | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
)
trees = st.dictionaries(
    keys,
    st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=6,
    ),
    max_size=5,
)


@given(trees)
def test_what_another_yaml_wrote_is_read_back(tree: dict[str, Any]) -> None:
    document = parse(yaml.safe_dump(tree, default_style='"' if not tree else None, sort_keys=False))
    if not any("deeper" in message for _, message in document.errors):
        assert document.errors == []
        assert _quoted_text(document.values) == _quoted_text(tree)


def _quoted_text(tree: Any) -> Any:
    """PyYAML leaves text like 1e5 without quotes, which YAML 1.2 takes for a number: compare by what it looks like."""
    if isinstance(tree, dict):
        return {key: _quoted_text(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_quoted_text(item) for item in tree]
    return scalar_value(tree, quoted=False) if isinstance(tree, str) and tree.strip() else tree


@given(st.text() | st.text(st.sampled_from("a:- \n\t'\"[]{}#&*!|>%@`,?.1~<\r\x00")))
def test_no_text_whatever_raises(text: str) -> None:
    document = parse(text)
    assert isinstance(document.values, dict)
    lines = (
        text.count("\n") + text.count("\r") + text.count("\x85") + text.count("\u2028") + text.count("\u2029")
    )
    for line, message in document.errors:
        assert 1 <= line <= lines + 2
        assert message


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("# harmless\u2028hydra: {}\n", 1),  # to YAML a line ends there, to most editors it does not
        ("# harmless\x85seed: 3\n", 1),
        ("name: x\n# harmless\rseed: 3\n", 2),
        ("# \x1b[2J\n", 1),
        ("name: x\r\n# \u202eyadot\r\n", 2),
        ("seed: 1\nname: \u200fx\n", 2),
    ],
)
def test_a_file_that_shows_something_else_than_it_says_is_not_read(text: str, line: int) -> None:
    document = parse(text)
    assert document.errors == [
        (line, "holds a character that a terminal acts on or that hides text: remove it")
    ]
    assert document.values == {}


@pytest.mark.parametrize("header", ["# @package _global_", "#@package: _global_", "# the @package of it"])
def test_a_header_that_moves_nothing_is_a_comment(header: str) -> None:
    assert parse(f"{header}\nseed: 1\n").values == {"seed": 1}


def test_a_header_that_would_move_the_keys_elsewhere_is_refused() -> None:
    errors = parse("# For us\n# @package train.x\ntokens: 1\n").errors
    assert errors == [(2, "@package train.x: packages are not used: write the keys in their groups")]


def test_what_a_refusal_leaves_empty_is_not_wrong_as_well() -> None:
    assert parse('data:\n  path:\n    _target_: x\nseed: 1\nname: "\\e[2J"\n').values == {"seed": 1}
    assert parse('a: ["\\e[2J", b]\nc: ["\\e[2J"]\nd: {}\n').values == {"a": ["b"], "d": {}}


def test_a_file_opens_with_whom_it_is_for() -> None:
    assert (
        parse("# yaml-language-server: $schema=x\n# For us,\n#\n# all.\nseed: 1\n# more\n").comment
        == "For us, all."
    )
    assert parse("\n# late\n").comment == ""
