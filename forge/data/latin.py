"""Which 8-bit encoding a text in Latin letters is in: the one in which it is spelt with one language's letters.

The four pages share most bytes, so nothing but the letters tells them apart: what is `³` inside words in one is the
`ł` of Polish in another.
"""

from __future__ import annotations

from collections import Counter

ALPHABETS: dict[str, tuple[str, ...]] = {
    "cp1252": (
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
    ),
    "cp1250": (
        "ąćęłńóśźż",  # Polish
        "áčďéěíňóřšťúůýž",  # Czech
        "áäčďéíľĺňóôŕšťúýž",  # Slovak
        "áéíóöőúüű",  # Hungarian
        "ćčđšž",  # Croatian, Slovene
        "âăîşţ",  # Romanian
    ),
    "cp1254": ("âçğıîöşüûİ",),  # Turkish
    "cp1257": (
        "āčēģīķļņšūž",  # Latvian
        "ąčęėįšųūž",  # Lithuanian
        "äõöüšž",  # Estonian
    ),
}
"""Letters beyond ASCII by encoding and language, the encoding met most often first."""

BEFORE = {"õ": "e"}
"""Portuguese writes õ before e alone (ações, põe); elsewhere the same byte is the ő of Hungarian."""

NEUTRAL = frozenset("“”‘’„‚‹›«»–—…•§©®™°±€£¥¢¶×\xa0\xad")
"""What any language may use."""


def latin_encoding(content: bytes) -> str | None:
    """Return the encoding whose best language spells most of the text; the first of equals. None when none decodes."""
    best, best_share = None, -1.0
    for encoding, alphabets in ALPHABETS.items():
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        counts = Counter(character for character in text if character > "\x7f" and character not in NEUTRAL)
        if encoding == "cp1252":
            _withdraw_misplaced(counts, text)
        share = max(_share(counts, alphabet) for alphabet in alphabets)
        if share > best_share:
            best, best_share = encoding, share
    return best


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
