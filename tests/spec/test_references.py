from __future__ import annotations

from typing import Any

import pytest

from forge.spec.references import MAX_TEXT_CHARACTERS, MAX_TOTAL_CHARACTERS, ONLY_PLAIN_REFERENCES, resolve
from forge.spec.schema import spec_schema
from forge.spec.types import KeyPath, Origin, Origins


def _resolve(values: dict[str, Any]) -> tuple[dict[str, Any], list[str], set[KeyPath]]:
    origins: Origins = {
        (key,): (Origin(f"r.yaml:{line}", "recipe", values[key]),) for line, key in enumerate(values, 1)
    }
    resolved, problems, unresolved = resolve(values, origins, spec_schema())
    return resolved, [str(problem) for problem in problems], unresolved


def _good(values: dict[str, Any]) -> dict[str, Any]:
    resolved, problems, unresolved = _resolve(values)
    assert problems == []
    assert unresolved == set()
    return resolved


@pytest.mark.parametrize("value", [1, 0.5, True, None, "text", ["a", 1], {}])
def test_a_whole_reference_keeps_the_type(value: Any) -> None:
    assert _good({"a": value, "b": "${a}"}) == {"a": value, "b": value}


def test_inside_text_a_value_is_spelled_as_in_yaml() -> None:
    values = {"n": 8, "f": 0.5, "t": True, "z": None, "s": "x"}
    assert _good(values | {"a": "${n}-${f}-${t}-${z}-${s}!"})["a"] == "8-0.5-true-null-x!"


def test_references_are_followed_as_far_as_they_lead() -> None:
    assert _good({"a": "${b}", "b": "<${c}>", "c": "${d.e}", "d": {"e": 3}})["a"] == "<3>"


def test_an_item_of_a_list_may_be_one() -> None:
    assert _good({"a": ["${b}", "x ${b}", 4], "b": 3})["a"] == [3, "x 3", 4]


@pytest.mark.parametrize("text", ["$5", "{a}", "$ {a}", "a$", "$$", "}${", "100% $HOME"])
def test_what_is_no_reference_is_left_alone_or_refused(text: str) -> None:
    resolved, problems, _ = _resolve({"a": text})
    assert (resolved["a"] == text) != bool(problems)
    assert bool(problems) == ("${" in text)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (r"echo \${HOME}", "echo ${HOME}"),
        (r"\${a}", "${a}"),
        (r"\${", "${"),
        (r"\${oc.env:HOME} ${b}", "${oc.env:HOME} 3"),
        (r"${b}\${b}${b}", "3${b}3"),
        (r"C:\x", r"C:\x"),
    ],
)
def test_a_backslash_before_a_reference_takes_it_for_text(written: str, text: str) -> None:
    assert _good({"a": written, "b": 3, "c": [written]}) == {"a": text, "b": 3, "c": [text]}


def test_what_an_escaped_text_becomes_is_not_read_again() -> None:
    assert _good({"a": "${b}", "c": "<${b}>", "b": r"\${a}"}) == {"a": "${a}", "c": "<${a}>", "b": "${a}"}


def test_a_problem_leaves_the_others_and_stands_where_the_reference_does() -> None:
    resolved, problems, unresolved = _resolve({"a": "${seed_}", "b": 2, "c": "${oc.env:HOME}"})
    assert resolved == {"a": None, "b": 2, "c": None}
    assert problems == [
        "r.yaml:1: a: ${seed_}: no such key. did you mean seed?",
        f"r.yaml:3: c: '${{oc.env:HOME}}': {ONLY_PLAIN_REFERENCES}",
    ]
    assert unresolved == {("a",), ("c",)}


def test_the_hint_names_only_what_is_there() -> None:
    _, problems, _ = _resolve({"a": "${sede}", "seed": 1})
    assert problems == ["r.yaml:1: a: ${sede}: there is no such key. did you mean ${seed}?"]


def test_a_circle_is_told_from_where_it_begins() -> None:
    _, problems, _ = _resolve({"a": "${b}", "b": "${c}", "c": "x${b}"})
    assert problems == ["r.yaml:2: b: goes in a circle: b -> c -> b"]


def test_a_fault_is_told_once_where_it_is_whoever_refers_to_it() -> None:
    values = {"a": "${b} ${d}", "b": "${c}", "c": "${zzz}", "d": "x${c}"}
    resolved, problems, unresolved = _resolve(values)
    assert [problem.partition(" no such")[0] for problem in problems] == ["r.yaml:3: c: ${zzz}:"]
    assert unresolved == {("a",), ("b",), ("c",), ("d",)}
    assert set(resolved.values()) == {None}


def test_two_circles_are_told_apart() -> None:
    _, problems, _ = _resolve({"a": "${b}", "b": "${a}", "c": "${d}", "d": "${c}"})
    assert problems == [
        "r.yaml:1: a: goes in a circle: a -> b -> a",
        "r.yaml:3: c: goes in a circle: c -> d -> c",
    ]


def test_text_is_bounded_before_it_is_built() -> None:
    long = "x" * (MAX_TEXT_CHARACTERS // 2)
    assert len(_good({"a": "${b}${b}", "b": long})["a"]) == MAX_TEXT_CHARACTERS
    _, problems, _ = _resolve({"a": "${b}${b}${b}", "b": long})
    assert problems == [f"r.yaml:1: a: its references expand to more than {MAX_TEXT_CHARACTERS} characters"]


def test_all_text_together_is_bounded() -> None:
    values: dict[str, Any] = {f"k{number}": "${long}!" for number in range(30)}
    _, problems, unresolved = _resolve(values | {"long": "x" * (MAX_TEXT_CHARACTERS - 1)})
    assert len(unresolved) == 30 - MAX_TOTAL_CHARACTERS // (MAX_TEXT_CHARACTERS - 1)
    assert problems[0].endswith(
        f"the spec's references expand to more than {MAX_TOTAL_CHARACTERS} characters"
    )
