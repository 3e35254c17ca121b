"""From bytes to text: UTF-8 where it is, the byte order mark where there is one, a careful guess otherwise."""

from __future__ import annotations

import codecs
import re

import charset_normalizer

from forge.data.latin import latin_encoding

SAMPLE_BYTES = 64 * 1024
"""A guess reads no more than this: its cost grows with length, its certainty hardly."""

GUESSES = [
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874"),
    *("koi8_r", "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr"),
]
"""What documents not in Unicode are written in. With the pages of DOS and of mainframes among the guesses, short German
texts were taken for Baltic ones."""
LATIN = {"cp1250", "cp1252", "cp1254", "cp1257", "cp1258"}

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its head
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
"""Bytes no text has in an 8-bit encoding: controls but tab, line and page ends, escape."""


class DecodeError(Exception):
    """The bytes are no text. `reason` is a stable code: 'binary' or 'undecodable'."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def decode(content: bytes, declared: str | None = None) -> tuple[str, str]:
    """Return (text, encoding). UTF-8 wins over `declared`, what the document itself says it is.

    Raises:
        DecodeError: binary content, or no encoding that fits.
    """
    for mark, encoding in MARKS:
        if content.startswith(mark):
            return _strict(content, encoding), encoding
    if (place := content.find(b"\0")) >= 0:
        raise DecodeError("binary", f"a zero byte at {place}")
    try:
        return content.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        fault = f"byte {error.start} is not UTF-8"
    if found := CONTROLS.search(content):
        raise DecodeError("binary", f"a control byte at {found.start()}, and {fault}")
    guess = declared or _guess(content)
    if guess is None:
        raise DecodeError("undecodable", fault)
    return _strict(content, guess), guess


def encodable(text: str) -> str:
    """Return `text` with surrogate pairs joined and lone surrogates replaced, so that it has a UTF-8 form."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _strict(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise DecodeError("undecodable", f"not {encoding}: {error}") from None


def _guess(content: bytes) -> str | None:
    sample = content[:SAMPLE_BYTES]
    best = charset_normalizer.from_bytes(sample, cp_isolation=GUESSES).best()
    if best is None:
        return None
    return latin_encoding(sample) or best.encoding if best.encoding in LATIN else best.encoding
