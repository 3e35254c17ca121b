from tests.data.formats.files import document, pptx_of, reason, shape

TABLE = (
    "<p:graphicFrame><a:tbl><a:tr><a:tc><a:p><a:r><a:t>a</a:t></a:r></a:p></a:tc>"
    "<a:tc><a:p><a:r><a:t>b</a:t></a:r></a:p></a:tc></a:tr></a:tbl></p:graphicFrame>"
)


def test_slides_come_in_order_with_their_notes() -> None:
    number = '<p:sp><a:p><a:fld type="slidenum"><a:t>1</a:t></a:fld></a:p></p:sp>'
    raw = pptx_of(
        [shape("Plan", "ctrTitle") + shape("Ship 🚀") + number, TABLE + shape("שלום")],
        notes={2: "Say hello."},
    )
    found = document("a.pptx", raw)
    assert found.text == "Plan\nShip 🚀\n\fa\tb\nשלום\nNotes: Say hello."
    assert (found.title, found.metadata) == ("Plan", {"slides": 2})


def test_a_broken_one_is_set_aside() -> None:
    assert reason("a.pptx", pptx_of([shape("x")])[:-30]) == "broken office file"
    assert reason("a.pptx", pptx_of(["<p:sp>"])) == "broken office file"
