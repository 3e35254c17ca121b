import pytest

from forge.data.formats.items import Skipped, Unreadable
from forge.data.formats.sniff import format_of
from tests.data.formats.files import content_of, document, docx_of, pdf_of, read, reason, zip_of


@pytest.mark.parametrize(
    ("name", "raw", "expected"),
    [
        ("a.txt", b"<!DOCTYPE html><p>x", "html"),
        ("a.doc", b"<html><p>x", "html"),
        ("a.pdf", b"only text", "text"),
        ("README", b"only text", "text"),
        ("contract.old", "naïve שלום".encode(), "text"),
        ("a.txt", docx_of(""), "docx"),
        ("a.docx", zip_of({"a.txt": "x"}), "zip"),
        ("a.md", pdf_of([["x"]]), "pdf"),
        ("a.pdf", b"junk\x00\n" + pdf_of([["x"]]), "pdf"),
        ("a.pdf", b"\x00\x01", "pdf"),
        ("Inbox", b"From jane@x.io Fri Jan  5 10:12:00 2024\nSubject: x\n\ny\n", "mailbox"),
        ("letter", b"From now on\nnothing: x\n", "text"),
        ("a.md", b"A text that names %PDF-1.4 early", "markdown"),
        ("odd", "x".encode("utf-16"), "text"),
        ("a.py", "# Größe\n".encode("cp1252"), "source code"),
        ("README", "Straßen und Plätze\n".encode("cp1252"), "text"),
        ("Inbox", "From j@x.io Fri Jan  5 10:12:00 2024\nSubject: x\n\nGrüße\n".encode("cp1252"), "mailbox"),
        ("keys.key", b"-----BEGIN CERTIFICATE-----\n", "text"),
        ("cut", "ä".encode() * 4_000, "text"),
    ],
)
def test_content_decides_where_it_can(name: str, raw: bytes, expected: str) -> None:
    assert format_of(content_of(name, raw)).name == expected


@pytest.mark.parametrize(
    ("raw", "detail"),
    [
        (b"\x89PNG\r\n\x1a\n", "an image"),
        (b"{\\rtf1 hi}", "RTF"),
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"\x00\x01\x02", "no text"),
        (b"\xff" * 10, "no text"),
    ],
)
def test_what_is_not_read_says_what_it_is(raw: bytes, detail: str) -> None:
    with pytest.raises(Unreadable, match=detail) as error:
        format_of(content_of("file.xyz", raw))
    assert error.value.reason == "unsupported format"


@pytest.mark.parametrize(
    ("name", "raw", "detail"),
    [
        ("a.msg", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "save it as EML"),
        ("Thumbs.db", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "Windows"),
        ("~$plan.docx", b"\x08Jane Doe" + b"\0" * 150, "open"),
        (
            "a.odt",
            zip_of({"x": ""})[:30] + b"mimetypeapplication/vnd.oasis.opendocument.text",
            "OpenDocument",
        ),
        ("a.vsdx", zip_of({"[Content_Types].xml": "", "visio/pages/page1.xml": ""}), "Visio"),
        ("a.svg", b"<?xml version='1.0'?>\n<!-- made by hand -->\n<svg><text>x</text></svg>", "an image"),
        ("a.ps", b"%!PS-Adobe-3.0\n\x80", "PostScript"),
        ("plot", b"%!PS-Adobe-3.0\nshowpage\n", "PostScript"),
    ],
)
def test_what_a_person_does_with_files_that_are_not_read(name: str, raw: bytes, detail: str) -> None:
    (found,) = read(name, raw)
    assert isinstance(found, Skipped)
    assert detail in found.detail


def test_a_name_says_nothing_about_bytes_without_a_reader() -> None:
    assert reason("a.xyz", b"\x00") == "unsupported format"
    assert document("a.xyz", b"text").mime == "text/plain"
