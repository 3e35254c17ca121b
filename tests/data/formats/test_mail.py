import mailbox
from email.message import EmailMessage
from pathlib import Path

from forge.data.formats.items import Document, Skipped
from tests.data.formats.files import document, pdf_of, read, read_deep, reason


def letter(subject: str = "Grüße 🚀", body: str = "Hello,\nsee you.\n", **headers: str) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = "Jane Doe <jane@example.com>"
    message["To"] = "bob@example.com"
    message["Date"] = "Fri, 05 Jan 2024 10:12:00 +0100"
    message["Message-ID"] = "<1@example.com>"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(body)
    return message


def test_a_letter_is_a_document() -> None:
    found = document("a.eml", bytes(letter()))
    assert (found.text, found.title, found.author) == (
        "Hello,\nsee you.\n",
        "Grüße 🚀",
        "Jane Doe <jane@example.com>",
    )
    assert (found.created, found.mime, found.group) == (
        "2024-01-05T09:12:00Z",
        "message/rfc822",
        "<1@example.com>",
    )
    assert found.metadata["to"] == "bob@example.com"


def test_an_answer_belongs_to_the_thread_it_answers() -> None:
    one = document("a.eml", bytes(letter(In_Reply_To="<0@example.com>")))
    two = document(
        "a.eml", bytes(letter(References="<r@example.com> <0@example.com>", In_Reply_To="<0@example.com>"))
    )
    assert (one.group, two.group) == ("<0@example.com>", "<r@example.com>")


def test_plain_text_is_taken_before_html_and_html_where_there_is_no_other(tmp_path: Path) -> None:
    both = letter(body="plain\n")
    both.add_alternative("<p>as html</p>", subtype="html")
    assert document("a.eml", bytes(both)).text == "plain\n"
    alone = letter()
    alone.set_content("<p>שלום <b>עולם</b></p>", subtype="html")
    assert document("a.eml", bytes(alone)).text == "שלום עולם"


def test_a_page_with_pictures_beside_plain_text_is_another_form_of_the_letter(tmp_path: Path) -> None:
    both = letter(body="plain\n")
    both.add_alternative("<p>as html</p><img src='cid:logo'>", subtype="html")
    _, page = both.iter_parts()
    assert isinstance(page, EmailMessage)
    page.add_related(b"\x89PNG\r\n\x1a\n", maintype="image", subtype="png", cid="<logo>", filename="logo.png")
    both.add_attachment("a,b\n", subtype="csv", filename="a.csv")
    assert set(read_deep(tmp_path, "a.eml", bytes(both))) == {"", "logo.png", "a.csv"}


def test_charsets_of_old_letters() -> None:
    head = b"From: a@b\nSubject: x\nContent-Type: text/plain; charset=%s\n\n"
    assert document("a.eml", head % b"iso-8859-2" + "łódź".encode("iso8859-2")).text == "łódź"
    assert document("a.eml", head % b"iso-2022-jp" + "契約書".encode("iso-2022-jp")).text == "契約書"
    assert document("a.eml", head % b"no-such-charset" + b"plain").text == "plain"


def test_attachments_are_files_below_the_letter(tmp_path: Path) -> None:
    message = letter()
    message.add_attachment(pdf_of([["inside"]]), maintype="application", subtype="pdf", filename="../a.pdf")
    message.add_attachment(b"\x89PNG\r\n", maintype="image", subtype="png", filename="logo.png")
    message.add_attachment(letter(subject="Inner"), filename="inner")
    found = read_deep(tmp_path, "a.eml", bytes(message))
    assert list(found) == ["", "a.pdf", "logo.png", "inner.eml"]
    titles = {path: item.title for path, item in found.items() if isinstance(item, Document)}
    assert titles == {"": "Grüße 🚀", "a.pdf": "", "inner.eml": "Inner"}


def test_a_mailbox_is_its_letters(tmp_path: Path) -> None:
    box = mailbox.mbox(tmp_path / "box.mbox")
    box.add(letter(subject="One", body="Text\n\nFrom here on, more.\n"))
    with_file = letter(subject="Two")
    with_file.add_attachment("a note", filename="note.txt")
    box.add(with_file)
    box.close()
    raw = (tmp_path / "box.mbox").read_bytes()
    items = read("box.mbox", raw)
    documents = [item for item in items if isinstance(item, Document)]
    assert [(found.part, found.title) for found in documents] == [(1, "One"), (2, "Two")]
    assert documents[0].text.rstrip() == "Text\n\nFrom here on, more."
    assert [item.name for item in items if not isinstance(item, Document | Skipped)] == ["2/note.txt"]
    assert [item for item in read("Inbox", raw) if isinstance(item, Document)] == documents


def test_a_broken_letter_is_set_aside_and_the_next_is_read() -> None:
    raw = b"From x Fri Jan  5 10:12:00 2024\n\nno header\n\nFrom y Fri Jan  5 10:12:00 2024\nSubject: fine\n\ntext\n"
    bad, good = read("a.mbox", raw)
    assert isinstance(bad, Skipped)
    assert (bad.part, bad.reason) == (1, "broken letter")
    assert isinstance(good, Document)
    assert (good.part, good.text) == (2, "text\n")
    assert reason("a.mbox", "no mailbox at all") == "broken mailbox"


def test_a_hostile_letter_harms_nobody() -> None:
    for head in (
        b"Date: x\nFrom: \xff\xfe\nSubject: =?utf-8?b?////?=\n",
        b"Content-Type: multipart/mixed\n",
        b"From: <<>\n",
    ):
        found = document("a.eml", head + b"\nbody\n")
        assert found.created is None
    nested = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(2_000)
    )
    assert read("a.eml", b"Subject: deep\n" + nested)


def test_an_encrypted_letter_is_set_aside() -> None:
    raw = b'Subject: x\nContent-Type: multipart/encrypted; boundary="b"\n\n--b\n\nx\n--b--\n'
    assert reason("a.eml", raw) == "encrypted"
