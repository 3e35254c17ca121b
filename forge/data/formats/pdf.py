"""PDF: the text layer, page by page."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from forge.data import ocr
from forge.data.dates import from_pdf
from forge.data.decode import encodable
from forge.data.formats.items import Content, Document, Item, Unreadable, newlines

PAGE_END = "\n\f"
"""Between pages, as other extractors have it; what repeats on every page can be found by it."""
JOINED_HYPHEN = "\ufffe"
"""What pdfium gives for a hyphen at the end of a line, having joined the word."""


def read_pdf(content: Content) -> Iterator[Item]:
    """Read a PDF as one document. One in which no page has text is set aside: it would need OCR.

    With `content.ocr` pages without a text layer are read as they look.
    """
    try:
        file = pypdfium2.PdfDocument(content.read())
    except pypdfium2.PdfiumError as error:
        locked = getattr(error, "err_code", None) in (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY)
        reason, detail = ("encrypted", "it asks for a password") if locked else ("broken pdf", str(error))
        raise Unreadable(reason, detail) from None
    try:
        pages, broken, seen = _pages(file, content.ocr)
        without_text = [number for number, page in enumerate(pages, start=1) if not page.strip()]
        if len(without_text) == len(pages):
            if pages and len(broken) == len(pages):
                raise Unreadable("broken pdf", f"none of its {len(pages)} pages can be read")
            if content.ocr:
                raise Unreadable("no text", f"{len(pages)} pages, and OCR found text on none")
            raise Unreadable(
                "needs OCR", f"{len(pages)} pages, none of which has text: data.ocr=true reads them"
            )
        about = file.get_metadata_dict()
        metadata: dict[str, Any] = {"pages": len(pages)}
        if without_text:
            metadata["pages_without_text"] = without_text
        if seen:
            metadata["pages_by_ocr"] = seen
        if broken:
            metadata["broken_pages"] = broken
        for name in ("Subject", "Keywords"):
            if about.get(name):
                metadata[name.lower()] = encodable(about[name])
        language = _language(file)
    finally:
        file.close()
    yield Document(
        0,
        PAGE_END.join(pages),
        "application/pdf",
        encodable(about.get("Title", "")).strip(),
        encodable(about.get("Author", "")).strip() or None,
        from_pdf(about.get("CreationDate", "")),
        from_pdf(about.get("ModDate", "")),
        language,
        metadata=metadata,
    )


def _pages(file: Any, with_ocr: bool) -> tuple[list[str], list[int], list[int]]:
    """Return the text of each page, and the numbers of those that cannot be read, and of those read by OCR."""
    pages: list[str] = []
    broken: list[int] = []
    seen: list[int] = []
    for place in range(len(file)):
        try:
            page = file[place]
            try:
                text = page.get_textpage().get_text_range()
                if with_ocr and not text.strip() and (text := ocr.text_of_page(page)):
                    seen.append(place + 1)
            finally:
                page.close()
        except pypdfium2.PdfiumError:
            broken.append(place + 1)
            text = ""
        text = newlines(encodable(text)).replace(JOINED_HYPHEN, "").replace("\0", "").replace("\f", "\n")
        pages.append(text)
    return pages, broken, seen


def _language(file: Any) -> str | None:
    """Return the language in the document's catalogue, or None. The library's binding is the bare C call."""
    ask = getattr(pdfium, "FPDFCatalog_GetLanguage", None)
    if ask is None:
        return None
    size_bytes = ask(file.raw, None, 0)
    if not 2 < size_bytes <= 256:
        return None
    buffer = ctypes.create_string_buffer(size_bytes)
    ask(file.raw, ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort)), size_bytes)
    return buffer.raw.decode("utf-16-le", "replace").rstrip("\0").strip() or None
