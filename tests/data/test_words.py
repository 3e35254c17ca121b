import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.data.words import _word_pattern, character_kinds, count_letters, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The Licensee's 2 rights, §7!", ["the", "licensee", "s", "2", "rights", "7"]),
        ("GROẞE Straße", ["grosse", "strasse"]),
        ("कानूनी दस्तावेज़", ["कानूनी", "दस्तावेज़"]),
        ("本契約は", ["本", "契", "約", "は"]),
        ("MIT许可证", ["mit", "许", "可", "证"]),
        ("ที่ดิน", ["ที่", "ดิ", "น"]),
        ("𐐀𐐁 x", ["𐐨𐐩", "x"]),
        ("... --- !!!", []),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@pytest.mark.parametrize(
    ("text", "letters"), [("ab 12, c", 3), ("äöü ß1", 4), ("हिन्दी", 6), ("12 %", 0), ("契約1", 2)]
)
def test_letters(text: str, letters: int) -> None:
    assert count_letters(text) == letters


@given(st.text(st.characters(max_codepoint=127)))
def test_the_quick_way_for_ascii_gives_what_the_other_gives(text: str) -> None:
    assert split_words(text) == _word_pattern().findall(text.casefold())
    assert count_letters(text) == count_letters(text + "é") - 1


@given(st.text())
def test_case_does_not_matter_to_ascii_and_white_space_to_none(text: str) -> None:
    assert split_words(text + " end") == split_words(text + "\n\t END")


def test_classes_are_those_of_unicode() -> None:
    for point in range(sys.maxunicode + 1):
        character = chr(point)
        mark = unicodedata.category(character)[0] == "M"
        inside = character_kinds()[point]
        assert (inside == 3) == mark, hex(point)
        assert (inside > 0) == (mark or character.isalnum() or character == "_"), hex(point)
