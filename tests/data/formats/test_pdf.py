import pytest

from tests.data.formats.files import document, pdf_of, reason


def test_pages_are_read_in_order_with_a_mark_between() -> None:
    found = document("a.pdf", pdf_of([["First line", "second line"], ["Über die Straße"]]))
    assert found.text == "First line\nsecond line\n\fÜber die Straße"
    assert (found.mime, found.metadata) == ("application/pdf", {"pages": 2})


def test_what_a_pdf_says_of_itself() -> None:
    info = (
        "/Title (The title) /Author (Jane Doe) /Subject (S) "
        "/CreationDate (D:20240105101200+01'00') /ModDate (D:20240201)"
    )
    found = document("a.pdf", pdf_of([["x"]], info=info, catalogue="/Lang (de-AT)"))
    assert (found.title, found.author, found.language) == ("The title", "Jane Doe", "de-AT")
    assert (found.created, found.modified) == ("2024-01-05T09:12:00Z", "2024-02-01")
    assert found.metadata == {"pages": 1, "subject": "S"}


def test_a_word_cut_at_the_end_of_a_line_is_joined() -> None:
    assert document("a.pdf", pdf_of([["the termi-", "nation clause"]])).text == "the termination clause"


def test_pages_without_text_are_counted_and_a_file_of_them_needs_ocr() -> None:
    found = document("a.pdf", pdf_of([["x"], [], ["y"]]))
    assert found.metadata == {"pages": 3, "pages_without_text": [2]}
    assert reason("a.pdf", pdf_of([[], []])) == "needs OCR"


@pytest.mark.parametrize("kept", [8, 300, 900])
def test_a_pdf_cut_short_is_broken(kept: int) -> None:
    assert reason("a.pdf", pdf_of([["x"] * 40])[:kept]) == "broken pdf"


def test_a_pdf_under_a_password_is_encrypted() -> None:
    key = "<" + "00" * 32 + ">"
    locked = f"/Encrypt << /Filter /Standard /V 1 /R 2 /O {key} /U {key} /P -4 >> /ID [<00> <00>]"
    assert reason("a.pdf", pdf_of([["x"]], trailer=locked)) == "encrypted"


def test_a_pdf_that_is_called_something_else_is_read() -> None:
    assert document("a.txt", pdf_of([["x"]])).mime == "application/pdf"
