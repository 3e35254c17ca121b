"""Zip files, opened so that nothing in them can cost more than it may."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from forge.data.formats.items import Budget, Content, Unreadable

ENCRYPTED = 0x1
"""Bit of the general purpose flags (APPNOTE.TXT 4.4.4)."""
DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, ValueError, OSError)
"""What unpacking damaged parts raises; an `OSError` with a number is the disk's."""


@contextmanager
def open_zip(content: Content, reason: str) -> Iterator[zipfile.ZipFile]:
    """Open a zip file.

    Raises:
        Unreadable: it is none, or is damaged; `reason` says so.
    """
    with content.open() as file:
        try:
            opened = zipfile.ZipFile(file)
        except DAMAGE as error:
            raise damage(error, reason) from None
        with opened:
            yield opened


def read_part(file: zipfile.ZipFile, part: zipfile.ZipInfo, budget: Budget) -> bytes:
    """Return a part, unpacked.

    Raises:
        Unreadable: it is encrypted, damaged, or larger than it may be.
    """
    if part.flag_bits & ENCRYPTED:
        raise Unreadable("encrypted", "it asks for a password")
    if part.file_size > budget.max_file_bytes:
        raise Unreadable(
            "too large", f"{part.file_size} bytes, data.max_file_bytes is {budget.max_file_bytes}"
        )
    try:
        with file.open(part) as stream:
            return budget.read(stream)
    except DAMAGE as error:
        raise damage(error, "broken archive") from None


def damage(error: Exception, reason: str) -> Exception:
    """Return what to raise for damage: the error itself when it is the disk's."""
    if isinstance(error, OSError) and error.errno is not None:
        return error
    return Unreadable(reason, str(error) or type(error).__name__)
