"""Which 8-bit encoding a text in Cyrillic letters is in: the one in which hardly a large letter follows a small one."""

from __future__ import annotations

import re

ENCODINGS = ("cp1251", "koi8_r", "cp866", "iso8859_5")
BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
CYRILLIC = re.compile(r"[\u0400-\u04ff]")
NEUTRAL = re.compile(r"[\xa0\xab\xad\xbb\u2010-\u203a\u2116§©®°±]")
"""What stands beside letters of any language."""
LARGE_AFTER_SMALL = re.compile(r"[а-яёђ-џ][А-ЯЁЂ-Џ]")
MOST_ODD_FRACTION = 0.05


def cyrillic_encoding(content: bytes, first: str | None) -> str | None:
    """Return the encoding in which fewest characters are odd, `first` of equals; None where in none they are few.

    Other scripts' letters lie where these do, in one case: whether a text is in Cyrillic at all this can't tell.
    """
    best, best_odd = None, MOST_ODD_FRACTION
    for encoding in sorted(ENCODINGS, key=lambda name: name != first):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        beyond = len(BEYOND_ASCII.findall(text))
        known = len(CYRILLIC.findall(text)) + len(NEUTRAL.findall(text))
        odd = (beyond - known + len(LARGE_AFTER_SMALL.findall(text))) / max(1, beyond)
        if odd < best_odd:
            best, best_odd = encoding, odd
    return best
