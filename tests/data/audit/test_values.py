from __future__ import annotations

import pytest

from forge.data.audit.values import Value, find_values


def value(text: str) -> Value:
    [found] = find_values(text)
    return found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("within 30 days", "within thirty days"),
        ("14 days", "2 weeks"),
        ("24 months", "two years"),
        ("99.9 %", "99.9 percent"),
        ("€1,500", "1500 EUR"),
        ("$2k", "USD 2,000"),
        ("16GB", "16 GB"),
        ("60 requests per minute", "1 requests per second"),
        ("on 5 March 2025", "on 2025-03-05"),
    ],
)
def test_the_same_value_in_two_ways(one: str, other: str) -> None:
    assert value(one).dimension == value(other).dimension
    assert value(one).same_as(value(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("30 days", "31 days"),
        ("99.9 %", "99.95 %"),
        ("€12 per month", "€13 per month"),
        ("5 March 2025", "6 March 2025"),
        ("25 users", "26 users"),
    ],
)
def test_different_values(one: str, other: str) -> None:
    assert not value(one).same_as(value(other))


@pytest.mark.parametrize("one", ["€12", "12 days", "12 GB", "12 users", "12 %"])
def test_what_cannot_be_compared(one: str) -> None:
    others = {"€12", "12 days", "12 GB", "12 users", "12 %"} - {one}
    assert value(one).dimension not in {value(other).dimension for other in others}


@pytest.mark.parametrize(
    "text",
    ["incident 1041", "week 12", "version 2", "Sections 3, 4 and 7 will survive", "ticket #45", "Apache 2.0"],
)
def test_names_are_no_values(text: str) -> None:
    assert list(find_values(text)) == []


def test_what_a_value_is_for_is_part_of_it() -> None:
    text = "It costs €12 per seat per month now."
    found = value(text)
    assert found.per == {"seat", "month"}
    assert text[found.start : found.end] == "€12 per seat per month"


@pytest.mark.parametrize(
    "text",
    [
        "commit 194d1955a7",
        "the Share Alike 2.5 license",
        "1.4 terms of use",
        "Boston, MA 02110",
        "BSD 3-Clause License",
    ],
)
def test_codes_versions_and_sections_are_no_values(text: str) -> None:
    assert list(find_values(text)) == []
