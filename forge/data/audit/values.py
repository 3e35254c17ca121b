"""Values as sentences give them: money, shares, spans of time, sizes, counts and dates, made comparable."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import re2

from forge.data.audit.words_of_claims import stem, synonym
from forge.data.written_dates import find_days

SMALL = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty".split()
    )
} | {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
SPELT = "|".join(sorted((word for word in SMALL if word != "one"), key=len, reverse=True))
ONES = "|".join("one two three four five six seven eight nine".split())
FIGURE = (
    rf"\d{{1,3}}(?:[,'\u202f\u00a0]\d{{3}})+(?:\.\d+)?|\d+(?:\.\d+)?"
    rf"|\b(?:{SPELT})(?:[ -](?:{ONES}))?\b"
)
MAY_HAVE_VALUE = re2.compile(rf"(?i)\d|\b(?:{SPELT})\b")
SCALE = {"k": 1e3, "thousand": 1e3, "m": 1e6, "mio": 1e6, "million": 1e6, "bn": 1e9, "billion": 1e9}

CURRENCIES = {
    "€": "EUR", "eur": "EUR", "euro": "EUR", "euros": "EUR", "$": "USD", "us$": "USD", "usd": "USD", "dollar": "USD",
    "dollars": "USD", "£": "GBP", "gbp": "GBP", "pound": "GBP", "pounds": "GBP", "chf": "CHF", "francs": "CHF",
}  # fmt: skip
SECONDS = {
    "millisecond": 1e-3, "ms": 1e-3, "msec": 1e-3, "second": 1.0, "sec": 1.0, "minute": 60.0, "min": 60.0,
    "hour": 3600.0, "hr": 3600.0, "h": 3600.0, "day": 86400.0, "week": 604800.0, "month": 2629800.0,
    "quarter": 7889400.0, "year": 31557600.0,
}  # fmt: skip
"""A month is a twelfth of a Julian year."""
BYTES = {"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 1e3, "mib": 1e6, "gib": 1e9, "tib": 1e12}

VALUE = re.compile(
    rf"(?P<before>€|US\$|\$|£|\b(?:EUR|USD|GBP|CHF)\b)?\s?(?<![\w.,/-])(?P<figure>{FIGURE})(?![\d/])"
    r"(?:\s?(?P<scale>k|thousand|million|mio|m|bn|billion)\b)?"
    r"(?P<percent>\s?(?:%|percent\b|per cent\b))?"
    r"(?:[\s-]?(?P<unit>[€$£]|[A-Za-z][A-Za-z-]*)(?!\w))?",
    re.IGNORECASE,
)
PER = re.compile(r"\s*(?:/\s?|(?:per|an?|each|every)\s)(?P<of>[A-Za-z]+)", re.IGNORECASE)
ADVERBS = {
    "hourly": "hour",
    "daily": "day",
    "weekly": "week",
    "monthly": "month",
    "yearly": "year",
    "annually": "year",
}
NO_UNIT = frozenset(
    "and or of in on at to for is are was were per the a an by with from as if but than that which who after before "
    "will shall may must can should would could do does did "
    "within until since over under each every when while because so then also not "
    "no it its they we you i be has "
    "have".split()
)
BEFORE_NUMBER = re.compile(r"(?:[:=]|\b(?:is|are|to|of|at))\s*$")
AFTER_NUMBER = re.compile(r"\s*(?:[.;!)]\s|[.;!)]*$)")
"""A bare number is a value only where a sentence gives it as one, and ends: lists and names have numbers too."""
CLOSE = 0.02
"""Values nearer than this are the same one, rounded: a month and 30 days."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value in a sentence."""

    start: int
    end: int
    dimension: str
    """What it can be compared with: 'duration', 'money EUR', 'percent', 'bytes', 'count user', 'date', 'number'."""
    amount: float
    """In the dimension's unit: seconds, currency units, percent, bytes, pieces, days."""
    per: frozenset[str]
    """Units of time it is for each of, and the like: {'month'}."""

    def same_as(self, other: Value) -> bool:
        """Return whether two values of one dimension say the same."""
        if self.dimension == "date":
            return self.amount == other.amount
        # 99.9 and 99.95 are a rounding apart and worlds apart.
        closeness = 1e-9 if self.dimension in ("percent", "number") else CLOSE
        return abs(self.amount - other.amount) <= closeness * max(abs(self.amount), abs(other.amount))


def find_values(sentence: str) -> Iterator[Value]:
    """Yield the values of a sentence in order. Numbers within dates, names and versions are none."""
    taken: list[tuple[int, int]] = []
    for day in find_days(sentence):
        taken.append((day.start, day.end))
        if day.exact:
            yield Value(day.start, day.end, "date", float(day.day.toordinal()), frozenset())
    for found in VALUE.finditer(sentence):
        figure = found.group("figure")
        start = found.start("figure")
        if any(start < end and begin < found.end("figure") for begin, end in taken) or _is_name(
            sentence, start
        ):
            continue
        amount = _amount(figure) * SCALE.get((found.group("scale") or "").lower(), 1.0)
        yield from _value(sentence, found, amount)


def _value(sentence: str, found: re.Match[str], amount: float) -> Iterator[Value]:
    unit = (found.group("unit") or "").lower()
    before = (found.group("before") or "").lower()
    start = found.start("before") if before else found.start("figure")
    end = found.end()
    bare = unit.rstrip("s") if len(unit) > 2 else unit
    per, per_end = _per(sentence, end)
    if before or unit in CURRENCIES:
        currency = CURRENCIES[before or unit]
        if before and unit and unit not in CURRENCIES:
            end = found.start("unit")
            per, per_end = _per(sentence, end)
        yield Value(start, per_end, f"money {currency}", amount, per)
    elif found.group("percent"):
        yield Value(start, found.end("percent"), "percent", amount, frozenset())
    elif bare in SECONDS:
        yield Value(start, per_end, "duration", amount * SECONDS[bare], per)
    elif unit in BYTES:
        yield Value(start, per_end, "bytes", amount * BYTES[unit], per)
    elif _is_part_of_a_name(sentence, found):
        return
    elif unit and unit not in NO_UNIT:
        noun = synonym(stem(unit))
        times = [one for one in per if one in SECONDS]
        if times:
            yield Value(start, per_end, f"rate {noun}", amount / SECONDS[times[0]], frozenset())
        else:
            yield Value(start, per_end, f"count {noun}", amount, per)
    elif BEFORE_NUMBER.search(sentence[:start]) and AFTER_NUMBER.match(sentence, found.end("figure")):
        yield Value(start, found.end("figure"), "number", amount, frozenset())


def _is_part_of_a_name(sentence: str, found: re.Match[str]) -> bool:
    """Whether a figure without a unit of measure is a version, section or postal code: License 2.0, 02110."""
    figure, unit = found.group("figure"), found.group("unit") or ""
    before = sentence[: found.start("figure")]
    counted = bool(unit) and unit.lower() not in NO_UNIT
    return (
        figure.startswith("0")
        or (counted and ("." in figure or unit != unit.lower()))
        or (not before.strip(" \"'(*") and "." in figure)
        or AFTER_NAME.search(before) is not None
    )


AFTER_NAME = re.compile(r"[A-Z][\w'’-]*,?\s*$|\b[vV]\.?\s*$")


def _per(sentence: str, at: int) -> tuple[frozenset[str], int]:
    """Return what a value at `at` is for each of, and where that ends."""
    units = set()
    while match := PER.match(sentence, at):
        unit = match.group("of").lower()
        units.add(unit.rstrip("s") if len(unit) > 2 else unit)
        at = match.end()
    word = re.match(r"\s*(\w+)", sentence[at : at + 20])
    if word and word.group(1).lower() in ADVERBS:
        units.add(ADVERBS[word.group(1).lower()])
        at += word.end()
    return frozenset(units), at


NAMED_BY_NUMBER = (
    "week version section chapter step page item ticket incident case order invoice figure table no nr release phase "
    "appendix annex level v sections chapters articles clause clauses paragraphs steps pages "
    "room floor iso article paragraph rev build sprint issue request quarter fy year port part batch number"
).split()
NUMBERED = re.compile(rf"\b(?:{'|'.join(NAMED_BY_NUMBER)})[ .#:]*$|[#vVQ]$", re.IGNORECASE)
NUMBERED_THING = re2.compile(rf"(?i)\b(?:{'|'.join(NAMED_BY_NUMBER)})[ .#:]{{0,3}}[A-Z-]{{0,5}}\d+")


def numbered_things(sentence: str) -> list[str]:
    """Return what has a number for a name: 'week 12', 'incident 1041'."""
    found: list[str] = NUMBERED_THING.findall(sentence)
    return found


def _is_name(sentence: str, start: int) -> bool:
    """Whether the number at `start` belongs to a name: week 12, version 2, section 3, ticket #45."""
    return NUMBERED.search(sentence[max(0, start - 18) : start]) is not None


def _amount(figure: str) -> float:
    bare = re.sub(r"[,'\u202f\u00a0]", "", figure)
    if bare[0].isdigit():
        return float(bare)
    tens, _, ones = bare.lower().replace("-", " ").partition(" ")
    return float(SMALL[tens] + (SMALL[ones] if ones else 0))
