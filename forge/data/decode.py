"""From bytes to text: UTF-8 where it is, the byte order mark where there is one, a careful guess otherwise."""

from __future__ import annotations

import codecs
import re
from typing import Any

import charset_normalizer

from forge.data.cyrillic import ENCODINGS, cyrillic_encoding
from forge.data.formats.items import Unreadable, newlines
from forge.data.latin import is_surely_latin, latin_encoding

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


NOT_FOR_TEXT = {"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape"}
"""Python's encodings that are no document's; some take time that grows with the square of the length."""


class DecodeError(Unreadable):
    """The bytes are no text. `reason` is a stable code: 'binary' or 'undecodable'."""


def decode(content: bytes, declared: str | None = None) -> tuple[str, str]:
    """Return (text, encoding). UTF-8 wins over `declared`, what the document itself says it is.

    Raises:
        DecodeError: binary content, or no encoding that fits.
    """
    for mark, encoding in MARKS:
        if content.startswith(mark):
            return _strict(content, encoding), encoding
    if (place := content.find(b"\0")) >= 0:
        if wide := _unmarked_utf16(content[:SAMPLE_BYTES]):
            return _strict(content, wide), wide
        raise DecodeError("binary", f"a zero byte at {place}")
    try:
        return content.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        fault = f"byte {error.start} is not UTF-8"
    if found := CONTROLS.search(content):
        raise DecodeError("binary", f"a control byte at {found.start()}, and {fault}")
    if declared is not None and declared.lower().replace("_", "-") not in ("utf-8", "utf8"):
        return _strict(content, declared), declared
    guess = _guess(content)
    if guess is None:
        raise DecodeError("undecodable", f"{fault}, and no other encoding fits: save it as UTF-8")
    return _strict(content, guess), guess


def file_text(content: bytes, declared: str | None = None) -> tuple[str, dict[str, Any]]:
    """Return the text with plain newlines, and metadata that name its encoding where it is not of Unicode.

    Raises:
        DecodeError: as `decode`.
    """
    text, encoding = decode(content, declared)
    return newlines(text), {} if encoding.startswith("utf") else {"encoding": encoding}


def encodable(text: str) -> str:
    """Return `text` with surrogate pairs joined and lone surrogates replaced, so that it has a UTF-8 form."""
    if text.isascii():  # told without looking at it
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _unmarked_utf16(sample: bytes) -> str | None:
    """Return which UTF-16 a text of mostly Latin letters is in: every other byte of it is zero."""
    pairs = len(sample) // 2
    even, odd = sample[0 : 2 * pairs : 2].count(0), sample[1 : 2 * pairs : 2].count(0)
    if even == 0 and odd > pairs / 2:
        encoding = "utf-16-le"
    elif odd == 0 and even > pairs / 2:
        encoding = "utf-16-be"
    else:
        return None
    letters = sample[: 2 * pairs].decode(encoding, "replace").encode("utf-8", "replace")
    return None if CONTROLS.search(letters) else encoding


def _strict(content: bytes, encoding: str) -> str:
    try:
        if encoding.lower() in NOT_FOR_TEXT:
            raise LookupError(f"{encoding} is no encoding of documents")
        return content.decode(encoding)
    except (UnicodeError, LookupError) as error:
        raise DecodeError("undecodable", f"not {encoding}: {error}") from None


def _guess(content: bytes) -> str | None:
    sample = content[:SAMPLE_BYTES]
    latin, share = latin_encoding(sample)
    if latin is not None and is_surely_latin(sample, share):
        return latin
    best = charset_normalizer.from_bytes(sample, cp_isolation=GUESSES).best()
    guess = None if best is None else best.encoding
    if guess is None or guess in ENCODINGS:
        return cyrillic_encoding(sample, guess) or guess
    return latin or guess if guess in LATIN else guess
