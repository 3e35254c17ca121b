"""Rules between keys of `data`, in the form of `forge.spec.rules`: what is wrong in one line, or None."""

from __future__ import annotations

from datetime import date


def real_day(day: str | None) -> str | None:
    """Refuse a day that no calendar has, which a pattern lets through."""
    if day is None:
        return None
    try:
        date.fromisoformat(day)
    except ValueError:
        return f"{day} is no day of the calendar: write year-month-day"
    return None


def age_counted(half_life_years: float | None, age_on: str | None, steps: list[str]) -> str | None:
    """Ages want a day that they are counted to, and the step that looks at them."""
    if half_life_years is None:
        return None
    if age_on is None:
        return "data.age_half_life_years counts ages, and to no day: give data.age_on"
    if "age" not in steps:
        return "data.age_half_life_years is for the step `age`, which data.curate lacks: add it"
    return None


def cap_given(caps: int | list[int | None] | None, steps: list[str]) -> str | None:
    """The step `cap` wants to know how much."""
    if caps is None and "cap" in steps:
        return "data.source_cap_bytes is null and data.curate has the step `cap`: give bytes"
    return None
