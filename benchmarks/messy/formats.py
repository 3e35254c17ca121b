"""The least that each office format needs, written by hand: same document in, same bytes out."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import textwrap
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from xml.sax.saxutils import escape

ZIP_TIME = (2020, 1, 1, 0, 0, 0)
PDF_LINE_CHARACTERS = 92
PDF_PAGE_LINES = 48

XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
RELATIONSHIPS = "http://schemas.openxmlformats.org/package/2006/relationships"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
SLIDE = "http://schemas.openxmlformats.org/presentationml/2006/main"
DRAWING = "http://schemas.openxmlformats.org/drawingml/2006/main"


@dataclass(frozen=True)
class Page:
    """A document before it has a format: a title, and blocks. A block that starts with '# ' is a heading."""

    title: str
    blocks: tuple[str, ...]
    written: date | None = None
    author: str = ""
    rows: tuple[tuple[str, ...], ...] = field(default=())
    """A table, its first row the header; after the blocks."""


def as_markdown(page: Page) -> bytes:
    """Return the page as Markdown."""
    parts = [f"# {page.title}", *(f"## {b[2:]}" if b.startswith("# ") else b for b in page.blocks)]
    if page.rows:
        lines = ["| " + " | ".join(row) + " |" for row in page.rows]
        lines.insert(1, "|" + " --- |" * len(page.rows[0]))
        parts.append("\n".join(lines))
    return ("\n\n".join(parts) + "\n").encode()


def as_text(page: Page) -> bytes:
    """Return the page as plain text, wrapped at 80 columns."""
    parts = [page.title.upper()]
    parts += [b[2:] if b.startswith("# ") else textwrap.fill(b, 80) for b in page.blocks]
    parts += ["\n".join("  ".join(row) for row in page.rows)] if page.rows else []
    return ("\n\n".join(parts) + "\n").encode()


def as_html(page: Page) -> bytes:
    """Return the page as HTML with the navigation that web pages have."""
    body = [
        f"<h2>{html.escape(b[2:])}</h2>" if b.startswith("# ") else f"<p>{_with_links(b)}</p>"
        for b in page.blocks
    ]
    if page.rows:
        cells = ["".join(f"<td>{html.escape(c)}</td>" for c in row) for row in page.rows]
        body.append("<table>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(page.title)}</title>'
        f"</head><body><h1>{html.escape(page.title)}</h1>{''.join(body)}</body></html>\n"
    ).encode()


def _with_links(block: str) -> str:
    return re.sub(r"\[([^\]]+)\]\(([^)]+)\)", r'<a href="\2">\1</a>', html.escape(block))


def as_docx(page: Page) -> bytes:
    """Return the page as a Word document."""
    paragraphs = [_paragraph(page.title, "Title")]
    paragraphs += [
        _paragraph(b[2:], "Heading1") if b.startswith("# ") else _paragraph(b) for b in page.blocks
    ]
    if page.rows:
        rows = [
            "<w:tr>" + "".join(f"<w:tc>{_paragraph(c)}</w:tc>" for c in row) + "</w:tr>" for row in page.rows
        ]
        paragraphs.append(f"<w:tbl>{''.join(rows)}</w:tbl>")
    document = f'{XML}<w:document xmlns:w="{WORD}"><w:body>{"".join(paragraphs)}</w:body></w:document>'
    types = {
        "word/document.xml": "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    }
    return _package(page, {"word/document.xml": document}, types, "word/document.xml")


def _paragraph(text: str, style: str = "") -> str:
    properties = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f'<w:p>{properties}<w:r><w:t xml:space="preserve">{escape(text)}</w:t></w:r></w:p>'


def as_pptx(page: Page) -> bytes:
    """Return the page as slides: a heading begins one, blocks are its paragraphs."""
    slides: list[list[str]] = [[page.title]]
    for block in (*page.blocks, *("   ".join(row) for row in page.rows)):
        if block.startswith("# "):
            slides.append([block[2:]])
        elif len(slides[-1]) > 4:
            slides.append([slides[-1][0], block])
        else:
            slides[-1].append(block)
    files, types, relations = {}, {}, []
    main = "application/vnd.openxmlformats-officedocument.presentationml."
    for number, texts in enumerate(slides, start=1):
        shapes = "".join(_shape(place, text) for place, text in enumerate(texts, start=2))
        name = f"ppt/slides/slide{number}.xml"
        files[name] = (
            f'{XML}<p:sld xmlns:a="{DRAWING}" xmlns:r="{OFFICE}" xmlns:p="{SLIDE}"><p:cSld><p:spTree>'
            '<p:nvGrpSpPr><p:cNvPr id="1" name=""/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/>'
            f"{shapes}</p:spTree></p:cSld></p:sld>"
        )
        types[name] = f"{main}slide+xml"
        relations.append(
            f'<Relationship Id="rId{number}" Type="{OFFICE}/slide" Target="slides/slide{number}.xml"/>'
        )
    ids = "".join(f'<p:sldId id="{255 + n}" r:id="rId{n}"/>' for n in range(1, len(slides) + 1))
    files["ppt/presentation.xml"] = (
        f'{XML}<p:presentation xmlns:a="{DRAWING}" xmlns:r="{OFFICE}" xmlns:p="{SLIDE}">'
        f"<p:sldIdLst>{ids}</p:sldIdLst></p:presentation>"
    )
    types["ppt/presentation.xml"] = f"{main}presentation.main+xml"
    files["ppt/_rels/presentation.xml.rels"] = (
        f'{XML}<Relationships xmlns="{RELATIONSHIPS}">{"".join(relations)}</Relationships>'
    )
    return _package(page, files, types, "ppt/presentation.xml")


def _shape(number: int, text: str) -> str:
    kind = "title" if number == 2 else "body"
    return (
        f'<p:sp><p:nvSpPr><p:cNvPr id="{number}" name="{kind} {number}"/><p:cNvSpPr/>'
        f'<p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr><p:spPr/><p:txBody><a:bodyPr/>'
        f"<a:p><a:r><a:t>{escape(text)}</a:t></a:r></a:p></p:txBody></p:sp>"
    )


def as_xlsx(page: Page) -> bytes:
    """Return the page's table as a workbook of one sheet; without one, its blocks in one column."""
    rows = page.rows or ((page.title,), *((b.removeprefix("# "),) for b in page.blocks))
    lines = []
    for number, row in enumerate(rows, start=1):
        cells = "".join(
            f'<c r="{chr(65 + column)}{number}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'
            for column, value in enumerate(row)
        )
        lines.append(f'<row r="{number}">{cells}</row>')
    main = "application/vnd.openxmlformats-officedocument.spreadsheetml."
    files = {
        "xl/workbook.xml": (
            f'{XML}<workbook xmlns="{SHEET}" xmlns:r="{OFFICE}"><sheets>'
            f'<sheet name="{escape(page.title[:28].replace("/", "-").replace(":", ""))}" sheetId="1" r:id="rId1"/>'
            "</sheets></workbook>"
        ),
        "xl/_rels/workbook.xml.rels": (
            f'{XML}<Relationships xmlns="{RELATIONSHIPS}"><Relationship Id="rId1" Type="{OFFICE}/worksheet" '
            'Target="worksheets/sheet1.xml"/></Relationships>'
        ),
        "xl/worksheets/sheet1.xml": (
            f'{XML}<worksheet xmlns="{SHEET}"><sheetData>{"".join(lines)}</sheetData></worksheet>'
        ),
    }
    types = {"xl/workbook.xml": f"{main}sheet.main+xml", "xl/worksheets/sheet1.xml": f"{main}worksheet+xml"}
    return _package(page, files, types, "xl/workbook.xml")


def _package(page: Page, files: dict[str, str], types: dict[str, str], main: str) -> bytes:
    overrides = "".join(
        f'<Override PartName="/{name}" ContentType="{kind}"/>' for name, kind in types.items()
    )
    core_type = "application/vnd.openxmlformats-package.core-properties+xml"
    everything = {
        "[Content_Types].xml": (
            f'{XML}<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            '<Default Extension="xml" ContentType="application/xml"/>'
            f'{overrides}<Override PartName="/docProps/core.xml" ContentType="{core_type}"/></Types>'
        ),
        "_rels/.rels": (
            f'{XML}<Relationships xmlns="{RELATIONSHIPS}">'
            f'<Relationship Id="rId1" Type="{OFFICE}/officeDocument" Target="{main}"/>'
            f'<Relationship Id="rId2" Type="{RELATIONSHIPS}/metadata/core-properties" Target="docProps/core.xml"/>'
            "</Relationships>"
        ),
        "docProps/core.xml": _core(page),
        **files,
    }
    return zipped({name: text.encode() for name, text in everything.items()})


def _core(page: Page) -> str:
    stamp = f"{page.written.isoformat()}T09:00:00Z" if page.written else ""
    dates = "".join(
        f'<dcterms:{name} xsi:type="dcterms:W3CDTF">{stamp}</dcterms:{name}>'
        for name in (("created", "modified") if stamp else ())
    )
    return (
        f'{XML}<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f"<dc:title>{escape(page.title)}</dc:title><dc:creator>{escape(page.author)}</dc:creator>{dates}"
        "</cp:coreProperties>"
    )


def zipped(files: dict[str, bytes]) -> bytes:
    """Return a zip of `files` whose bytes depend on nothing else."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return target.getvalue()


def as_csv(page: Page) -> bytes:
    """Return the page's table as CSV."""
    target = io.StringIO()
    csv.writer(target, lineterminator="\n").writerows(page.rows)
    return target.getvalue().encode()


def as_json(value: object) -> bytes:
    """Return a value as JSON."""
    return json.dumps(value, indent=1).encode()


def as_pdf(page: Page) -> bytes:
    """Return the page as a PDF of Helvetica lines, hard-wrapped as PDFs are."""
    lines: list[str] = [page.title, ""]
    for block in page.blocks:
        lines += [*textwrap.wrap(block.removeprefix("# "), PDF_LINE_CHARACTERS), ""]
    lines += ["   ".join(row) for row in page.rows]
    pages = [lines[first : first + PDF_PAGE_LINES] for first in range(0, len(lines), PDF_PAGE_LINES)]
    objects: list[bytes] = [b"<< /Type /Catalog /Pages 2 0 R >>", b""]
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    kids = []
    for page_lines in pages:
        shown = b"\n".join(b"(" + _pdf_string(line) + b") '" for line in page_lines)
        stream = b"BT /F1 10 Tf 14 TL 50 800 Td\n" + shown + b"\nET"
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        kids.append(len(objects) + 1)
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % len(objects)
        )
    objects[1] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (
        len(kids),
        b" ".join(b"%d 0 R" % kid for kid in kids),
    )
    information = b"<< /Title (%s) /Author (%s)" % (_pdf_string(page.title), _pdf_string(page.author))
    if page.written:
        information += b" /CreationDate (D:%s090000Z)" % page.written.strftime("%Y%m%d").encode()
    objects.append(information + b" >>")
    return _pdf_file(objects)


def scanned_pdf() -> bytes:
    """Return a PDF of one page that shows a grey box and no text."""
    stream = b"0.8 g 50 50 495 742 re f"
    return _pdf_file(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Count 1 /Kids [4 0 R] >>",
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 3 0 R /Resources << >> >>",
            b"<< /Title (Scan) >>",
        ]
    )


def _pdf_string(text: str) -> bytes:
    content = text.encode("cp1252", "replace")
    return content.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


def _pdf_file(objects: Sequence[bytes]) -> bytes:
    target = bytearray(b"%PDF-1.4\n")
    places = []
    for number, content in enumerate(objects, start=1):
        places.append(len(target))
        target += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(target)
    target += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    target += b"".join(b"%010d 00000 n \n" % place for place in places)
    target += b"trailer\n<< /Size %d /Root 1 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        len(objects),
        start,
    )
    return bytes(target)


WRITERS = {
    ".md": as_markdown,
    ".txt": as_text,
    ".html": as_html,
    ".docx": as_docx,
    ".pptx": as_pptx,
    ".xlsx": as_xlsx,
    ".csv": as_csv,
    ".pdf": as_pdf,
}
