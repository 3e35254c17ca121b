"""E-mail: a letter is a document, what is attached to it are files inside it; a mailbox is many letters."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import PurePosixPath
from typing import Any

from forge.data.dates import from_mail
from forge.data.decode import DecodeError, decode, encodable
from forge.data.formats.items import (
    BLOCK_BYTES,
    Content,
    Document,
    Item,
    Member,
    Skipped,
    Unreadable,
    newlines,
)
from forge.data.formats.page_text import declared_charset, read_page

MESSAGE_ID = re.compile(r"<[^<>\s]+>")
QUOTED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)
ESCAPING = ("iso-2022", "hz", "utf-7", "utf-16", "utf-32")
"""Charsets whose text can pass for UTF-8, or holds zero bytes: here the letter's own word is taken."""
MAX_NAME_CHARACTERS = 200


def read_eml(content: Content) -> Iterator[Item]:
    """Read one letter."""
    yield from _letter(0, content.read(), "")


def read_mbox(content: Content) -> Iterator[Item]:
    """Read a mailbox: a part a letter, from 1; attachments lie below the letter's number."""
    part = 0
    for part, letter in enumerate(_letters(content), start=1):
        if letter is None:
            yield Skipped(part, "too large", f"data.max_file_bytes is {content.budget.max_file_bytes}")
        else:
            yield from _letter(part, letter, f"{part}/")
    if not part and content.size_bytes:
        raise Unreadable("broken mailbox", "no line that begins a letter")


def _letters(content: Content) -> Iterator[bytes | None]:
    """Yield each letter of a mailbox, None for one that is too large. A `From ` after an empty line begins one."""
    lines: list[bytes] = []
    size_bytes, begun, after_blank = 0, False, True
    with content.open() as file:
        while line := file.readline(BLOCK_BYTES):
            if after_blank and line.startswith(b"From "):
                if begun:
                    yield _joined(lines, size_bytes, content)
                lines, size_bytes, begun = [], 0, True
            elif begun:
                size_bytes += len(line)
                if size_bytes <= content.budget.max_file_bytes:
                    lines.append(line)
            after_blank = line in (b"\n", b"\r\n")
    if begun:
        yield _joined(lines, size_bytes, content)


def _joined(lines: list[bytes], size_bytes: int, content: Content) -> bytes | None:
    if size_bytes > content.budget.max_file_bytes:
        return None
    return QUOTED_FROM.sub(rb"\1", b"".join(lines))


def _letter(part: int, raw: bytes, prefix: str) -> Iterator[Item]:
    try:
        letter = email.message_from_bytes(raw, policy=email.policy.default)
        assert isinstance(letter, EmailMessage)
        if not letter.keys():
            raise Unreadable("broken letter", "no header")
        if letter.get_content_type() == "multipart/encrypted":
            raise Unreadable("encrypted", "the letter is encrypted")
        body = letter.get_body(("plain", "html"))
        if body is None and letter.get_content_maintype() == "multipart" and not letter.is_multipart():
            body = letter  # it says that it has parts, and has none
        yield _document(part, letter, body)
        attachments = [(_payload(attached), attached) for attached in _attachments(letter, body)]
    except Unreadable as error:
        yield Skipped(part, error.reason, error.detail)
        return
    # The library raises nearly anything on a header it did not foresee.
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        yield Skipped(part, "broken letter", f"{type(error).__name__}: {error}")
        return
    names: set[str] = set()
    for place, (payload, attached) in enumerate(attachments, start=1):
        name = _name(attached, place)
        while name in names:
            name = f"{place}-{name}"
        names.add(name)
        yield Member(prefix + name, lambda payload=payload: payload, len(payload))  # type: ignore[misc]


def _attachments(letter: Any, body: Any) -> Iterator[Any]:
    """Yield the parts of a letter, but its body and the other forms of it."""
    waiting = [(letter, "")]
    while waiting:
        part, inside = waiting.pop()
        kind = part.get_content_type()
        if part.is_multipart() and part.get_content_maintype() == "multipart":
            below = [(inner, kind) for inner in part.get_payload()]
            if kind == "multipart/related" and inside == "multipart/alternative":
                below[0] = below[0][0], inside  # the page itself, before its pictures
            waiting.extend(reversed(below))
        elif part is not body and not (inside == "multipart/alternative" and kind.startswith("text/")):
            yield part


def _document(part: int, letter: EmailMessage, body: Any) -> Document:
    references = MESSAGE_ID.findall(_header(letter, "References") + _header(letter, "In-Reply-To"))
    own = MESSAGE_ID.search(_header(letter, "Message-ID"))
    metadata: dict[str, Any] = {
        name.lower().replace("-", "_"): value
        for name in ("From", "To", "Cc", "Message-ID", "In-Reply-To", "List-Id")
        if (value := _header(letter, name))
    }
    return Document(
        part,
        _body(body),
        "message/rfc822",
        _header(letter, "Subject"),
        _header(letter, "From") or None,
        created=from_mail(_header(letter, "Date")),
        language=_header(letter, "Content-Language") or None,
        group=references[0] if references else own.group() if own else None,
        metadata=metadata,
    )


def _body(body: Any) -> str:
    if body is None:
        return ""
    raw = _payload(body)
    charset = body.get_content_charset()
    if body.get_content_type() == "text/html":
        html = _text(raw, charset or declared_charset(raw))
        return read_page(html)[0]
    return newlines(_text(raw, charset))


def _text(raw: bytes, charset: str | None) -> str:
    if charset and charset.lower().startswith(ESCAPING):
        try:
            return encodable(raw.decode(charset))
        except (UnicodeError, LookupError):
            pass
    try:
        return decode(raw, charset)[0]
    except DecodeError:
        return decode(raw)[0]


def _payload(part: Any) -> bytes:
    if part.get_content_type() == "message/rfc822":
        inner = part.get_payload()
        return bytes(inner[0].as_bytes()) if isinstance(inner, list) and inner else b""
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _name(part: Any, place: int) -> str:
    try:
        name = PurePosixPath(str(part.get_filename() or "").replace("\\", "/")).name
    except (ValueError, LookupError, AttributeError, TypeError):
        name = ""
    name = encodable(name.replace("\0", "").strip())[-MAX_NAME_CHARACTERS:]
    if name in ("", ".", ".."):
        name = f"attachment-{place}"
    return (
        name + ".eml" if part.get_content_type() == "message/rfc822" and not name.endswith(".eml") else name
    )


def _header(letter: EmailMessage, name: str) -> str:
    try:
        return encodable(" ".join(str(letter.get(name, "")).split()))
    except (ValueError, LookupError, AttributeError, TypeError):
        return ""
