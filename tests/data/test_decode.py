import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.data.decode import DecodeError, decode, encodable

LETTER = "Sehr geehrte Damen und Herren, die Kündigungsfrist beträgt für beide Parteien drei Monate. " * 3


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\ufeff")))
def test_utf8_is_read_as_it_is(text: str) -> None:
    assert decode(text.encode()) == (text, "utf-8")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_decides(encoding: str) -> None:
    assert decode(LETTER.encode(encoding)) == (LETTER, encoding)


def test_big_endian_utf16() -> None:
    assert decode(codecs.BOM_UTF16_BE + LETTER.encode("utf-16-be"))[0] == LETTER


def test_an_old_encoding_is_guessed() -> None:
    text, encoding = decode(LETTER.encode("cp1252"))
    assert text == LETTER
    assert encoding != "utf-8"


def test_a_declared_encoding_is_used_when_it_is_not_utf8() -> None:
    assert decode("łódź".encode("iso8859-2"), "iso-8859-2")[0] == "łódź"
    assert decode("łódź".encode(), "iso-8859-2") == ("łódź", "utf-8")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x7fELF\x00\x01", "binary"),
        (b"%PDF-1.4\n\x93\x8c\x03\x01 stream", "binary"),
        (codecs.BOM_UTF16_LE + b"x", "undecodable"),
        (b"\xef\xbb\xbf\xff", "undecodable"),
    ],
)
def test_what_is_no_text_says_why(content: bytes, reason: str) -> None:
    with pytest.raises(DecodeError) as error:
        decode(content)
    assert error.value.reason == reason
    assert error.value.detail


def test_an_unknown_declared_encoding_is_undecodable() -> None:
    with pytest.raises(DecodeError, match="klingon"):
        decode(b"\xff", "klingon")


@given(st.text(st.characters(blacklist_categories=[])))
def test_everything_becomes_encodable(text: str) -> None:
    fixed = encodable(text)
    fixed.encode()
    assert fixed == text or any("\ud800" <= character <= "\udfff" for character in text)


def test_surrogate_pairs_are_joined() -> None:
    assert encodable("\ud83d\ude00 \ud800") == "\U0001f600 \ufffd"
