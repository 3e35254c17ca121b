from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.spec.text import has_control_characters, printable, shortened, shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("naïve 日本 🙂", "naïve 日本 🙂"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\x9b2J", "\\x9b2J"),
        ("\u202eabc", "\\u202eabc"),
        ("\u2028", "\\u2028"),
        ("\udc80", "\\udc80"),
    ],
)
def test_printable_spells_out_what_a_terminal_acts_on(text: str, expected: str) -> None:
    assert printable(text) == expected


@given(st.text(st.characters(codec=None)))
def test_printable_text_is_one_line_that_any_terminal_can_show(text: str) -> None:
    line = printable(text)
    assert "\n" not in line
    assert not has_control_characters(line)
    line.encode("utf-8")
    assert printable(line) == line


@pytest.mark.parametrize("text", ["two\nlines", "a\ttab", "日本", "e\u0301", "می\u200cخواهم"])
def test_prose_of_every_language_holds_no_control_characters(text: str) -> None:
    assert not has_control_characters(text)


@pytest.mark.parametrize(
    "text", ["\x00", "\x07", "\x1b", "\x7f", "\x85", "\u202e", "\u2066", "\ud800", "\uffff"]
)
def test_control_characters_are_seen(text: str) -> None:
    assert has_control_characters(f"a{text}b")


def test_shortened_keeps_the_length_it_is_given() -> None:
    assert shortened("x" * 60) == "x" * 60
    assert shortened("x" * 61) == "x" * 57 + "..."
    assert shortened("abcdef", 5) == "ab..."


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "null"),
        (True, "true"),
        (0, "0"),
        (1, "1"),
        (1.5, "1.5"),
        (float("nan"), "nan"),
        ("it's", "'it's'"),
        ("a\nb", "'a\\nb'"),
        ([1, "ä"], '[1, "ä"]'),
        ({"a": None}, '{"a": null}'),
    ],
)
def test_values_are_shown_as_yaml_spells_them(value: object, expected: str) -> None:
    assert shown(value) == expected


def test_a_long_text_is_cut_inside_its_quotes() -> None:
    assert shown("x" * 100) == "'" + "x" * 55 + "...'"
