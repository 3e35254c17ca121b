"""Personal data and secrets: what kinds there are, how each is told, and where they stand in a text.

RE2 runs in time linear in the text whatever the text is, and was measured at 92.8 MB/s with 12 such patterns where
Python's `re` made 5.1. What has a checksum (cards, IBANs) must fit it; what is plainly a placeholder does not count.
"""

from __future__ import annotations

import functools
import ipaddress
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import re2

CONTEXT_BYTES = 64
"""Of the text before and after a value, that its check may look at."""
ROLES = frozenset(
    "abuse accounting accounts admin administrator all billing careers contact customercare enquiries everyone "
    "feedback finance git hello help helpdesk hostmaster hr info it jobs legal list mail mailer-daemon marketing media "
    "news newsletter no-reply noreply notifications office operations orders postmaster press privacy root sales "
    "security service staff support team webmaster".split()
)
"""Mailboxes that are no person's (RFC 2142 and custom)."""
NOBODY = frozenset("dummy example insert placeholder sample todo you your yourname".split())
"""Names in examples of addresses."""
RESERVED_DOMAINS = re.compile(r"(?:^|\.)(?:example\.(?:com|org|net)|example|test|invalid|localhost|local)$")
"""RFC 2606 and RFC 6762."""
PLACEHOLDER = re.compile(
    r"example|changeme|change_me|your|placeholder|dummy|sample|redacted|insert|todo|xxxx|\*{3,}|•{3,}|\.{3,}|0{8}|1234567890",
    re.IGNORECASE,
)
TEST_CARDS = frozenset(
    "4111111111111111 4242424242424242 4012888888881881 5555555555554444 5105105105105100 378282246310005 "
    "4000056655665556 6011111111111117 30569309025904 3530111333300000".split()
)
"""Published by the card networks for tests."""
PLAIN_WORDS = frozenset(
    "password passwd pwd secret none null true false string required optional hidden prompt empty undefined default "
    "here below above env environ getenv reset policy field input value".split()
)
CODE = ("os.", "self.", "process.", "config.", "settings.", "args.")
"""What a value begins with that is looked up, not written down."""
SAYS_ADDRESS = re.compile(
    r"(?i)(?:\b(?:ips?|ipv4|address|addr|host|server|client|from|ssh|ping)\b[^\d\n]{1,20}|//|@)$"
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a pattern has found, for the check of its kind."""

    value: str
    before: str
    after: str


def _no_placeholder(one: Candidate) -> bool:
    return not PLACEHOLDER.search(one.value)


def _is_person(one: Candidate) -> bool:
    name, _, domain = one.value.lower().rpartition("@")
    return (
        name.split("+")[0] not in ROLES
        and not RESERVED_DOMAINS.search(domain)
        and not NOBODY.intersection(re.split(r"[._+-]", name))
    )


def luhn(value: str) -> bool:
    """True for 13 to 19 digits whose last one checks the others (ISO/IEC 7812-1)."""
    digits = [int(digit) for digit in value if digit.isdigit()]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_card(one: Candidate) -> bool:
    digits = "".join(filter(str.isdigit, one.value))
    within_a_number = one.before[-1:] in (".", "-")
    return luhn(digits) and digits not in TEST_CARDS and len(set(digits)) > 3 and not within_a_number


IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18, "NO": 15,
    "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SE": 24, "SI": 19, "SK": 24,
    "SM": 27, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip
"""Characters of a country's IBAN (registry of ISO 13616)."""


def iban(value: str) -> bool:
    """True where the check digits of an IBAN are right (ISO 13616: the rearranged number is 1 modulo 97)."""
    compact = value.replace(" ", "")
    moved = compact[4:] + compact[:4]
    return len(compact) >= 15 and int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


def _iban_pattern() -> str:
    """Return one alternative a length: a word in capitals behind the number is not taken along."""
    countries: dict[int, list[str]] = {}
    for country, length in IBAN_LENGTHS.items():
        countries.setdefault(length, []).append(country)
    forms = (
        rf"(?:{'|'.join(some)})\d{{2}}(?: ?[A-Z0-9]){{{length - 4}}}" for length, some in countries.items()
    )
    return rf"\b((?:{'|'.join(forms)}))\b"


def _is_ssn(one: Candidate) -> bool:
    area, group, serial = one.value.split("-")
    valid = area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"
    return valid and one.before[-1:] != "-" and one.after[:1] != "-"


def _is_phone(one: Candidate) -> bool:
    digits = "".join(filter(str.isdigit, one.value))
    return (
        8 <= len(digits) <= 15 and len(set(digits)) > 3 and re.search(r"[\w+/.\-]$", one.before[-1:]) is None
    )


def _is_address(one: Candidate) -> bool:
    """Whether it is a public address that the text uses as one: version numbers look the same."""
    if one.before[-1:] == "." or re.match(r"\.\d", one.after):
        return False
    # As in a server's log; the number of a clause begins a line too.
    logged = one.before[-1:] in ("", "\n") and re.match(r"\s-\s|:\d|/\d|,", one.after)
    if not (logged or SAYS_ADDRESS.search(one.before)):
        return False
    try:
        return ipaddress.IPv4Address(one.value).is_global
    except ValueError:
        return False


def _is_password(one: Candidate) -> bool:
    """Whether it could be a password: no variable, call, placeholder or plain word."""
    value = one.value
    if value[0] in "<${[(%&|" or PLACEHOLDER.search(value) or value.lower() in PLAIN_WORDS:
        return False
    if "(" in value or value.lower().startswith(CODE):
        return False
    kinds = sum(
        any(test(c) for c in value)
        for test in (str.islower, str.isupper, str.isdigit, lambda c: not c.isalnum())
    )
    return kinds >= 3 or (kinds >= 2 and any(map(str.isdigit, value)) and _entropy(value) >= 2.5)


def _opens_a_host(one: Candidate) -> bool:
    host = re.split(r"[:/\s]", one.after.removeprefix("@").lower())[0]
    return (
        not RESERVED_DOMAINS.search(host)
        and one.value[0] not in "<${[%"
        and one.value.lower() not in PLAIN_WORDS | {"pass", "postgres", "root"}
        and _no_placeholder(one)
    )


def _is_random(one: Candidate) -> bool:
    return _no_placeholder(one) and _entropy(one.value) >= 3.0


def _entropy(value: str) -> float:
    """Return Shannon's entropy in bits a character."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value and how it is told."""

    pattern: str
    """RE2 syntax. Where it has groups, the one that took part is the value."""
    accepts: Callable[[Candidate], bool] = _no_placeholder
    """What a pattern cannot say."""
    shown: str = ""
    """The part of the form that is the same for all and may be shown."""


SECRETS: dict[str, Kind] = {
    # With its end as a whole; where that is cut off, as far as there are lines of a key.
    "private_key": Kind(
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
        r"(?:[A-Za-z0-9+/=\\\s:,.()-]*?-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
        r"|(?:(?:\s|\\n)*[A-Za-z0-9+/=]{16,})*)",
        lambda one: True,
        "-----BEGIN",
    ),
    "aws_key": Kind(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", shown="AKIA"),
    "github_token": Kind(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})", shown="gh"),
    "gitlab_token": Kind(r"\bglpat-[A-Za-z0-9_-]{20,}", shown="glpat-"),
    "slack_token": Kind(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}", shown="xox"),
    "slack_webhook": Kind(r"https://hooks\.slack\.com/services/[A-Za-z0-9/_-]+", shown="https://hooks."),
    "stripe_key": Kind(r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}", shown="k_"),
    "google_key": Kind(r"\bAIza[0-9A-Za-z_-]{35}", shown="AIza"),
    "openai_key": Kind(r"\bsk-(?:proj-|svcacct-|ant-)?[A-Za-z0-9_-]{32,}", _is_random, "sk-"),
    "huggingface_token": Kind(r"\bhf_[A-Za-z0-9]{30,}", shown="hf_"),
    "jwt": Kind(r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{10,}", lambda one: True, "eyJ"),
    "url_password": Kind(
        r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@'\"<>]{0,60}:([^\s/@'\"<>]{3,})@[^\s'\"<>/]", _opens_a_host
    ),
    "password": Kind(
        r"(?i)(?:password|passwd|passphrase|\bpwd|_pass|(?:\b|_)secret|api[_-]?key|secret[_-]?key|client[_-]?secret|access[_-]?token"
        r"|auth[_-]?token)[\"']?\s{0,3}(?:=|:|:=|=>|\bis:?)\s{0,3}[\"'`]?([^\s\"'`,;]{5,}[^\s\"'`,;.)\]}>])",
        _is_password,
    ),
}
PERSONAL: dict[str, Kind] = {
    "iban": Kind(_iban_pattern(), lambda one: iban(one.value)),  # before cards: its digits may hold a card's
    "card": Kind(
        r"\b((?:4\d{3}|5[1-5]\d\d|2[2-7]\d\d|6011|6[25]\d\d|35[2-8]\d)(?:[ -]?\d{4}){3}"
        r"|3[47]\d\d[ -]?\d{6}[ -]?\d{5}|3[068]\d\d[ -]?\d{6}[ -]?\d{4})\b",
        _is_card,
    ),
    "us_ssn": Kind(r"\b(\d{3}-\d{2}-\d{4})\b", _is_ssn),
    "email": Kind(r"\b([A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24})\b", _is_person),
    "phone": Kind(
        r"(?:(\+\d{1,3}[ ./-]?(?:\(\d{1,5}\)[ ./-]?)?\d{1,5}(?:[ ./-]?\d{2,8}){1,5}"
        r"|\(\d{3}\) ?\d{3}[-. ]\d{4}|[2-9]\d\d[-.][2-9]\d\d[-.]\d{4})"
        r"|(?i:\b(?:phone|mobile|tel|telephone|cell|fax|handy|telefon)(?: number| no)?\.?\s?(?:is|:)?\s{0,3})"
        r"(\(?0?\d{2,5}\)?(?:[ ./-]?\d{2,8}){1,5}))\b",
        _is_phone,
    ),
    "ip_address": Kind(r"\b(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})\b", _is_address),
}
KINDS = SECRETS | PERSONAL
"""In the order of precedence: of two that overlap the earlier one counts."""
ALL_KINDS = tuple(KINDS)


@dataclass(frozen=True, slots=True)
class Found:
    """A value and where it stands."""

    kind: str
    start: int
    """In characters, as `end`."""
    end: int
    value: str


def find_values(text: str, kinds: tuple[str, ...] = ALL_KINDS) -> list[Found]:
    """Return the values of `kinds` in `text`, in order, no two of them overlapping."""
    # On bytes: RE2 would encode the text anew for each pattern.
    content = text.encode()
    found: list[tuple[int, int, str]] = []
    for kind in _kinds_in(content, kinds):
        found.extend(
            (start, end, kind)
            for start, end in _spans(content, kind)
            if not any(start < other_end and other < end for other, other_end, _ in found)
        )
    return list(_in_characters(content, sorted(found)))


def _kinds_in(content: bytes, kinds: tuple[str, ...]) -> list[str]:
    """Return the kinds that occur at all, by precedence: one pass over the text for all patterns together."""
    if not kinds:
        return []
    together, ordered = _together(kinds)
    return [ordered[place] for place in sorted(together.Match(content) or ())]


def _spans(content: bytes, kind: str) -> Iterator[tuple[int, int]]:
    rule, pattern = KINDS[kind], _compiled(kind)
    for match in pattern.finditer(content):
        start, end = match.span(match.lastindex or 0)
        one = Candidate(
            content[start:end].decode(),
            content[max(0, start - CONTEXT_BYTES) : start].decode(errors="ignore"),
            content[end : end + CONTEXT_BYTES].decode(errors="ignore"),
        )
        if rule.accepts(one):
            yield start, end


def _in_characters(content: bytes, found: list[tuple[int, int, str]]) -> Iterator[Found]:
    characters = last = 0
    for start, end, kind in found:
        characters += len(content[last:start].decode())
        value = content[start:end].decode()
        yield Found(kind, characters, characters + len(value), value)
        characters += len(value)
        last = end


@functools.cache
def _together(kinds: tuple[str, ...]) -> tuple[Any, list[str]]:
    ordered = [kind for kind in KINDS if kind in kinds]
    together = re2.Set.SearchSet()
    for kind in ordered:
        together.Add(KINDS[kind].pattern.encode())
    together.Compile()
    return together, ordered


@functools.cache
def _compiled(kind: str) -> Any:
    return re2.compile(KINDS[kind].pattern.encode())
