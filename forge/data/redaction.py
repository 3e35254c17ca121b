"""Personal data and secrets in a text, replaced by placeholders that say what stood there."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

from forge.data.sensitive import ALL_KINDS, PERSONAL, SECRETS, find_values

HASH_HEX_DIGITS = 10


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
    return tuple(kind for kind in ALL_KINDS if kind in wanted)


def _hash(value: str, salt: str) -> str:
    key = hashlib.sha256(salt.encode()).digest()
    return hashlib.blake2b(value.encode(), key=key, digest_size=HASH_HEX_DIGITS // 2).hexdigest()
