from __future__ import annotations

import random

import pytest

from benchmarks.messy import dev, held_out
from benchmarks.messy.secret_values import maker
from forge.data.audit.secrets import masked, places, without_secrets
from forge.data.sensitive import find_values

VOICE = dev.VOICE
MAKE = maker(VOICE.domain, VOICE.first_names, VOICE.last_names)


@pytest.mark.parametrize("kind", sorted(MAKE))
def test_every_kind_is_found_and_no_part_of_it_is_shown(kind: str) -> None:
    rng = random.Random(kind)
    for voice in (dev.VOICE, held_out.VOICE):
        for form in voice.secret_lines[kind]:
            value = MAKE[kind](rng)
            text = f"First line.\n{form.format(V=value)}\nLast line."
            hits = find_values(text)
            assert kind in {hit.kind for hit in hits}
            [place] = [place for place in places(3, text, hits) if place.kind == kind]
            assert (place.document, place.line) == (3, 2)
            secret = value.split("://")[-1].split("@")[0] if kind == "url_password" else value
            assert secret not in place.masked
            if kind != "private_key":
                assert secret not in without_secrets(text)


@pytest.mark.parametrize("line", [*dev.VOICE.clean_lines, *held_out.VOICE.clean_lines])
def test_what_only_looks_like_one_is_none(line: str) -> None:
    assert find_values(line) == []


@pytest.mark.parametrize(
    "line",
    [
        "password: str = Field(default=None)",
        'password = os.environ["DB_PASSWORD"]',
        "password=getpass.getpass()",
        "mail to noreply@aldermoor-systems.com",
        "visa test card 4242 4242 4242 4242",
        "pi is 3.14159265358979323846",
        "127.0.0.1 and 10.0.0.8 and 192.168.1.1",
        "RFC 2119 of 1997-03-01, call 1-2-3",
        "postgres://user:password@localhost/db",
    ],
)
def test_placeholders_and_code_are_no_secrets(line: str) -> None:
    assert find_values(line) == []


def test_places_count_lines_and_characters_beyond_ascii() -> None:
    text = "Grüße 🙂\n\nIBAN: DE89370400440532013000 ok"
    hits = find_values(text)
    assert [(place.kind, place.line) for place in places(0, text, hits)] == [("iban", 3)]
    assert text[hits[0].start : hits[0].end] == "DE89370400440532013000"


def test_masking_keeps_the_known_prefix_alone() -> None:
    assert masked("aws_key", "AKIA" + "B" * 16) == "AKIA•••• (20 characters)"
    assert masked("email", "someone@somewhere.org") == "•••• (21 characters)"
