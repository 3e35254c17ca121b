from __future__ import annotations

from forge.export.hard_strings import HARD_STRINGS, RANDOM_STRINGS, random_strings


def test_random_strings_are_seeded_and_can_be_written() -> None:
    first = random_strings(1)
    assert first == random_strings(1) != random_strings(2)
    assert len(first) == RANDOM_STRINGS
    for text in (*first, *HARD_STRINGS):
        assert text.encode().decode() == text


def test_random_strings_reach_beyond_the_basic_plane() -> None:
    characters = set("".join(random_strings(1)))
    assert any(ord(character) > 0xFFFF for character in characters)
    assert any("\u0300" <= character <= "\u036f" for character in characters)
