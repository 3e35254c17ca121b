"""Which 8-bit encoding a text in Latin letters is in: the one in which it is spelt with one language's letters.

The pages share most bytes, so nothing but the letters, and where in a word they stand, tells them apart: what is `³`
inside words in one is the `ł` of Polish in another, and the `ü` of an old Macintosh is a `Ÿ` after small letters.
"""

from __future__ import annotations

import re
from collections import Counter

BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
NO_ASCII_LETTERS = re.compile(rb"[^A-Za-z]+")
HIGH = bytes(range(128, 256))

WESTERN = (
    "äöüß",  # German
    "àâæçéèêëîïôœùûüÿ",  # French
    "áéíñóúü¿¡ªº",  # Spanish
    "àáâãçéêíóôõúüªº",  # Portuguese
    "àèéìíîòóùú",  # Italian
    "àçéèíïóòúü·",  # Catalan
    "áèéêëíïóöúü",  # Dutch
    "äåéö",  # Swedish, Finnish
    "åæéøòô",  # Danish, Norwegian
    "áæéíðóöþúý",  # Icelandic
)
CENTRAL = (
    "ąćęłńóśźż",  # Polish
    "áčďéěíňóřšťúůýž",  # Czech
    "áäčďéíľĺňóôŕšťúýž",  # Slovak
    "áéíóöőúüű",  # Hungarian
    "ćčđšž",  # Croatian, Slovene
    "âăîşţ",  # Romanian
)
ALPHABETS: dict[str, tuple[str, ...]] = {
    "cp1252": WESTERN,
    "cp1250": CENTRAL,
    "cp1254": ("âçğıîöşüûİ",),  # Turkish
    "cp1257": (
        "āčēģīķļņšūž",  # Latvian
        "ąčęėįšųūž",  # Lithuanian
        "äõöüšž",  # Estonian
    ),
    "iso8859_2": CENTRAL,
    "mac_roman": WESTERN,
    "cp850": WESTERN,
}
"""Letters beyond ASCII by encoding and language, the encoding met most often first."""

BEFORE = {"õ": "e"}
"""Portuguese writes õ before e alone (ações, põe); elsewhere the same byte is the ő of Hungarian."""

NEUTRAL = frozenset("“”‘’„‚‹›«»–—…•§©®™°±€£¥¢¶×µ\xa0\xad")
"""What any language may use."""


IN_WORDS = frozenset("’–—…·\xa0\xad")
"""Of those, what stands between two letters."""
NOT_AFTER_LETTERS = frozenset("„‚•")

SURE_SHARE = 0.95
"""Of the letters beyond ASCII: from here on nothing else is asked."""


def latin_encoding(content: bytes) -> tuple[str | None, float]:
    """Return the encoding whose best language spells most of the text, the first of equals, and that share.

    None when no encoding decodes it.
    """
    best, best_share = None, -1.0
    for encoding, alphabets in ALPHABETS.items():
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        counts = _counts(text)
        if encoding == "cp1252":
            _withdraw_misplaced(counts, text)
        share = max(_share(counts, alphabet) for alphabet in alphabets)
        if share > best_share:
            best, best_share = encoding, share
    return best, best_share


def is_surely_latin(content: bytes, share: float) -> bool:
    """Tell whether a text that is spelt to that share is in Latin letters: at least half of them are of ASCII."""
    high = len(content) - len(content.translate(None, HIGH))
    return share >= SURE_SHARE and high <= len(NO_ASCII_LETTERS.sub(b"", content))


def _counts(text: str) -> Counter[str]:
    """Count the characters beyond ASCII that tell of a language; as "?" those that stand where none puts them."""
    counts: Counter[str] = Counter()
    for found in BEYOND_ASCII.finditer(text):
        character, place = found.group(), found.start()
        before, after = text[place - 1 : place], text[place + 1 : place + 2]
        if character in NEUTRAL:
            inside = before.isalpha() and after.isalpha() and character not in IN_WORDS
            if inside or (before.isalpha() and character in NOT_AFTER_LETTERS):
                counts["?"] += 1
        elif before.islower() and character.isupper():
            counts["?"] += 1
        else:
            counts[character] += 1
    return counts


def _withdraw_misplaced(counts: Counter[str], text: str) -> None:
    """Count a letter that stands where its language never puts it as one of no language."""
    lowered = text.lower()
    for letter, follower in BEFORE.items():
        misplaced = lowered.count(letter) - lowered.count(letter + follower)
        if misplaced:
            counts["?"] += misplaced
            counts[letter] -= misplaced


def _share(counts: Counter[str], alphabet: str) -> float:
    known = sum(
        count for character, count in counts.items() if character in alphabet or character.lower() in alphabet
    )
    return known / counts.total() if counts else 1.0
