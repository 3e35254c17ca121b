"""Personal data and secrets in a text, replaced by placeholders that say what stood there."""

from __future__ import annotations

import functools
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import re2

HASH_HEX_DIGITS = 10


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value."""

    pattern: str
    """RE2 syntax. Where it has a group, the group is the value."""
    accepts: Callable[[str], bool] = lambda value: True
    """What a pattern cannot say: a check sum."""


def luhn(value: str) -> bool:
    """True for 13 to 19 digits whose last one checks the others (ISO/IEC 7812-1)."""
    digits = [int(digit) for digit in value if digit.isdigit()]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def iban(value: str) -> bool:
    """True where the check digits of an IBAN are right (ISO 13616: the rearranged number is 1 modulo 97)."""
    compact = value.replace(" ", "")
    moved = compact[4:] + compact[:4]
    return 15 <= len(compact) <= 34 and int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


def _phone(value: str) -> bool:
    return 8 <= sum(map(str.isdigit, value)) <= 15


SECRETS: dict[str, Kind] = {
    "private_key": Kind(
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
        r"[A-Za-z0-9+/=\s:,.()-]*?-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
    ),
    "aws_key": Kind(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "github_token": Kind(
        r"\b(?:gh[pousr]_[A-Za-z0-9]{36}[A-Za-z0-9]*|github_pat_[A-Za-z0-9_]{60}[A-Za-z0-9_]*)"
    ),
    "gitlab_token": Kind(r"\bglpat-[A-Za-z0-9_-]{20}"),
    "slack_token": Kind(r"\bxox[abeoprs]-[A-Za-z0-9-]{10}[A-Za-z0-9-]*"),
    "slack_webhook": Kind(r"https://hooks\.slack\.com/services/[A-Za-z0-9/_-]+"),
    "stripe_key": Kind(r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16}[A-Za-z0-9]*"),
    "google_key": Kind(r"\bAIza[0-9A-Za-z_-]{35}"),
    "openai_key": Kind(r"\bsk-(?:proj-|ant-)?[A-Za-z0-9_-]{32}[A-Za-z0-9_-]*"),
    "huggingface_token": Kind(r"\bhf_[A-Za-z0-9]{30}[A-Za-z0-9]*"),
    "jwt": Kind(r"\beyJ[A-Za-z0-9_-]{8}[A-Za-z0-9_-]*\.eyJ[A-Za-z0-9_-]{8}[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+"),
    "url_password": Kind(r"\b[a-z][a-z0-9+.-]*://[^\s:@/]+:([^\s:@/]{3}[^\s:@/]*)@"),
    "password": Kind(
        r"(?i)\b(?:password|passwd|pwd|secret|api[_-]?key|access[_-]?token|auth[_-]?token)\b"
        r"[\"']?[ \t]*[:=][ \t]*[\"']?([^\s\"',;<>(){}\[\]$]{8}[^\s\"',;<>(){}\[\]$]*)",
        lambda value: bool(re.search(r"[0-9]", value)) and bool(re.search(r"[A-Za-z]", value)),
    ),
}
PERSONAL: dict[str, Kind] = {
    "card": Kind(r"\b[0-9](?:[ -]?[0-9]){12}(?:[ -]?[0-9])*\b", luhn),
    "iban": Kind(r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2}(?: ?[A-Z0-9]{1,4})*\b", iban),
    "us_ssn": Kind(
        r"\b[0-8][0-9]{2}-[0-9]{2}-[0-9]{4}\b",
        lambda value: value[:3] not in ("000", "666") and value[4:6] != "00" and value[7:] != "0000",
    ),
    "email": Kind(r"\b[A-Za-z0-9._%+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2}[A-Za-z]*\b"),
    "phone": Kind(
        r"(?:^|[^\w+])(\+[1-9][0-9]{0,2}(?:[ ./-]?\(?[0-9]{1,4}\)?){2}(?:[ ./-]?[0-9]{2,4})*"
        r"|\([2-9][0-9]{2}\) ?[0-9]{3}-[0-9]{4}|[2-9][0-9]{2}[-.][0-9]{3}[-.][0-9]{4})\b",
        _phone,
    ),
    "ip_address": Kind(
        r"\b((?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
        r"(?:\.(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])){3})\b"
    ),
}
KINDS = SECRETS | PERSONAL
"""In the order of precedence: of two that overlap the earlier one counts."""


@dataclass(frozen=True, slots=True)
class Found:
    """A value and where it stands."""

    kind: str
    start: int
    """In characters, as `end`."""
    end: int
    value: str


def find_values(text: str, kinds: tuple[str, ...]) -> list[Found]:
    """Return the values of `kinds` in `text`, in order, no two of them overlapping."""
    content = text.encode()
    if not kinds or not _compiled("|".join(f"(?:{KINDS[kind].pattern})" for kind in kinds)).search(content):
        return []
    found: list[tuple[int, int, str, str]] = []
    for kind in KINDS:
        if kind in kinds:
            found.extend(span for span in _spans(content, kind) if not _overlaps(span, found))
    found.sort()
    if len(content) == len(text):
        return [Found(kind, start, end, value) for start, end, kind, value in found]
    return list(_in_characters(content, found))


def redact(text: str, kinds: tuple[str, ...], salt: str | None) -> tuple[str, Counter[str]]:
    """Return `text` with placeholders in place of values, and how many of each kind there were.

    A placeholder is `<EMAIL_1>`: the same value has the same number throughout the text. With a salt it is
    `<EMAIL_3f2a9c0b1d>`, a hash keyed by the salt (BLAKE2b), the same in every text.
    """
    counts: Counter[str] = Counter()
    names: dict[tuple[str, str], str] = {}
    distinct: Counter[str] = Counter()
    pieces = []
    last = 0
    for one in find_values(text, kinds):
        counts[one.kind] += 1
        key = (one.kind, one.value)
        if key not in names:
            distinct[one.kind] += 1
            mark = str(distinct[one.kind]) if salt is None else _hash(one.value, salt)
            names[key] = f"<{one.kind.upper()}_{mark}>"
        pieces += [text[last : one.start], names[key]]
        last = one.end
    return "".join([*pieces, text[last:]]), counts


def redact_kinds(parameters: dict[str, Any]) -> tuple[str, ...]:
    """Return the kinds asked for, groups spelt out."""
    groups = {"secrets": tuple(SECRETS), "personal": tuple(PERSONAL)}
    wanted = [kind for name in parameters["redact_kinds"] for kind in groups.get(name, (name,))]
    return tuple(kind for kind in KINDS if kind in wanted)


def _spans(content: bytes, kind: str) -> Iterator[tuple[int, int, str, str]]:
    rule = KINDS[kind]
    pattern = _compiled(rule.pattern)
    group = min(1, pattern.groups)
    for match in pattern.finditer(content):
        start, end = match.span(group)
        value = content[start:end].decode()
        if rule.accepts(value):
            yield start, end, kind, value


def _overlaps(span: tuple[int, int, str, str], others: list[tuple[int, int, str, str]]) -> bool:
    return any(span[0] < end and start < span[1] for start, end, _, _ in others)


def _in_characters(content: bytes, found: list[tuple[int, int, str, str]]) -> Iterator[Found]:
    characters = last = 0
    for start, end, kind, value in found:
        characters += len(content[last:start].decode())
        yield Found(kind, characters, characters + len(value), value)
        characters += len(value)
        last = end


def _hash(value: str, salt: str) -> str:
    key = hashlib.sha256(salt.encode()).digest()
    return hashlib.blake2b(value.encode(), key=key, digest_size=HASH_HEX_DIGITS // 2).hexdigest()


@functools.cache
def _compiled(pattern: str) -> Any:
    # On bytes: RE2 would encode the text anew for each pattern.
    return re2.compile(pattern.encode())
