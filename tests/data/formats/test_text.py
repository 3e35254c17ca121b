import codecs

import pytest

from tests.data.formats.files import document, read, reason

HEBREW = "שלום עולם, זהו הסכם שירות בין הצדדים."
ARABIC = "هذا اتفاق بين الطرفين."
EMOJI = "Release 🚀 done 👩‍👩‍👧 \U0001f1e6\U0001f1f9"


def test_a_text_file_is_one_document_with_plain_newlines() -> None:
    found = document("a.txt", "one\r\ntwo\rthree")
    assert (found.part, found.text, found.mime, found.metadata) == (0, "one\ntwo\nthree", "text/plain", {})


@pytest.mark.parametrize("text", [HEBREW, ARABIC, EMOJI])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_every_script_comes_through_every_unicode_form(text: str, encoding: str) -> None:
    assert document("a.txt", text.encode(encoding)).text == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark(encoding: str) -> None:
    assert document("a.txt", "The parties agree.\n".encode(encoding)).text == "The parties agree.\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Die Kündigungsfrist beträgt für beide Parteien drei Monate zum Ende des Jahres. " * 4, "cp1252"),
        ("Настоящий договор вступает в силу с момента подписания обеими сторонами. " * 4, "cp1251"),
        (
            "Późniejsze zmiany tej umowy wymagają formy pisemnej, chyba że strony ustalą coś innego. " * 4,
            "cp1250",
        ),
        ("本契約は、両当事者が署名した日に効力を生じるものとし、期間は一年間とする。" * 4, "shift_jis"),
    ],
)
def test_an_old_encoding_is_found_and_recorded(text: str, encoding: str) -> None:
    found = document("a.txt", text.encode(encoding))
    assert found.text == text
    assert "encoding" in found.metadata


def test_what_holds_zero_bytes_is_binary() -> None:
    assert reason("a.txt", b"MZ\x00\x01") == "binary"
    assert reason("a.txt", b"some text\x00 and more") == "binary"
    assert reason("a.txt", codecs.BOM_UTF16_LE + b"x") == "undecodable"


def test_markdown_has_a_title_from_its_heading_or_its_front_matter() -> None:
    one = document("a.md", "intro\n# The title\ntext")
    two = document("b.md", "---\ntitle: Given\nlanguage: fr\ndate: 2024-01-05\nauthor: Jane\n---\n# Other\n")
    assert (one.title, one.text) == ("The title", "intro\n# The title\ntext")
    assert (two.title, two.language, two.text) == ("Given", "fr", "# Other\n")
    assert (two.author, two.created) == ("Jane", "2024-01-05")


def test_markdown_that_only_looks_like_front_matter_is_text() -> None:
    text = "---\nkey: [\n---\ntext\n"
    assert document("a.md", text).text == text


def test_a_notion_page_in_markdown_with_its_properties() -> None:
    page = (
        "# Hiring plan\n\nOwner: Jane Doe\nCreated time: January 5, 2024 10:00 AM\nLast Edited: March 1, 2024\n"
        "Tags: ops, hr\n\nWe hire two.\n"
    )
    found = document("Hiring plan 1f2e3d4c5b6a79880123456789abcdef.md", page)
    assert (found.title, found.author, found.text) == ("Hiring plan", "Jane Doe", page)
    assert (found.created, found.modified) == ("2024-01-05T10:00:00Z", "2024-03-01")
    assert found.metadata["Tags"] == "ops, hr"
    assert document("Hiring plan.md", page).author is None


def test_a_notion_page_that_begins_with_a_colon_has_no_properties() -> None:
    found = document(
        "Plan 1f2e3d4c5b6a79880123456789abcdef.md", "# Plan\n\nNote: we wait.\nAnd then we go.\n"
    )
    assert found.metadata == {}


@pytest.mark.parametrize("name", ["mit.LICENSE", "mit_1.RULE"])
def test_a_licence_has_its_fields_as_metadata(name: str) -> None:
    found = document(name, "---\nkey: mit\nname: MIT License\ncategory: Permissive\n---\n\nBe free.\n")
    assert (found.text, found.title) == ("Be free.\n", "MIT License")
    assert found.metadata == {"key": "mit", "name": "MIT License", "category": "Permissive"}


def test_a_licence_with_broken_fields_is_skipped() -> None:
    assert reason("x.LICENSE", "---\nkey: [\n---\ntext") == "broken front matter"


@pytest.mark.parametrize("head", ["=====\nGuide\n=====\n", "Guide\n=====\n", ".. note:: x\n\nGuide\n-----\n"])
def test_rst_has_its_title_and_its_fields(head: str) -> None:
    text = head + "\n:Author: Jane Doe\n:Date: 2024-01-05\n\nText.\n"
    found = document("a.rst", text)
    assert (found.title, found.author, found.created, found.text) == ("Guide", "Jane Doe", "2024-01-05", text)
    assert found.mime == "text/x-rst"


def test_an_empty_file_has_an_empty_text() -> None:
    (found,) = read("a.txt", b"")
    assert found == document("a.txt", b"")
    assert document("a.txt", b"").text == ""
