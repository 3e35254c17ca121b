import pytest

from tests.data.formats.files import W, document, docx_of, paragraph, reason, relations_of, zip_of

TABLE = (
    "<w:tbl><w:tr><w:tc>{}{}</w:tc><w:tc>{}</w:tc></w:tr><w:tr><w:tc>{}</w:tc><w:tc>{}</w:tc></w:tr></w:tbl>"
)


def test_paragraphs_tables_and_marks() -> None:
    cells = [paragraph(text) for text in ("a", "b", "c", "d", "e")]
    body = (
        paragraph("One")
        + "<w:p><w:r><w:t>tab</w:t><w:tab/><w:t>bed</w:t><w:br/><w:t>next</w:t></w:r></w:p>"
        + TABLE.format(*cells)
        + paragraph("שלום 🚀")
    )
    assert document("a.docx", docx_of(body)).text == "One\ntab\tbed\nnext\na b\tc\nd\te\nשלום 🚀"


def test_changes_are_taken_as_accepted_and_nothing_is_read_twice() -> None:
    body = (
        "<w:p><w:del><w:r><w:delText>old</w:delText><w:t>old</w:t></w:r></w:del><w:ins><w:r><w:t>new</w:t></w:r></w:ins>"
        "<w:r><w:instrText>PAGE</w:instrText></w:r>"
        "<mc:AlternateContent><mc:Choice><w:r><w:t> box</w:t></w:r></mc:Choice>"
        "<mc:Fallback><w:r><w:t> box</w:t></w:r></mc:Fallback></mc:AlternateContent></w:p>"
    )
    assert document("a.docx", docx_of(body)).text == "new box"


def test_what_a_package_says_of_itself() -> None:
    found = document("a.docx", docx_of(paragraph("x")))
    assert (found.title, found.author, found.language) == ("The title", "Jane Doe", "de-AT")
    assert (found.created, found.modified, found.version) == (
        "2024-01-05T09:12:00Z",
        "2024-02-01T00:00:00Z",
        "2.1",
    )


def test_the_styled_title_stands_in_for_a_missing_one() -> None:
    body = '<w:p><w:pPr><w:pStyle w:val="Title"/></w:pPr><w:r><w:t>Styled</w:t></w:r></w:p>' + paragraph("x")
    assert document("a.docx", docx_of(body, core="<x/>")).title == "Styled"


def test_footnotes_come_at_the_end() -> None:
    notes = (
        f'<w:footnotes xmlns:w="{W}"><w:footnote w:type="separator">{paragraph("-")}</w:footnote>'
        f"<w:footnote>{paragraph('A note.')}</w:footnote></w:footnotes>"
    )
    parts = {
        "word/footnotes.xml": notes,
        "word/_rels/document.xml.rels": relations_of({"f": ("footnotes", "footnotes.xml")}),
    }
    assert document("a.docx", docx_of(paragraph("Text."), parts)).text == "Text.\nA note."


LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    f'<w:document xmlns:w="{W}"><w:body><w:p><w:r><w:t>&b;</w:t></w:r></w:p></w:body></w:document>'
)
OUTSIDE = (
    '<!DOCTYPE x [<!ENTITY secret SYSTEM "file:///etc/hostname">]>'
    f'<w:document xmlns:w="{W}"><w:body><w:p><w:r><w:t>&secret;</w:t></w:r></w:p></w:body></w:document>'
)


@pytest.mark.parametrize("xml", [LAUGHS, OUTSIDE])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_not_read(xml: str, encoding: str) -> None:
    assert reason("a.docx", docx_of("", {"word/document.xml": xml.encode(encoding)})) == "unsafe xml"


@pytest.mark.parametrize(
    "raw",
    [
        docx_of(paragraph("x"))[:-40],
        docx_of("<w:p>"),
        docx_of("", {"word/document.xml": "no xml"}),
        docx_of("", {"word/document.xml": "<a>" * 5_000}),
        zip_of({"[Content_Types].xml": "<Types/>", "word/document.xml": "<x/>"}),
    ],
)
def test_a_broken_one_is_set_aside(raw: bytes) -> None:
    assert reason("a.docx", raw) == "broken office file"


def test_one_under_a_password_is_encrypted() -> None:
    assert reason("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600) == "encrypted"
    assert reason("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600) == "unsupported format"


def test_relations_may_lead_nowhere() -> None:
    table = relations_of({"a": ("footnotes", "gone.xml"), "b": ("footnotes", "../../../gone.xml")})
    assert document("a.docx", docx_of(paragraph("x"), {"word/_rels/document.xml.rels": table})).text == "x"
